/* What is kept of a session: the opening, the last transaction, no secret, no more than its room.
 */
#include "support.h"

#include "deliver/smtp_delivery.h"
#include "deliver/transcript.h"

#define TIME_OCTETS 13 /* "HH:MM:SS.mmm " */

/* The lines without their times; the caller frees. */
static char *text_of(struct span written)
{
	struct buf out = BUF_INIT(1 << 20);
	while (written.len) {
		size_t len = span_index(written, '\n');
		assert_true(len > TIME_OCTETS);
		buf_put(&out, span_from(span_head(written, len), TIME_OCTETS));
		buf_char(&out, '\n');
		written = span_from(written, len + 1);
	}
	buf_char(&out, '\0');
	assert_int_equal(out.error, 0);
	return out.ptr;
}

static void expect(const struct transcript *t, const char *want)
{
	struct buf b = BUF_INIT(1 << 20);
	transcript_write(t, &b);
	char *got = text_of(buf_span(&b));
	assert_string_equal(got, want);
	free(got);
	buf_done(&b);
}

static void keeping(void *arg)
{
	struct transcript *t = calloc(1, sizeof(*t));
	(void)arg;
	assert_non_null(t);
	transcript_init(t);
	expect(t, "");
	transcript_note(t, TRANSCRIPT_GOT, SPAN_LIT("220 mx"));
	transcript_note(t, TRANSCRIPT_SENT, SPAN_LIT("EHLO a\r\n"));
	transcript_notef(t, TRANSCRIPT_FACT, "%s at\n%d", "all", 7);
	transcript_opened(t);
	transcript_note(t, TRANSCRIPT_SENT, SPAN_LIT("MAIL FROM:<a>\r\n"));
	expect(t, "< 220 mx\n> EHLO a\n* all at 7\n> MAIL FROM:<a>\n");
	transcript_restart(t);
	transcript_note(t, TRANSCRIPT_SENT, SPAN_LIT("RSET\r\n"));
	expect(t, "< 220 mx\n> EHLO a\n* all at 7\n> RSET\n");
	free(t);
}

static void transcript__opening_and_last_transaction(void **state)
{
	(void)state;
	run_on_loop(keeping, NULL);
}

/* Many lines of any length: the opening stays, the end is there, and what is missing is said. */
static void crowding(void *arg)
{
	struct transcript *t = calloc(1, sizeof(*t));
	char line[400];
	(void)arg;
	assert_non_null(t);
	transcript_init(t);
	transcript_note(t, TRANSCRIPT_GOT, SPAN_LIT("220 first"));
	transcript_opened(t);
	for (unsigned i = 0; i < 1000; i++) {
		int n = snprintf(line, sizeof(line), "%u:%0*u", i, (int)(i * 37 % 350 + 1), 0u);
		transcript_note(t, TRANSCRIPT_SENT, span_make(line, (size_t)n));
		assert_true(t->used <= sizeof(t->octets));
	}
	transcript_note(t, TRANSCRIPT_GOT, SPAN_LIT("550 last"));
	struct buf b = BUF_INIT(1 << 20);
	transcript_write(t, &b);
	char *got = text_of(buf_span(&b));
	assert_int_equal(strncmp(got, "< 220 first\n* (", 15), 0);
	unsigned lost = (unsigned)strtoul(got + 15, NULL, 10), kept = 0;
	for (const char *p = got; (p = strstr(p, "\n> ")); p++)
		kept++;
	assert_int_equal(lost + kept, 1000);
	assert_non_null(strstr(got, "\n< 550 last\n"));
	assert_true(kept >= 5);
	free(got);
	buf_done(&b);

	/* An opening that talks too much does not push the transaction out. */
	transcript_init(t);
	memset(line, 'x', sizeof(line));
	for (unsigned i = 0; i < 100; i++)
		transcript_note(t, TRANSCRIPT_GOT, span_make(line, 300));
	transcript_opened(t);
	assert_true(t->opening <= TRANSCRIPT_OPENING_MAX);
	free(t);
}

static void transcript__bounded(void **state)
{
	(void)state;
	run_on_loop(crowding, NULL);
}

#define HELLO "S: 220 mx ESMTP\nC: EHLO\nS: 250-mx\nS: 250 PIPELINING\n"
#define SAID                                                                                       \
	"* connected to 127.0.0.1:PORT from 127.0.0.1, TLS: may, by auto\n< 220 mx ESMTP\n"        \
	"> EHLO client.example.org\n< 250-mx\n< 250 PIPELINING\n"

