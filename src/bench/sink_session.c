/* One session of the sink: RFC 5321's server with nothing behind it. Deliberately lenient about
 * what it is told (any sender, any recipient, any AUTH), exact about what it counts: a message
 * arrives for a recipient when, and only when, the sink writes its 250 for it. What the sink was
 * told to refuse or to hang up on is not counted.
 *
 * XBENCH is a private verb for the generator's questions (watch.c). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "bench/intake.h"
#include "bench/sink.h"
#include "mail/command.h"
#include "mail/dot.h"
#include "net/tls.h"

#define SINK_RCPTS_MAX TOKEN_RCPTS_MAX
#define SINK_TIMEOUT   (600 * USEC_PER_SEC)
#define DECODED_MAX    (1u << 20)
#define MARKS_A_LINE   1000u
#define MILLION	       1000000u

struct sitting {
	struct sink *sink;
	struct stream *s;
	bool mail, lmtp;
	uint64_t *rcpts; /* token_recipient of each */
	size_t n_rcpts, rcpts_cap;
	struct intake intake;
	struct buf decoded;
	bool bare_newline;
};

static uint64_t next_random(struct sink *k)
{
	k->random ^= k->random << 13;
	k->random ^= k->random >> 7;
	k->random ^= k->random << 17;
	return k->random;
}

SUSPENDS static int say(struct sitting *t, const char *line)
{
	int r = stream_write(t->s, span_str(line));
	return r < 0 ? r : stream_write(t->s, SPAN_LIT("\r\n"));
}

/* What the sink was told to do at this stage: 0 nothing, 1 a refusal was said, -ECONNABORTED. */
SUSPENDS static int mischief(struct sitting *t, enum sink_stage at)
{
	struct sink *k = t->sink;
	const struct sink_options *o = k->o;

	if (o->at != at || !(o->tempfail | o->permfail | o->hangup))
		return 0;
	uint32_t dice = (uint32_t)(next_random(k) % MILLION);
	int r = 0;
	if (dice < o->hangup) {
		k->hangups++;
		return -ECONNABORTED;
	}
	dice -= o->hangup;
	if (dice < o->tempfail) {
		k->tempfails++;
		r = say(t, at == SINK_AT_CONNECT ? "421 4.3.2 Not now" : "451 4.3.0 Not now");
	} else if (dice - o->tempfail < o->permfail) {
		k->permfails++;
		r = say(t, at == SINK_AT_CONNECT ? "554 5.3.2 Never" : "550 5.7.1 Never");
	} else {
		return 0;
	}
	return r < 0 ? r : 1;
}

static void reset(struct sitting *t)
{
	t->mail = false;
	t->n_rcpts = 0;
	t->bare_newline = false;
	intake_reset(&t->intake);
}

/* ---- verbs ---- */

SUSPENDS static int verb_hello(struct sitting *t, enum verb v)
{
	const struct sink_options *o = t->sink->o;

	reset(t);
	t->lmtp = v == VERB_LHLO;
	if (v == VERB_HELO)
		return say(t, "250 sink.example");
	return stream_printf(t->s,
		"250-sink.example\r\n%s%s%s250-8BITMIME\r\n250-AUTH PLAIN LOGIN\r\n"
		"250-ENHANCEDSTATUSCODES\r\n250 SIZE 0\r\n",
		o->pipelining ? "250-PIPELINING\r\n" : "", o->chunking ? "250-CHUNKING\r\n" : "",
		t->sink->tls && !stream_tls(t->s) ? "250-STARTTLS\r\n" : "");
}

SUSPENDS static int verb_mail(struct sitting *t)
{
	int r = mischief(t, SINK_AT_MAIL);

	if (r != 0)
		return r < 0 ? r : 0;
	reset(t);
	t->mail = true;
	return say(t, "250 2.1.0 Ok");
}

SUSPENDS static int verb_rcpt(struct sitting *t, const struct command *c)
{
	int r = t->mail ? mischief(t, SINK_AT_RCPT) : 1;

	if (!t->mail)
		return say(t, "503 5.5.1 MAIL first");
	if (r != 0)
		return r < 0 ? r : 0;
	if (t->n_rcpts == t->rcpts_cap) {
		size_t cap = MAX(t->rcpts_cap * 2, (size_t)16);
		uint64_t *grown =
			cap <= SINK_RCPTS_MAX ? realloc(t->rcpts, cap * sizeof(*grown)) : NULL;
		if (!grown)
			return say(t, "452 4.5.3 Too many recipients");
		t->rcpts = grown;
		t->rcpts_cap = cap;
	}
	t->rcpts[t->n_rcpts++] = token_recipient(c->path.text);
	return say(t, "250 2.1.5 Ok");
}

