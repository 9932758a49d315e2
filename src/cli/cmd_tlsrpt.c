/* tlsrpt list|show|send: what was counted of TLS towards other domains, the reports to them, and
 * sending them now (docs/tlsrpt.md). */
#include "cli/cli.h"
#include "cli/client.h"
#include "mail/date.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

struct tlsrpt_command {
	struct admin_request request;
	bool json;
	uint64_t rows;
};

static json_t *words(struct span s)
{
	return json_stringn(s.ptr ? s.ptr : "", s.len);
}

static json_t *when(uint64_t usec)
{
	struct buf b = BUF_INIT(64);
	if (usec == 0)
		return json_null();
	date_format_iso(usec, &b);
	json_t *j = words(buf_span(&b));
	buf_done(&b);
	return j;
}

/* "pending https://..." by line. */
static json_t *targets(struct span s)
{
	json_t *list = json_array();
	while (s.len > 0) {
		size_t end = span_index(s, '\n');
		struct span line = span_head(s, end);
		size_t space = span_index(line, ' ');
		json_t *one = json_object();
		(void)json_object_set_new(one, "state", words(span_head(line, space)));
		(void)json_object_set_new(one, "uri", words(span_from(line, space + 1)));
		(void)json_array_append_new(list, one);
		s = span_from(s, end + 1);
	}
	return list;
}

static void print_json(const struct tlsrpt_row *row)
{
	const struct {
		const char *key;
		json_t *value;
	} fields[] = {
		{"domain", words(row->domain)},
		{"state", words(row->state)},
		{"begin", when(row->begin_sec * USEC_PER_SEC)},
		{"end", when(row->end_sec * USEC_PER_SEC)},
		{"sessions", json_integer((json_int_t)row->ok)},
		{"failures", json_integer((json_int_t)row->failed)},
		{"due", when(row->due_usec)},
		{"attempts", json_integer(row->attempts)},
		{"report", words(row->report)},
		{"targets", targets(row->targets)},
		{"text", words(row->text)},
	};
	json_t *object = json_object();
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		(void)json_object_set_new(object, fields[i].key, fields[i].value);
	(void)json_dumpf(object, stdout, JSON_COMPACT);
	(void)putchar('\n');
	json_decref(object);
}

static void print_due(uint64_t usec)
{
	struct buf b = BUF_INIT(64);
	if (usec == 0)
		return;
	date_format_iso(usec, &b);
	(void)printf(", due %.*s", SPAN_FMT(buf_span(&b)));
	buf_done(&b);
}

static void print_row(const struct tlsrpt_row *row)
{
	struct buf day = BUF_INIT(64);
	date_format_iso(row->begin_sec * USEC_PER_SEC, &day);
	(void)printf("%.10s ", day.ptr ? day.ptr : "");
	cli_print_safe(row->domain);
	(void)printf(": %.*s, %llu sessions, %llu failures", SPAN_FMT(row->state),
		(unsigned long long)row->ok, (unsigned long long)row->failed);
	print_due(row->due_usec);
	(void)putchar('\n');
	for (struct span s = row->targets; s.len > 0; s = span_from(s, span_index(s, '\n') + 1)) {
		(void)fputs("  ", stdout);
		cli_print_safe(span_head(s, span_index(s, '\n')));
		(void)putchar('\n');
	}
	if (row->text.len > 0) {
		(void)printf("  after %u attempts: ", row->attempts);
		cli_print_safe(row->text);
		(void)putchar('\n');
	}
	buf_done(&day);
}

/* The report's own text, indented for people. */
static void print_report(const struct tlsrpt_row *row, bool json)
{
	json_t *report = json_loadb(row->text.ptr, row->text.len, 0, NULL);
	if (!report) {
		cli_error("the server sent a report that cannot be read");
		return;
	}
	(void)json_dumpf(report, stdout, json ? JSON_COMPACT : JSON_INDENT(2));
	(void)putchar('\n');
	json_decref(report);
}

static void on_row(void *arg, struct span payload)
{
	struct tlsrpt_command *t = arg;
	struct tlsrpt_row row;
	t->rows++;
	if (tlsrpt_row_decode(payload, &row) < 0)
		cli_error("the server sent a row that cannot be read");
	else if (t->request.verb == ADMIN_TLSRPT_SHOW)
		print_report(&row, t->json);
	else if (t->json)
		print_json(&row);
	else
		print_row(&row);
}

static int parse(const struct cli *cli, struct tlsrpt_command *t)
{
	const char *word = cli->argc > 1 ? cli->argv[1] : "list";
	const char *more = cli->argc > 2 ? cli->argv[2] : NULL;
	struct admin_request *r = &t->request;
	if (strcmp(word, "list") == 0 && cli->argc <= 3) {
		r->verb = ADMIN_TLSRPT_LIST;
		r->domain = span_str(more);
	} else if (strcmp(word, "show") == 0 && cli->argc == 3) {
		r->verb = ADMIN_TLSRPT_SHOW;
		r->domain = span_str(more);
	} else if (strcmp(word, "send") == 0 && cli->argc <= 3 &&
		   (!more || strcmp(more, "--today") == 0)) {
		r->verb = ADMIN_TLSRPT_SEND;
		r->all = more != NULL;
	} else {
		cli_error("usage: postrider tlsrpt list [DOMAIN] | show DOMAIN | send [--today]");
		return EX_USAGE_;
	}
	return EX_OK_;
}

static int ask(const struct config *c, struct tlsrpt_command *t)
{
	struct client_ops ops = {.row = on_row, .arg = t};
	uint32_t error = 0;
	uint64_t count = 0;
	int r = client_ask(c->data, &t->request, &ops, &error, &count);
	if (r < 0)
		return client_unanswered(c->data, r);
	if (error)
		return EX_AGAIN_;
	if (t->request.verb == ADMIN_TLSRPT_SEND)
		(void)printf("%llu domains and reports are looked at now; `tlsrpt list` shows what "
			     "is left\n",
			(unsigned long long)count);
	if (t->request.verb == ADMIN_TLSRPT_SHOW && t->rows == 0) {
		cli_error("nothing is counted for %.*s", SPAN_FMT(t->request.domain));
		return EX_UNAVAILABLE_;
	}
	return EX_OK_;
}

int cmd_tlsrpt(struct cli *cli)
{
	struct tlsrpt_command t = {.json = cli->json};
	int status = parse(cli, &t);
	if (status != EX_OK_)
		return status;
	struct config *c = cli_config(cli, &status);
	if (!c)
		return status;
	status = ask(c, &t);
	config_free(c);
	return status;
}