static const struct {
	const char *name, *script, *want; /* PORT: the peer's */
} cases[] = {
	{"delivered__nothing",
		HELLO "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\nS: 250 ok\n",
		""},
	{"greeting_refused", "S: 554 go away\n",
		"* host 127.0.0.1: 127.0.0.1:PORT\n"
		"* connected to 127.0.0.1:PORT from 127.0.0.1, TLS: may, by auto\n"
		"< 554 go away\n"},
	{"recipient_refused",
		HELLO "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 550 5.1.1 no\nS: 554 none\n",
		"* host 127.0.0.1: 127.0.0.1:PORT\n" SAID
		"> MAIL FROM:<>\n> RCPT TO:<a@b.org>\n> DATA\n< 250 ok\n< 550 5.1.1 no\n"
		"< 554 none\n"},
	{"message_refused",
		HELLO
		"C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\nS: 451 full\n",
		"* host 127.0.0.1: 127.0.0.1:PORT\n" SAID
		"> MAIL FROM:<>\n> RCPT TO:<a@b.org>\n> DATA\n< 250 ok\n< 250 ok\n< 354 go\n"
		"> (the message) .\n< 451 full\n"},
	{"dies", HELLO "C: MAIL\nX:\n",
		"* host 127.0.0.1: 127.0.0.1:PORT\n" SAID
		"> MAIL FROM:<>\n> RCPT TO:<a@b.org>\n> DATA\n"
		"* no reply: Connection reset by peer\n"},
};

static char *with_port(const char *text, uint16_t port)
{
	struct buf b = BUF_INIT(1 << 16);
	for (const char *p; (p = strstr(text, "PORT")); text = p + 4) {
		buf_append(&b, text, (size_t)(p - text));
		buf_u64(&b, port);
	}
	buf_str(&b, text);
	buf_char(&b, '\0');
	return b.ptr;
}

static void one_case(const char *name, const char *script, const char *want)
{
	struct fake_hop hop;
	struct cache *cache;
	struct stored stored;
	struct delivery d;
	assert_int_equal(cache_new(&cache), 0);
	fake_hop_open(&hop, script);
	struct wanted_job job = {.port = hop.port, .rcpts = {"a@b.org"}};
	store_message(&stored, SPAN_LIT("Subject: secret\r\n\r\nbody\r\n"));
	make_delivery(&d, &job, &stored);
	deliver_over(&d, cache);
	char *got = text_of(d.told ? buf_span(&d.transcript) : SPAN_NULL);
	char *wanted = with_port(want, hop.port);
	/* The order of both ends' resets is the kernel's. */
	if (strcmp(got, wanted) != 0)
		fail_msg("%s: want\n%s\ngot\n%s", name, wanted, got);
	free(got);
	free(wanted);
	delivery_done(&d);
	store_done(&stored);
	cache_free(cache);
	fake_hop_close(&hop);
}

static void failing(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		one_case(cases[i].name, cases[i].script, cases[i].want);
}

static void smtp_deliver__tells_what_failed(void **state)
{
	(void)state;
	run_on_loop(failing, NULL);
}

/* Of a thousand failed sessions the last lines come back. */
static void telling_much(void *arg)
{
	struct delivery d;
	struct stored stored;
	struct wanted_job job = {.port = 25, .rcpts = {"a@b.org"}};
	(void)arg;
	store_message(&stored, SPAN_LIT("x\r\n"));
	make_delivery(&d, &job, &stored);
	for (unsigned i = 0; i < 2000; i++)
		delivery_fact(&d, "fact %u", i);
	assert_true(d.transcript.len <= TRANSCRIPTS_MAX);
	char *got = text_of(buf_span(&d.transcript));
	assert_non_null(strstr(got, "* fact 1999\n"));
	assert_int_equal(strncmp(got, "* fact 1", 8), 0);
	free(got);
	delivery_done(&d);
	store_done(&stored);
}

static void delivery_fact__bounded(void **state)
{
	(void)state;
	run_on_loop(telling_much, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(transcript__opening_and_last_transaction),
		cmocka_unit_test(transcript__bounded),
		cmocka_unit_test(smtp_deliver__tells_what_failed),
		cmocka_unit_test(delivery_fact__bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
