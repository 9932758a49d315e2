/* What the client makes of a peer's extensions, against scripted next hops. */
#include "support.h"

#include "deliver/smtp_delivery.h"
#include "deliver/offers.h"
#include "mail/facts.h"

#define HELLO(...)                                                                                 \
	"S: 220 mx.example.org ESMTP\nC: EHLO client.example.org\nS: 250-mx.example.org\n"         \
	"S: 250-PIPELINING\n" __VA_ARGS__ "S: 250 8BITMIME\n"
#define MESSAGE "Subject: x\r\n\r\n.dot\r\n"
#define SENT	"Subject: x\r\n\r\n..dot\r\n.\r\n"
#define ONE                                                                                        \
	{                                                                                          \
		"a@b.org"                                                                          \
	}
#define TWO                                                                                        \
	{                                                                                          \
		"a@b.org", "c@d.org"                                                               \
	}
#define THREE                                                                                      \
	{                                                                                          \
		"a@b.org", "c@d.org", "e@B.org"                                                    \
	}
#define PLAIN_DATA "C: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\nS: 250 taken\n"

static void with_dsn(struct job *j, struct job_rcpt *rcpts)
{
	j->ret = MESSAGE_RET_HDRS;
	j->envid = SPAN_LIT("QQ 314+159");
	rcpts[0].notify = NOTIFY_SUCCESS | NOTIFY_DELAY;
	rcpts[0].orcpt = SPAN_LIT("rfc822;A+x@b.org");
	rcpts[1].notify = NOTIFY_NEVER;
	rcpts[1].original = SPAN_LIT("alias@y.org");
}

static void with_utf8_orcpt(struct job *j, struct job_rcpt *rcpts)
{
	(void)j;
	rcpts[0].orcpt = SPAN_LIT("utf-8;j\303\266rg@b.org");
}

static void with_priority(struct job *j, struct job_rcpt *rcpts)
{
	(void)rcpts;
	j->priority = -4;
}

static void due(struct job *j, int64_t seconds, uint8_t mode)
{
	j->deliver_by_wall_usec =
		(uint64_t)((int64_t)loop_wall_usec() + seconds * (int64_t)USEC_PER_SEC + 500000);
	j->deliver_by_mode = mode;
}

static void by_notify(struct job *j, struct job_rcpt *rcpts)
{
	(void)rcpts;
	due(j, 7000, MESSAGE_BY_NOTIFY | MESSAGE_BY_TRACE);
}

static void by_return(struct job *j, struct job_rcpt *rcpts)
{
	(void)rcpts;
	due(j, 7000, MESSAGE_BY_RETURN);
}

static void by_return_late(struct job *j, struct job_rcpt *rcpts)
{
	(void)rcpts;
	due(j, -7, MESSAGE_BY_RETURN);
}

static void with_utf8_header(struct job *j, struct job_rcpt *rcpts)
{
	(void)rcpts;
	j->flags = MESSAGE_SMTPUTF8 | MESSAGE_UTF8_HEADER;
}

static void only_asked(struct job *j, struct job_rcpt *rcpts)
{
	(void)rcpts;
	j->flags = MESSAGE_SMTPUTF8;
}

struct extension_case {
	const char *name, *script;
	struct wanted_job job;
	const char *message; /* NULL: MESSAGE */
	const char *want, *want_data;
	const char *want_passed; /* a letter a recipient: d DSN, b by-time, x both, - neither */
};

