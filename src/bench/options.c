/* Two command lines. Each option is a row: its name, its kind and where its value goes; what is
 * wrong is said with the option's name. Numbers have bounds, because a benchmark with a typing
 * error should not eat the machine. */
#include "bench/options.h"

#include <stdarg.h>
#include <stdio.h>

#include "bench/bench.h"

enum kind {
	KIND_NUMBER,
	KIND_SIZES,
	KIND_OCTETS,
	KIND_TIME,
	KIND_TIMES,
	KIND_TEXT,
	KIND_SPAN,
	KIND_ADDRESS,
	KIND_SHARE,
	KIND_STAGE,
	KIND_ON,
	KIND_OFF,
};
struct option_row {
	const char *name;
	enum kind kind;
	uint64_t min, max;
	void *value, *second;
};

static void complain(const char *fmt, ...) PRINTF(1, 2);
static void complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)fputs("postrider: bench: ", stderr);
	(void)vfprintf(stderr, fmt, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
}

/* "5%", "0.05", "1": of a million. */
static int share_parse(struct span s, uint32_t *ret_share)
{
	bool percent = s.len > 0 && s.ptr[s.len - 1] == '%';
	uint64_t whole = 0, fraction = 0, unit = percent ? 10000 : 1000000, scale = 1;

	if (percent)
		s.len--;
	size_t dot = span_index(s, '.');
	struct span digits = span_from(s, dot + 1);
	if (dot < s.len) {
		if (digits.len > 6 || span_to_u64(digits, 999999, &fraction) < 0)
			return -EINVAL;
		for (size_t i = 0; i < digits.len; i++)
			scale *= 10;
	}
	if (dot > 0 && span_to_u64(span_head(s, dot), 100, &whole) < 0)
		return -EINVAL;
	uint64_t share = whole * unit + fraction * unit / scale;
	if (share > 1000000)
		return -ERANGE;
	*ret_share = (uint32_t)share;
	return 0;
}