static void count_message(struct sitting *t, const struct token *token, int whole, size_t rcpt)
{
	struct sink *k = t->sink;
	struct tally_run *run = whole >= 0 ? tally_run(&k->tally, token) : NULL;
	uint64_t now = clock_wall_usec();

	if (rcpt == 0) {
		k->messages++;
		k->octets += t->intake.octets + t->intake.head.len;
		k->bare_newlines += t->bare_newline;
		k->first_usec = k->first_usec ? k->first_usec : now;
		k->last_usec = now;
		k->tally.strangers += !run;
	}
	k->recipients++;
	if (!run)
		return;
	if (rcpt == 0) {
		run->messages++;
		run->first_usec = run->first_usec ? run->first_usec : now;
		run->last_usec = now;
		histogram_add(&run->latency, now > token->at_usec ? now - token->at_usec : 0);
	}
	tally_arrived(run, token, t->rcpts[rcpt], whole > 0);
}

/* After the message: one reply, or with LMTP one for each recipient (RFC 2033 4.2). */
SUSPENDS static int conclude(struct sitting *t)
{
	struct token token = {0};
	int whole = intake_end(&t->intake, &token);
	const struct sink_options *o = t->sink->o;
	uint64_t wait = o->latency_usec;
	int r = 0;

	if (o->latency_max_usec > wait)
		wait += next_random(t->sink) % (o->latency_max_usec - wait + 1);
	if (wait && (r = fiber_sleep(wait)) < 0)
		return r;
	for (size_t i = 0; i < t->n_rcpts && r >= 0; i++) {
		if (i == 0 || t->lmtp) {
			r = mischief(t, SINK_AT_DOT);
			if (r < 0 || (r > 0 && !t->lmtp))
				break;
			if (r > 0)
				continue;
			r = say(t, "250 2.0.0 Ok");
		}
		count_message(t, &token, whole, i);
	}
	reset(t);
	return r < 0 ? r : 0;
}

SUSPENDS static int verb_data(struct sitting *t)
{
	struct dot_decoder decoder;
	bool ended = false;
	int r = t->n_rcpts ? mischief(t, SINK_AT_DATA) : 1;

	if (t->n_rcpts == 0)
		return say(t, "554 5.5.1 No valid recipients");
	if (r != 0)
		return r < 0 ? r : 0;
	r = say(t, "354 Go on");
	dot_decoder_init(&decoder, false);
	while (r >= 0 && !ended) {
		struct span have;
		r = stream_peek(t->s, &have);
		if (r < 0)
			return r;
		buf_reset(&t->decoded);
		size_t used = dot_decode(&decoder, have, &t->decoded, &ended);
		intake_feed(&t->intake, buf_span(&t->decoded));
		stream_consume(t->s, used);
		r = t->decoded.error;
	}
	t->bare_newline = decoder.bare_newline;
	return r < 0 ? r : conclude(t);
}

/* RFC 3030 2: the octets follow whatever we think of the command. */
SUSPENDS static int verb_bdat(struct sitting *t, const struct command *c)
{
	size_t space = span_index(c->argument, ' ');
	uint64_t n = 0;
	bool last = span_equal_nocase(span_trim(span_from(c->argument, space)), SPAN_LIT("LAST"));
	int r = span_to_u64(span_head(c->argument, space), INT64_MAX, &n);

	if (r < 0)
		return say(t, "501 5.5.4 BDAT needs a number");
	while (n > 0) {
		struct span have;
		r = stream_peek(t->s, &have);
		if (r < 0)
			return r;
		have = span_head(have, (size_t)MIN(n, (uint64_t)SIZE_MAX));
		if (t->n_rcpts > 0)
			intake_feed(&t->intake, have);
		stream_consume(t->s, have.len);
		n -= have.len;
	}
	if (t->n_rcpts == 0)
		return say(t, "503 5.5.1 No valid recipients");
	return last ? conclude(t) : say(t, "250 2.0.0 Ok");
}

/* Whatever the credentials are, they are right. */
SUSPENDS static int verb_auth(struct sitting *t, const struct command *c)
{
	struct span line;
	bool login = span_starts_nocase(c->argument, SPAN_LIT("LOGIN"));
	unsigned prompts = login ? 2 : span_index(c->argument, ' ') < c->argument.len ? 0 : 1;
	int r = 0;

	for (unsigned i = 0; i < prompts && r >= 0; i++) {
		r = say(t, !login ? "334 " : i == 0 ? "334 VXNlcm5hbWU6" : "334 UGFzc3dvcmQ6");
		if (r >= 0)
			r = stream_read_line(t->s, COMMAND_LINE_MAX_EXTENDED, &line, NULL);
	}
	return r < 0 ? r : say(t, "235 2.7.0 Welcome");
}