static const struct extension_case cases[] = {
	{
		.name = "rfc3030_2__small_message_with_its_envelope",
		.script =
			HELLO("S: 250-CHUNKING\n") "C: MAIL FROM:<s@x.org>\nC: RCPT TO:<a@b.org>\n"
						   "C: BDAT 20 LAST\nB: 20\nS: 250 ok\nS: 250 ok\n"
						   "S: 250 2.0.0 taken\n",
		.job = {.from = "s@x.org", .rcpts = ONE},
		.want = "0:delivered:250:2.0.0 ",
		.want_data = MESSAGE,
	},
	{
		.name = "rfc3030_2__nobody_accepted",
		.script = HELLO(
			"S: 250-CHUNKING\n") "C: MAIL\nC: RCPT\nC: BDAT 20 LAST\nB: 20\nS: 250 ok\n"
					     "S: 550 5.1.1 no\nS: 503 5.5.1 nobody\n",
		.job = {.from = "s@x.org", .rcpts = ONE},
		.want = "0:failed:550:5.1.1 ",
		.want_data = MESSAGE,
	},
	{
		.name = "rfc3030_2__some_accepted",
		.script = HELLO(
			"S: 250-CHUNKING\n") "C: MAIL\nC: RCPT\nC: RCPT\nC: BDAT 20 LAST\nB: 20\n"
					     "S: 250 ok\nS: 450 4.2.1 later\nS: 250 ok\n"
					     "S: 451 4.3.0 no\n",
		.job = {.from = "s@x.org", .rcpts = TWO},
		.want = "0:deferred:450:4.2.1 1:deferred:451:4.3.0 ",
		.want_data = MESSAGE,
	},
	{
		.name = "rfc3030_3__binary_goes_octet_for_octet",
		.script = HELLO(
			"S: 250-CHUNKING\nS: 250-BINARYMIME\n") "C: MAIL FROM:<s@x.org> "
								"BODY=BINARYMIME\nC: RCPT\nC: BDAT "
								"7 LAST\nB: 7\n"
								"S: 250 ok\nS: 250 ok\nS: 250 ok\n",
		.job = {.from = "s@x.org", .rcpts = ONE, .body = 2},
		.message = "a\nb\rc\r\n",
		.want = "0:delivered:250:2.0.0 ",
		.want_data = "a\nb\rc\r\n",
	},
	{
		.name = "rfc5321_2_3_8__a_bare_cr_or_lf_never_leaves",
		.script = HELLO(
			"S: 250-CHUNKING\n") "C: MAIL\nC: RCPT\nC: BDAT 14 LAST\nB: 14\nS: 250 ok\n"
					     "S: 250 ok\nS: 250 ok\n",
		.job = {.from = "s@x.org", .rcpts = ONE},
		.message = "a\nb\rc\r\r\nd",
		.want = "0:delivered:250:2.0.0 ",
		.want_data = "a\r\nb\r\nc\r\n\r\nd\r\n",
	},
	{
		.name = "rfc3461_5_2_1__what_was_asked_is_passed_on",
		.script = HELLO(
			"S: 250-DSN\n") "C: MAIL FROM:<s@x.org> RET=HDRS ENVID=QQ+20314+2B159\n"
					"C: RCPT TO:<a@b.org> NOTIFY=SUCCESS,DELAY "
					"ORCPT=rfc822;A+2Bx@b.org\n"
					"C: RCPT TO:<c@d.org> NOTIFY=NEVER "
					"ORCPT=rfc822;alias@y.org\n"
					"C: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 "
					"go\nD:\nS: 250 taken\n",
		.job = {.from = "s@x.org", .rcpts = TWO, .more = with_dsn},
		.want = "0:delivered:250:2.0.0 1:delivered:250:2.0.0 ",
		.want_data = SENT,
		.want_passed = "dd",
	},
	{
		.name = "rfc3461_5_2_2__a_peer_without_dsn_is_told_nothing",
		.script = HELLO() "C: MAIL FROM:<s@x.org>\nC: RCPT TO:<a@b.org>\nC: RCPT "
				  "TO:<c@d.org>\n"
				  "C: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\nS: 250 "
				  "taken\n",
		.job = {.from = "s@x.org", .rcpts = TWO, .more = with_dsn},
		.want = "0:delivered:250:2.0.0 1:delivered:250:2.0.0 ",
		.want_data = SENT,
		.want_passed = "--",
	},
	{
		.name = "rfc6533_3__orcpt_in_ascii",
		.script = HELLO("S: 250-DSN\n") "C: MAIL\nC: RCPT TO:<a@b.org> "
						"ORCPT=utf-8;j\\x{F6}rg@b.org\n" PLAIN_DATA,
		.job = {.from = "s@x.org", .rcpts = ONE, .more = with_utf8_orcpt},
		.want = "0:delivered:250:2.0.0 ",
		.want_data = SENT,
	},
	{
		.name = "rfc6710_4_3__priority_is_passed_on",
		.script = HELLO("S: 250-MT-PRIORITY\n") "C: MAIL FROM:<s@x.org> MT-PRIORITY=-4\nC: "
							"RCPT\n" PLAIN_DATA,
		.job = {.from = "s@x.org", .rcpts = ONE, .more = with_priority},
		.want = "0:delivered:250:2.0.0 ",
		.want_data = SENT,
	},
	{
		.name = "rfc2852_4_1_3__the_time_that_is_left",
		.script = HELLO("S: 250-DELIVERBY 6000\n") "C: MAIL FROM:<s@x.org> BY=7000;NT\nC: "
							   "RCPT\n" PLAIN_DATA,
		.job = {.from = "s@x.org", .rcpts = ONE, .more = by_notify},
		.want = "0:delivered:250:2.0.0 ",
		.want_data = SENT,
		.want_passed = "b",
	},
	{
		.name = "rfc2852_4_1_4__notify_goes_without",
		.script = HELLO() "C: MAIL FROM:<s@x.org>\nC: RCPT\n" PLAIN_DATA,
		.job = {.from = "s@x.org", .rcpts = ONE, .more = by_notify},
		.want = "0:delivered:250:2.0.0 ",
		.want_data = SENT,
		.want_passed = "-",
	},
	{
		.name = "rfc2852_4_1_4__return_does_not",
		.script = HELLO(),
		.job = {.from = "s@x.org", .rcpts = ONE, .more = by_return},
		.want = "0:failed:0:5.3.3 ",
	},
	{
		.name = "rfc2852_4_1_4__return_needs_the_time",
		.script = HELLO("S: 250-DELIVERBY 7200\n"),
		.job = {.from = "s@x.org", .rcpts = ONE, .more = by_return},
		.want = "0:failed:0:5.4.7 ",
	},
	{
		.name = "rfc2852_4_1_4__return_is_late",
		.script = HELLO("S: 250-DELIVERBY\n"),
		.job = {.from = "s@x.org", .rcpts = ONE, .more = by_return_late},
		.want = "0:failed:0:5.4.7 ",
	},
	{
		.name = "rfc9422_4_2__rcptmax",
		.script = HELLO(
			"S: 250-LIMITS RCPTMAX=2 NEW=x MAILMAX=\n") "C: MAIL\nC: RCPT "
								    "TO:<a@b.org>\nC: RCPT "
								    "TO:<c@d.org>\n"
								    "C: DATA\nS: 250 ok\nS: 250 "
								    "ok\nS: 250 ok\nS: 354 go\nD:\n"
								    "S: 250 taken\n",
		.job = {.from = "s@x.org", .rcpts = THREE},
		.want = "0:delivered:250:2.0.0 1:delivered:250:2.0.0 2:not-tried:0:4.5.3 ",
		.want_data = SENT,
	},
	{
		.name = "rfc9422_4_3__rcptdomainmax",
		.script = HELLO(
			"S: 250-LIMITS RCPTDOMAINMAX=1\n") "C: MAIL\nC: RCPT TO:<a@b.org>\nC: RCPT "
							   "TO:<e@B.org>\n"
							   "C: DATA\nS: 250 ok\nS: 250 ok\nS: 250 "
							   "ok\nS: 354 go\nD:\n"
							   "S: 250 taken\n",
		.job = {.from = "s@x.org", .rcpts = THREE},
		.want = "0:delivered:250:2.0.0 1:not-tried:0:4.5.3 2:delivered:250:2.0.0 ",
		.want_data = SENT,
	},
	{
		.name = "rfc6531_3_2__utf8_is_asked_for",
		.script = HELLO(
			"S: 250-SMTPUTF8\n") "C: MAIL FROM:<s@x.org> SMTPUTF8\nC: RCPT "
					     "TO:<j\303\266rg@b\303\274ro.example>\n" PLAIN_DATA,
		.job = {.from = "s@x.org", .rcpts = {"j\303\266rg@b\303\274ro.example"}},
		.want = "0:delivered:250:2.0.0 ",
		.want_data = SENT,
	},
	{
		.name = "rfc6531_3_2__a_labels_are_enough",
		.script = HELLO() "C: MAIL FROM:<s@xn--bro-hoa.example>\nC: RCPT "
				  "TO:<a@xn--bro-hoa.example>\n" PLAIN_DATA,
		.job = {.from = "s@b\303\274ro.example",
			.rcpts = {"a@b\303\274ro.example"},
			.more = only_asked},
		.want = "0:delivered:250:2.0.0 ",
		.want_data = SENT,
	},
	{
		.name = "rfc6531_3_5__an_address_that_needs_utf8",
		.script = HELLO() "C: MAIL FROM:<s@x.org>\nC: RCPT TO:<a@b.org>\n" PLAIN_DATA,
		.job = {.from = "s@x.org", .rcpts = {"j\303\266rg@b.org", "a@b.org"}},
		.want = "0:failed:553:5.6.7 1:delivered:250:2.0.0 ",
		.want_data = SENT,
	},
	{
		.name = "rfc6531_3_5__a_sender_that_needs_utf8",
		.script = HELLO(),
		.job = {.from = "j\303\266rg@x.org", .rcpts = ONE},
		.want = "0:failed:553:5.6.7 ",
	},
	{
		.name = "rfc6531_3_5__a_header_that_needs_utf8",
		.script = HELLO(),
		.job = {.from = "s@x.org", .rcpts = ONE, .more = with_utf8_header},
		.want = "0:failed:554:5.6.9 ",
	},
	{
		.name = "rfc6152_3__8_bit_to_7_bit",
		.script = "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250 PIPELINING\nC: MAIL "
			  "FROM:<s@x.org>\nC: RCPT\n" PLAIN_DATA,
		.job = {.from = "s@x.org", .rcpts = ONE, .body = 1},
		.message = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: "
			   "text/plain\r\n\r\n.caf\351 au lait\r\n",
		.want = "0:delivered:250:2.0.0 ",
		.want_data = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n"
			     "Content-Transfer-Encoding: quoted-printable\r\n\r\n=2Ecaf=E9 au "
			     "lait\r\n.\r\n",
	},
	{
		.name = "rfc6152_3__signed_goes_back",
		.script = "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250 PIPELINING\n",
		.job = {.from = "s@x.org", .rcpts = ONE, .body = 1},
		.message = "Content-Type: multipart/signed; "
			   "boundary=a\r\n\r\n--a\r\n\r\ncaf\351\r\n--a--\r\n",
		.want = "0:failed:554:5.6.3 ",
	},
	{
		.name = "rfc3030_3__binary_to_base64",
		.script = HELLO("S: 250-CHUNKING\n") "C: MAIL FROM:<s@x.org> BODY=8BITMIME\nC: "
						     "RCPT\nC: BDAT\nB:\n"
						     "S: 250 ok\nS: 250 ok\nS: 250 ok\n",
		.job = {.from = "s@x.org", .rcpts = ONE, .body = 2},
		.message = "MIME-Version: 1.0\r\nContent-Type: image/x\r\n\r\na\nb\rc\351",
		.want = "0:delivered:250:2.0.0 ",
		.want_data =
			"MIME-Version: 1.0\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: "
			"base64\r\n\r\nYQpiDWPp\r\n",
	},
	{
		.name = "prdr__each_recipient_is_answered",
		.script = HELLO(
			"S: 250-PRDR\n") "C: MAIL FROM:<s@x.org> PRDR\nC: RCPT\nC: RCPT\nC: "
					 "RCPT\nC: DATA\nS: 250 ok\n"
					 "S: 250 ok\nS: 550 5.1.1 no\nS: 250 ok\nS: 354 go\nD:\nS: "
					 "353 analysing\n"
					 "S: 250 2.1.5 taken\nS: 452 4.2.2 full\nS: 250 done\n",
		.job = {.from = "s@x.org", .rcpts = THREE},
		.want = "0:delivered:250:2.1.5 1:failed:550:5.1.1 2:deferred:452:4.2.2 ",
		.want_data = SENT,
	},
	{
		.name = "prdr__the_last_reply_refuses_all",
		.script = HELLO("S: 250-PRDR\n") "C: MAIL\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 "
						 "ok\nS: 250 ok\nS: 250 ok\n"
						 "S: 354 go\nD:\nS: 353 analysing\nS: 250 2.1.5 "
						 "taken\nS: 550 5.7.1 no\n"
						 "S: 451 4.3.0 disk\n",
		.job = {.from = "s@x.org", .rcpts = TWO},
		.want = "0:deferred:451:4.3.0 1:failed:550:5.7.1 ",
		.want_data = SENT,
	},
	{
		.name = "prdr__answered_as_usual",
		.script = HELLO("S: 250-PRDR\n") "C: MAIL\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 "
						 "ok\nS: 250 ok\nS: 250 ok\n"
						 "S: 354 go\nD:\nS: 250 taken\n",
		.job = {.from = "s@x.org", .rcpts = TWO},
		.want = "0:delivered:250:2.0.0 1:delivered:250:2.0.0 ",
		.want_data = SENT,
	},
};