static int stage_parse(struct span s, enum sink_stage *ret_stage)
{
	static const char *const names[] = {"connect", "mail", "rcpt", "data", "dot"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (span_equal(s, span_str(names[i]))) {
			*ret_stage = (enum sink_stage)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int times_parse(struct span s, uint64_t *ret_low, uint64_t *ret_high)
{
	size_t dash = span_index(s, '-');
	int r = span_to_usec(span_head(s, dash), ret_low);

	if (r >= 0 && dash < s.len)
		r = span_to_usec(span_from(s, dash + 1), ret_high);
	return r;
}

static int value_parse(const struct option_row *row, char *text)
{
	struct span s = span_str(text);
	uint64_t *number = row->value;
	int r = 0;

	switch (row->kind) {
	case KIND_NUMBER:
		r = span_to_u64(s, row->max, number);
		return r >= 0 && *number < row->min ? -ERANGE : r;
	case KIND_OCTETS:
		return span_to_octets(s, number);
	case KIND_TIME:
		return span_to_usec(s, number);
	case KIND_TIMES:
		return times_parse(s, number, row->second);
	case KIND_SIZES:
		return payload_sizes_parse(s, row->value);
	case KIND_ADDRESS:
		*(const char **)row->second = text;
		return address_parse(s, 25, row->value);
	case KIND_TEXT:
		*(const char **)row->value = text;
		return 0;
	case KIND_SPAN:
		*(struct span *)row->value = s;
		return 0;
	case KIND_SHARE:
		return share_parse(s, row->value);
	case KIND_STAGE:
		return stage_parse(s, row->value);
	default:
		return -EINVAL;
	}
}

/* Calls for what is no option; rows end with a NULL name. */
struct command_line {
	const struct option_row *rows;
	int (*positional)(void *arg, char *text);
	void *arg;
};

static int option_take(const struct command_line *c, int argc, char **argv, int *i)
{
	const struct option_row *row = c->rows;
	const char *name = argv[*i];

	while (row->name && strcmp(row->name, name) != 0)
		row++;
	if (!row->name) {
		complain("there is no option %s", name);
		return BENCH_USAGE;
	}
	if (row->kind == KIND_ON || row->kind == KIND_OFF) {
		*(bool *)row->value = row->kind == KIND_ON;
		return 0;
	}
	if (*i + 1 >= argc) {
		complain("%s needs a value", name);
		return BENCH_USAGE;
	}
	int r = value_parse(row, argv[++*i]);
	if (r < 0) {
		complain("%s: %s is %s", name, argv[*i],
			r == -ERANGE ? "out of range" : "not understood");
		return BENCH_USAGE;
	}
	return 0;
}

static int command_line_parse(const struct command_line *c, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		int r = argv[i][0] == '-' ? option_take(c, argc, argv, &i)
					  : c->positional(c->arg, argv[i]);
		if (r)
			return r;
	}
	return 0;
}

/* ---- load ---- */

static int load_positional(void *arg, char *text)
{
	struct load_options *o = arg;

	if (o->target_text || address_parse(span_str(text), 25, &o->target) < 0) {
		complain("%s: one HOST:PORT in numbers is expected", text);
		return BENCH_USAGE;
	}
	o->target_text = text;
	return 0;
}

static int load_check(struct load_options *o, const char *auth, const char *tls)
{
	if (!o->target_text) {
		complain("load needs HOST:PORT");
		return BENCH_USAGE;
	}
	if (auth && strcmp(auth, "login") != 0 && strcmp(auth, "plain") != 0) {
		complain("--auth: plain or login");
		return BENCH_USAGE;
	}
	if (tls && strcmp(tls, "starttls") != 0 && strcmp(tls, "implicit") != 0) {
		complain("--tls: starttls or implicit");
		return BENCH_USAGE;
	}
	if (o->window && !o->sink.len) {
		complain("--window needs --sink or --watch");
		return BENCH_USAGE;
	}
	if (tls && tls[0] == 'i' && !o->sink_is_there && o->sink.len &&
		strcmp(o->sink_text, o->target_text) == 0) {
		complain("--tls implicit: the sink speaks STARTTLS only");
		return BENCH_USAGE;
	}
	if (!o->user != !o->password) {
		complain("--user and --password belong together");
		return BENCH_USAGE;
	}
	if (tls)
		o->tls = tls[0] == 's' ? BENCH_TLS_STARTTLS : BENCH_TLS_IMPLICIT;
	o->auth_login = auth && strcmp(auth, "login") == 0;
	return 0;
}

int load_options_parse(int argc, char **argv, struct load_options *ret_options)
{
	struct load_options o = {.connections = 20,
		.messages = 1000,
		.per_connection = 1,
		.recipients = 1,
		.domains = 1,
		.tries = 3,
		.from = SPAN_LIT("bench@sender.example"),
		.to = SPAN_LIT("bench-{rcpt}@bench.example"),
		.hello = SPAN_LIT("load.bench.example"),
		.pipelining = true,
		.timeout_usec = 60 * USEC_PER_SEC,
		.settle_usec = 60 * USEC_PER_SEC};
	struct address watch = {0};
	const char *auth = NULL, *tls = NULL;
	const struct option_row rows[] = {
		{"-m", KIND_NUMBER, 1, TOKEN_OF_MAX, &o.messages, NULL},
		{"-j", KIND_NUMBER, 1, BENCH_CONNECTIONS_MAX, &o.connections, NULL},
		{"-k", KIND_NUMBER, 0, TOKEN_OF_MAX, &o.per_connection, NULL},
		{"-s", KIND_SIZES, 0, 0, &o.sizes, NULL},
		{"-r", KIND_NUMBER, 1, TOKEN_RCPTS_MAX, &o.recipients, NULL},
		{"--messages", KIND_NUMBER, 1, TOKEN_OF_MAX, &o.messages, NULL},
		{"--connections", KIND_NUMBER, 1, BENCH_CONNECTIONS_MAX, &o.connections, NULL},
		{"--per-connection", KIND_NUMBER, 0, TOKEN_OF_MAX, &o.per_connection, NULL},
		{"--size", KIND_SIZES, 0, 0, &o.sizes, NULL},
		{"--recipients", KIND_NUMBER, 1, TOKEN_RCPTS_MAX, &o.recipients, NULL},
		{"--domains", KIND_NUMBER, 1, TOKEN_OF_MAX, &o.domains, NULL},
		{"--tries", KIND_NUMBER, 1, 1000, &o.tries, NULL},
		{"--from", KIND_SPAN, 0, 0, &o.from, NULL},
		{"--to", KIND_SPAN, 0, 0, &o.to, NULL},
		{"--hello", KIND_SPAN, 0, 0, &o.hello, NULL},
		{"--no-pipelining", KIND_OFF, 0, 0, &o.pipelining, NULL},
		{"--bdat", KIND_ON, 0, 0, &o.bdat, NULL},
		{"--lmtp", KIND_ON, 0, 0, &o.lmtp, NULL},
		{"--rate", KIND_NUMBER, 1, 1000000, &o.rate, NULL},
		{"--slow", KIND_OCTETS, 0, 0, &o.slow, NULL},
		{"--idle", KIND_TIME, 0, 0, &o.idle_usec, NULL},
		{"--duration", KIND_TIME, 0, 0, &o.duration_usec, NULL},
		{"--timeout", KIND_TIME, 0, 0, &o.timeout_usec, NULL},
		{"--connect-timeout", KIND_TIME, 0, 0, &o.connect_usec, NULL},
		{"--settle", KIND_TIME, 0, 0, &o.settle_usec, NULL},
		{"--sink", KIND_ADDRESS, 0, 0, &o.sink, &o.sink_text},
		{"--watch", KIND_ADDRESS, 0, 0, &watch, &o.sink_text},
		{"--window", KIND_NUMBER, 1, TOKEN_OF_MAX, &o.window, NULL},
		{"--tls", KIND_TEXT, 0, 0, &tls, NULL},
		{"--user", KIND_TEXT, 0, 0, &o.user, NULL},
		{"--password", KIND_TEXT, 0, 0, &o.password, NULL},
		{"--auth", KIND_TEXT, 0, 0, &auth, NULL},
		{"--quiet", KIND_ON, 0, 0, &o.quiet, NULL},
		{0},
	};
	struct command_line c = {rows, load_positional, &o};

	if (payload_sizes_parse(SPAN_LIT("4K"), &o.sizes) < 0)
		return BENCH_OS;
	int r = command_line_parse(&c, argc, argv);
	if (!o.connect_usec)
		o.connect_usec = o.timeout_usec;
	if (watch.len) {
		o.sink = watch;
		o.sink_is_there = true;
	}
	if (r == 0)
		r = load_check(&o, auth, tls);
	if (r)
		return r;
	*ret_options = o;
	return 0;
}

/* ---- sink ---- */

static int sink_positional(void *arg, char *text)
{
	struct sink_options *o = arg;

	if (o->n_addresses == BENCH_SINKS_MAX) {
		complain("at most %u addresses", BENCH_SINKS_MAX);
		return BENCH_USAGE;
	}
	if (address_parse(span_str(text), 25, &o->addresses[o->n_addresses++]) < 0) {
		complain("%s: HOST:PORT in numbers is expected", text);
		return BENCH_USAGE;
	}
	return 0;
}

int sink_options_parse(int argc, char **argv, struct sink_options *ret_options)
{
	struct sink_options o = {.at = SINK_AT_DOT, .pipelining = true, .chunking = true};
	const struct option_row rows[] = {
		{"--latency", KIND_TIMES, 0, 0, &o.latency_usec, &o.latency_max_usec},
		{"--tempfail", KIND_SHARE, 0, 0, &o.tempfail, NULL},
		{"--permfail", KIND_SHARE, 0, 0, &o.permfail, NULL},
		{"--hangup", KIND_SHARE, 0, 0, &o.hangup, NULL},
		{"--at", KIND_STAGE, 0, 0, &o.at, NULL},
		{"--no-pipelining", KIND_OFF, 0, 0, &o.pipelining, NULL},
		{"--no-chunking", KIND_OFF, 0, 0, &o.chunking, NULL},
		{"--lmtp", KIND_ON, 0, 0, &o.lmtp, NULL},
		{"--starttls", KIND_ON, 0, 0, &o.starttls, NULL},
		{"--expect", KIND_NUMBER, 1, TOKEN_OF_MAX, &o.expect, NULL},
		{"--quiet", KIND_ON, 0, 0, &o.quiet, NULL},
		{0},
	};
	struct command_line c = {rows, sink_positional, &o};
	int r = command_line_parse(&c, argc, argv);

	if (r)
		return r;
	if (o.n_addresses == 0) {
		complain("sink needs HOST:PORT");
		return BENCH_USAGE;
	}
	if (o.tempfail + o.permfail + o.hangup > 1000000) {
		complain("--tempfail, --permfail and --hangup together are more than all");
		return BENCH_USAGE;
	}
	*ret_options = o;
	return 0;
}