SUSPENDS static int verb_starttls(struct sitting *t)
{
	SSL *ssl = t->sink->tls && !stream_tls(t->s) ? SSL_new(t->sink->tls) : NULL;

	if (!ssl)
		return say(t, "502 5.5.1 Not here");
	SSL_set_accept_state(ssl);
	int r = say(t, "220 2.0.0 Go on");
	if (r < 0) {
		SSL_free(ssl);
		return r;
	}
	reset(t);
	return stream_start_tls(t->s, ssl, SINK_TIMEOUT);
}

SUSPENDS static int bench_count(struct sitting *t, const struct tally_run *run)
{
	const struct histogram *h = &run->latency;

	return stream_printf(t->s,
		"250 %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
		" %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\r\n",
		run->pairs, run->messages, run->doubled, run->damaged, run->first_usec,
		run->last_usec, sink_cpu_usec(), histogram_permille(h, 500),
		histogram_permille(h, 900), histogram_permille(h, 990), histogram_permille(h, 999),
		h->max);
}

SUSPENDS static int bench_marks(struct sitting *t, const struct tally_run *run)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t n = run->of * run->rcpts;
	struct buf line = BUF_INIT(MARKS_A_LINE * 2 + 16);
	int r = 0;

	for (uint64_t at = 0; at < n && r >= 0;) {
		uint64_t end = MIN(n, at + MARKS_A_LINE);
		buf_reset(&line);
		buf_str(&line, end == n ? "250 " : "250-");
		for (; at < end; at++) {
			buf_char(&line, digits[run->marks[at] >> 4]);
			buf_char(&line, digits[run->marks[at] & 15]);
		}
		buf_str(&line, "\r\n");
		r = line.error ? line.error : stream_write(t->s, buf_span(&line));
	}
	buf_done(&line);
	return r;
}

SUSPENDS static int verb_bench(struct sitting *t, struct span argument)
{
	char hex[17] = {0}, *end = NULL;
	bool marks = span_starts_nocase(argument, SPAN_LIT("MARKS "));
	struct span id = span_trim(span_from(argument, 6));

	if (id.len == 16)
		memcpy(hex, id.ptr, 16);
	struct tally_run *run = tally_find(&t->sink->tally, strtoull(hex, &end, 16));
	if (!run)
		return say(t, "551 Nothing of that run has come");
	return marks ? bench_marks(t, run) : bench_count(t, run);
}

/* ---- the session ---- */

SUSPENDS static int handle(struct sitting *t, struct span line)
{
	struct command c = {0};

	(void)command_parse(line, true, &c);
	switch (c.verb) {
	case VERB_HELO:
	case VERB_EHLO:
	case VERB_LHLO:
		return verb_hello(t, c.verb);
	case VERB_MAIL:
		return verb_mail(t);
	case VERB_RCPT:
		return verb_rcpt(t, &c);
	case VERB_DATA:
		return verb_data(t);
	case VERB_BDAT:
		return verb_bdat(t, &c);
	case VERB_AUTH:
		return verb_auth(t, &c);
	case VERB_STARTTLS:
		return verb_starttls(t);
	case VERB_RSET:
		reset(t);
		return say(t, "250 2.0.0 Ok");
	case VERB_NOOP:
		return say(t, "250 2.0.0 Ok");
	case VERB_QUIT:
		if (say(t, "221 2.0.0 Bye") >= 0 && stream_finish(t->s) < 0)
			return -ECONNRESET;
		return -ESHUTDOWN;
	default:
		if (span_equal_nocase(c.word, SPAN_LIT("XBENCH")))
			return verb_bench(t, c.argument);
		return say(t, "502 5.5.1 Not here");
	}
}

static int converse(struct sitting *t)
{
	struct span line;
	int r = mischief(t, SINK_AT_CONNECT);

	if (r > 0)
		return stream_flush(t->s);
	if (r == 0)
		r = say(t, "220 sink.example ESMTP");
	while (r >= 0) {
		r = stream_read_line(t->s, COMMAND_LINE_MAX_EXTENDED, &line, NULL);
		if (r >= 0)
			r = handle(t, line);
	}
	return r;
}

void sink_session_fiber(void *arg)
{
	struct sink_session *session = arg;
	struct sink *k = session->sink;
	struct sitting t = {.sink = k, .decoded = BUF_INIT(DECODED_MAX), .lmtp = k->o->lmtp};

	intake_init(&t.intake);
	if (stream_new_known(session->fd, session->tcp, &t.s) >= 0) {
		stream_set_timeout(t.s, SINK_TIMEOUT, SINK_TIMEOUT);
		(void)!converse(&t);
	}
	stream_free(t.s);
	intake_done(&t.intake);
	buf_done(&t.decoded);
	free(t.rcpts);
	k->open--;
	list_remove(&session->node);
	free(session);
}