static struct span passed_on(const struct outcome *o, char *text)
{
	for (uint32_t i = 0; i < o->n_rcpts; i++)
		text[i] = o->rcpts[i].dsn_passed_on  ? (o->rcpts[i].by_passed_on ? 'x' : 'd')
			  : o->rcpts[i].by_passed_on ? 'b'
						     : '-';
	return span_make(text, o->n_rcpts);
}

static void check_case(const struct extension_case *c)
{
	struct fake_hop hop;
	struct stored stored;
	struct delivery d;
	struct cache *cache;
	struct wanted_job job = c->job;
	char passed[8];
	assert_int_equal(cache_new(&cache), 0);
	fake_hop_open(&hop, c->script);
	job.port = hop.port;
	store_message(&stored, span_str(c->message ? c->message : MESSAGE));
	make_delivery(&d, &job, &stored);
	deliver_over(&d, cache);
	char *got = outcome_text(&d.outcome);
	struct span got_passed = passed_on(&d.outcome, passed);
	if (strcmp(got, c->want) != 0)
		print_error("%s\n want %s\n  got %s\n  %.*s\n", c->name, c->want, got,
			SPAN_FMT(d.outcome.rcpts[0].text));
	if (c->want_passed && !span_equal(got_passed, span_str(c->want_passed)))
		print_error("%s: want %s, got %.*s passed on\n", c->name, c->want_passed,
			SPAN_FMT(got_passed));
	assert_string_equal(got, c->want);
	assert_true(!c->want_passed || span_equal(got_passed, span_str(c->want_passed)));
	free(got);
	assert_int_equal(cache_idle(cache), 1);
	end_cache(cache);
	for (int i = 0; i < 300 && hop.open > 0; i++)
		(void)fiber_sleep(10 * USEC_PER_MSEC);
	struct span want_data = span_str(c->want_data);
	if (!span_equal(buf_span(&hop.data), want_data))
		print_error("%s\n want data %.*s\n  got %.*s\n", c->name, SPAN_FMT(want_data),
			SPAN_FMT(buf_span(&hop.data)));
	assert_true(span_equal(buf_span(&hop.data), want_data));
	delivery_done(&d);
	store_done(&stored);
	fake_hop_close(&hop);
}

static void check_all_cases(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_case(&cases[i]);
}

static void smtp_deliver__extensions(void **state)
{
	(void)state;
	run_on_loop(check_all_cases, NULL);
}

/* A message of many chunks: several on the way at once, or one, or one that is refused. */
static void send_chunks(void *arg)
{
	const char *script = arg;
	struct buf big = BUF_INIT(4 << 20);
	struct fake_hop hop;
	struct stored stored;
	struct delivery d;
	struct cache *cache;
	for (int i = 0; i < 9000; i++)
		buf_printf(&big, ".%04d %070d\r\n", i, i);
	assert_int_equal(cache_new(&cache), 0);
	fake_hop_open(&hop, script);
	struct wanted_job job = {.from = "s@x.org", .rcpts = ONE, .port = hop.port};
	store_message(&stored, buf_span(&big));
	make_delivery(&d, &job, &stored);
	deliver_over(&d, cache);
	bool refused = strstr(script, "552") != NULL;
	if (d.outcome.rcpts[0].result != (refused ? OUTCOME_FAILED : OUTCOME_DELIVERED))
		print_error("%s\n%.*s\n", script, SPAN_FMT(d.outcome.rcpts[0].text));
	assert_int_equal(d.outcome.rcpts[0].result, refused ? OUTCOME_FAILED : OUTCOME_DELIVERED);
	assert_int_equal(cache_idle(cache), 1);
	end_cache(cache);
	for (int i = 0; i < 300 && hop.open > 0; i++)
		(void)fiber_sleep(10 * USEC_PER_MSEC);
	assert_true(refused || span_equal(buf_span(&hop.data), buf_span(&big)));
	delivery_done(&d);
	store_done(&stored);
	fake_hop_close(&hop);
	buf_done(&big);
}

#define ENVELOPE "C: MAIL\nC: RCPT\nS: 250 ok\nS: 250 ok\n"
#define CHUNK	 "C: BDAT 2\nB:\n"

static void transfer_bdat__chunks(void **state)
{
	(void)state;
	static const char *const scripts[] = {
		HELLO("S: 250-CHUNKING\n") ENVELOPE CHUNK CHUNK
		"C: BDAT\nB:\nS: 250 ok\nS: 250 ok\nS: 250 2.0.0 taken\n",
		"S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250 CHUNKING\nC: MAIL\nS: 250 ok\nC: RCPT\nS: "
		"250 ok\n" CHUNK "N:\nS: 250 ok\n" CHUNK
		"N:\nS: 250 ok\nC: BDAT\nB:\nS: 250 2.0.0 taken\n",
		"S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250 CHUNKING\nC: MAIL\nS: 250 ok\nC: RCPT\nS: "
		"250 ok\n" CHUNK "S: 552 5.3.4 too big\n",
		HELLO("S: 250-CHUNKING\n") ENVELOPE CHUNK CHUNK
		"C: BDAT\nB:\nS: 250 ok\nS: 552 5.3.4 big\nS: 503 5.5.1 what\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(scripts); i++)
		run_on_loop(send_chunks, (void *)(uintptr_t)scripts[i]);
}

static void offers_learn__limits(void **state)
{
	(void)state;
	static const struct {
		const char *value;
		uint64_t mail, rcpt, domains;
	} limits[] = {
		{"", 0, 0, 0},
		{"RCPTMAX=20", 0, 20, 0},
		{"rcptmax=20  MAILMAX=5 RCPTDOMAINMAX=1", 5, 20, 1},
		{"RCPTMAX=0 MAILMAX=1000000 RCPTDOMAINMAX=x", 0, 0, 0},
		{"RCPTMAX RCPTMAXX=3 =4 MAILMAX=7=8", 0, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct offers o = {0};
		offers_learn(&o, SPAN_LIT("limits"), span_str(limits[i].value));
		assert_int_equal(o.mail_max, limits[i].mail);
		assert_int_equal(o.rcpt_max, limits[i].rcpt);
		assert_int_equal(o.rcpt_domain_max, limits[i].domains);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smtp_deliver__extensions),
		cmocka_unit_test(transfer_bdat__chunks),
		cmocka_unit_test(offers_learn__limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
