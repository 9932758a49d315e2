/* The SMTP and LMTP client against scripted next hops. */
#include "support.h"
#include <fcntl.h>

#include "deliver/smtp_delivery.h"

#define HELLO                                                                                      \
	"S: 220 mx.example.org ESMTP\n"                                                            \
	"C: EHLO client.example.org\n"                                                             \
	"S: 250-mx.example.org\n"
#define PIPELINED HELLO "S: 250-PIPELINING\nS: 250-SIZE 1000000\nS: 250 8BITMIME\n"
#define PLAIN	  HELLO "S: 250 SIZE\n"
#define THREE                                                                                      \
	{                                                                                          \
		"a@b.org", "c@d.org", "e@f.org"                                                    \
	}
#define ONE                                                                                        \
	{                                                                                          \
		"a@b.org"                                                                          \
	}
#define MESSAGE "Subject: x\r\n\r\n.dot\r\nend\r\n"
#define SENT	"Subject: x\r\n\r\n..dot\r\nend\r\n.\r\n"

struct smtp_case {
	const char *name;
	const char *script;
	struct wanted_job job;
	const char *want;      /* outcome_text */
	const char *want_data; /* NULL: nothing */
	const char *want_text; /* begin of the first recipient's text, NULL: any */
	unsigned want_idle;    /* sessions kept afterwards */
	const char *message;   /* NULL: MESSAGE */
	bool unix_socket;
};

static const struct smtp_case cases[] = {
	{
		.name = "pipelining__one_round",
		.script = PIPELINED
		"C: MAIL FROM:<s@x.org> SIZE=25 BODY=8BITMIME\nC: RCPT TO:<a@b.org>\n"
		"C: RCPT TO:<c@d.org>\nC: RCPT TO:<e@f.org>\nC: DATA\n"
		"S: 250 2.1.0 ok\nS: 250 2.1.5 ok\nS: 550 5.1.1 unknown\n"
		"S: 250 2.1.5 ok\nS: 354 go\nD:\nS: 250 2.6.0 taken as 42\n",
		.job = {.from = "s@x.org", .rcpts = THREE, .body = 1},
		.want = "0:delivered:250:2.6.0 1:failed:550:5.1.1 2:delivered:250:2.6.0 ",
		.want_data = SENT,
		.want_text = "2.6.0 taken as 42",
		.want_idle = 1,
	},
	{
		.name = "no_pipelining__one_at_a_time",
		.script = PLAIN "C: MAIL FROM:<> SIZE=25\nN:\nS: 250 ok\nC: RCPT TO:<a@b.org>\nN:\n"
				"S: 250 ok\nC: DATA\nN:\nS: 354 go\nD:\nS: 250 taken\n",
		.job = {.rcpts = ONE},
		.want = "0:delivered:250:2.0.0 ",
		.want_data = SENT,
		.want_idle = 1,
	},
	{
		.name = "ehlo_refused__helo",
		.script = "S: 220 old\nC: EHLO\nS: 502 what\nC: HELO client\nS: 250 old\n"
			  "C: MAIL FROM:<s@x.org>\nS: 250 ok\nC: RCPT\nS: 251 ok\nC: DATA\nS: 354 "
			  "go\n"
			  "D:\nS: 250 taken\n",
		.job = {.from = "s@x.org", .rcpts = ONE},
		.want = "0:delivered:250:2.0.0 ",
		.want_data = SENT,
		.want_idle = 1,
	},
	{
		.name = "multi_line_replies__joined",
		.script = "S: 220-welcome\nS: 220-this is\nS: 220 mx\nC: EHLO\nS: 250 mx\nC: MAIL\n"
			  "S: 250-2.1.0 well\nS: 250 2.1.0 ok\nC: RCPT\nS: 550-5.7.1 go\n"
			  "S: 550 5.7.1 away\n",
		.job = {.rcpts = ONE},
		.want = "0:failed:550:5.7.1 ",
		.want_text = "5.7.1 go\n5.7.1 away",
		.want_idle = 1,
	},
	{
		/* RFC 5321 4.5.3.1.10 */
		.name = "rcpt_452_in_the_middle__not_tried",
		.script = PIPELINED
		"C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\n"
		"S: 452 4.5.3 too many\nS: 552 too many\nS: 354 go\nD:\nS: 250 taken\n",
		.job = {.rcpts = THREE},
		.want = "0:delivered:250:2.0.0 1:not-tried:452:4.5.3 2:not-tried:552:4.0.0 ",
		.want_data = SENT,
		.want_idle = 1,
	},
	{
		.name = "rcpt_452_mailbox_full__waits",
		.script = PIPELINED
		"C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\n"
		"S: 452 4.2.2 full\nS: 552 5.2.2 full\nS: 354 go\nD:\nS: 250 taken\n",
		.job = {.rcpts = THREE},
		.want = "0:delivered:250:2.0.0 1:deferred:452:4.2.2 2:deferred:552:4.2.2 ",
		.want_data = SENT,
		.want_idle = 1,
	},
	{
		.name = "rcpt_452_for_all__deferred",
		.script = PIPELINED
		"C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\n"
		"S: 452 4.5.3 no\nS: 452 4.5.3 no\nS: 452 4.5.3 no\nS: 503 no rcpt\n",
		.job = {.rcpts = THREE},
		.want = "0:deferred:452:4.5.3 1:deferred:452:4.5.3 2:deferred:452:4.5.3 ",
		.want_idle = 1,
	},
	{
		.name = "rcpt_452_then_message_refused__those_go_on",
		.script = PIPELINED
		"C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\n"
		"S: 452 4.5.3 no\nS: 550 5.1.1 no\nS: 354 go\nD:\nS: 451 4.7.1 later\n",
		.job = {.rcpts = THREE},
		.want = "0:deferred:451:4.7.1 1:not-tried:452:4.5.3 2:failed:550:5.1.1 ",
		.want_data = SENT,
		.want_idle = 1,
	},
	{
		/* RFC 2920 3.1 */
		.name = "nobody_accepted_but_354__lone_dot",
		.script = PIPELINED
		"C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 550 5.1.1 no\nS: 354 go\nD:\n"
		"S: 554 5.5.1 no valid recipients\n",
		.job = {.rcpts = ONE},
		.want = "0:failed:550:5.1.1 ",
		.want_data = ".\r\n",
		.want_idle = 1,
	},
	{
		.name = "mail_refused__all_share_it",
		.script = PIPELINED
		"C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\nS: 550 5.7.1 you not\n"
		"S: 503 no\nS: 503 no\nS: 503 no\nS: 503 no\n",
		.job = {.rcpts = THREE},
		.want = "0:failed:550:5.7.1 1:failed:550:5.7.1 2:failed:550:5.7.1 ",
		.want_idle = 1,
	},
	{
		.name = "mail_refused_not_pipelined__nothing_more",
		.script = PLAIN "C: MAIL\nS: 451 later\n",
		.job = {.rcpts = THREE},
		.want = "0:deferred:451:4.0.0 1:deferred:451:4.0.0 2:deferred:451:4.0.0 ",
		.want_idle = 1,
	},
	{
		.name = "421_at_rcpt__the_rest_deferred",
		.script = PIPELINED "C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\n"
				    "S: 550 5.1.1 no\nS: 421 going down\nX:\n",
		.job = {.rcpts = THREE},
		.want = "0:failed:550:5.1.1 1:deferred:421:4.3.2 2:deferred:421:4.3.2 ",
	},
	{
		.name = "421_as_greeting__site_down",
		.script = "S: 421 4.7.0 busy\nX:\n",
		.job = {.rcpts = ONE},
		.want = "0:deferred:421:4.7.0 down ",
	},
	{
		.name = "554_as_greeting__deferred",
		.script = "S: 554 no service\nX:\n",
		.job = {.rcpts = ONE},
		.want = "0:deferred:554:4.4.1 down ",
	},
	{
		.name = "silence_as_greeting__timeout",
		.script = "H:\n",
		.job = {.rcpts = ONE, .command_timeout = 100 * USEC_PER_MSEC},
		.want = "0:deferred:0:4.4.2 down ",
		.want_text = "conversation with 127.0.0.1:",
	},
	{
		.name = "silence_at_rcpt__timeout",
		.script = PIPELINED
		"C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nH:\n",
		.job = {.rcpts = THREE, .command_timeout = 100 * USEC_PER_MSEC},
		.want = "0:deferred:0:4.4.2 1:deferred:0:4.4.2 2:deferred:0:4.4.2 ",
	},
	{
		/* Lines that never end a reply: one deadline covers them all. */
		.name = "dripping_reply__timeout",
		.script = PIPELINED
		"C: MAIL\nC: RCPT\nC: DATA\nS: 250-a\nW: 60\nS: 250-b\nW: 60\nS: 250-c\n"
		"W: 60\nS: 250-d\nW: 60\nH:\n",
		.job = {.rcpts = ONE, .command_timeout = 100 * USEC_PER_MSEC},
		.want = "0:deferred:0:4.4.2 ",
	},
	{
		.name = "close_after_dot__deferred",
		.script = PIPELINED
		"C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\nX:\n",
		.job = {.rcpts = ONE},
		.want = "0:deferred:0:4.4.2 ",
		.want_data = SENT,
		.want_text = "lost connection with 127.0.0.1:",
	},
	{
		.name = "silence_after_dot__timeout",
		.script = PIPELINED
		"C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\nH:\n",
		.job = {.rcpts = ONE, .data_timeout = 100 * USEC_PER_MSEC},
		.want = "0:deferred:0:4.4.2 ",
		.want_data = SENT,
	},
	{
		.name = "failed_after_dot__failed",
		.script =
			PIPELINED "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\n"
				  "S: 554 5.6.0 spam\n",
		.job = {.rcpts = ONE},
		.want = "0:failed:554:5.6.0 ",
		.want_data = SENT,
		.want_idle = 1,
	},
	{
		.name = "data_refused__deferred",
		.script = PLAIN
		"C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 451 4.3.0 later\n",
		.job = {.rcpts = ONE},
		.want = "0:deferred:451:4.3.0 ",
		.want_idle = 1,
	},
	{
		.name = "250_to_data__session_is_over",
		.script =
			PLAIN "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 250 what\nH:\n",
		.job = {.rcpts = ONE},
		.want = "0:deferred:250:4.0.0 ",
	},
	{
		.name = "garbage_greeting__site_down",
		.script = "S: SSH-2.0-OpenSSH\nH:\n",
		.job = {.rcpts = ONE},
		.want = "0:deferred:0:4.5.0 down ",
	},
	{
		.name = "garbage_at_rcpt__deferred",
		.script = PIPELINED "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: hello there\nH:\n",
		.job = {.rcpts = ONE},
		.want = "0:deferred:0:4.5.0 ",
	},
	{
		.name = "oversize_reply__deferred",
		.script = PIPELINED "C: MAIL\nC: RCPT\nC: DATA\nL: 100000\nH:\n",
		.job = {.rcpts = ONE},
		.want = "0:deferred:0:4.5.0 ",
	},
	{
		.name = "reset_in_data__deferred",
		.script = PIPELINED "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nR:\n",
		.job = {.rcpts = ONE},
		.want = "0:deferred:0:4.4.2 ",
	},
	{
		/* RFC 1870 */
		.name = "message_too_large__not_sent",
		.script = HELLO "S: 250 SIZE 20\n",
		.job = {.rcpts = ONE},
		.want = "0:failed:552:5.3.4 ",
		.want_idle = 1,
	},
	{
		.name = "bare_newlines__never_sent",
		.script = PLAIN
		"C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nD:\nS: 250 ok\n",
		.job = {.rcpts = ONE},
		.message = "a\nb\rc\r\n.\n.\rend",
		.want = "0:delivered:250:2.0.0 ",
		.want_data = "a\r\nb\r\nc\r\n..\r\n..\r\nend\r\n.\r\n",
		.want_idle = 1,
	},
	{
		.name = "control_in_address__not_sent",
		.script = PLAIN,
		.job = {.from = "s@x.org>\r\nRCPT TO:<victim@x.org", .rcpts = ONE},
		.want = "0:failed:553:5.1.7 ",
		.want_idle = 1,
	},
	{
		/* RFC 2033 4.2 */
		.name = "lmtp__replies_by_recipient",
		.script = "S: 220 lmtp\nC: LHLO client\nS: 250-lmtp\nS: 250 PIPELINING\nC: "
			  "MAIL\nC: RCPT\n"
			  "C: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 550 5.1.1 no\nS: "
			  "250 ok\n"
			  "S: 354 go\nD:\nS: 250 2.1.5 stored\nS: 452 4.2.2 full\n",
		.job = {.via = JOB_LMTP, .rcpts = THREE},
		.want = "0:delivered:250:2.1.5 1:failed:550:5.1.1 2:deferred:452:4.2.2 ",
		.want_data = SENT,
		.want_idle = 1,
	},
	{
		.name = "lmtp_unix_lost_between_replies__the_rest_deferred",
		.script = "S: 220 lmtp\nC: LHLO\nS: 250 PIPELINING\nC: MAIL\nS: 250 ok\nC: "
			  "RCPT\nS: 250 ok\n"
			  "C: RCPT\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nD:\n"
			  "S: 250 2.1.5 stored\nX:\n",
		.job = {.via = JOB_LMTP, .rcpts = THREE},
		.want = "0:delivered:250:2.1.5 1:deferred:0:4.4.2 2:deferred:0:4.4.2 ",
		.want_data = SENT,
		.unix_socket = true,
	},
};

static void check_case(const struct smtp_case *c)
{
	struct fake_hop hop;
	struct stored stored;
	struct delivery d;
	struct cache *cache;
	struct wanted_job job = c->job;
	assert_int_equal(cache_new(&cache), 0);
	if (c->unix_socket) {
		fake_hop_open_unix(&hop, c->script);
		job.path = hop.unix_path;
	} else {
		fake_hop_open(&hop, c->script);
		job.port = hop.port;
	}
	store_message(&stored, span_str(c->message ? c->message : MESSAGE));
	make_delivery(&d, &job, &stored);

	deliver_over(&d, cache);
	char *got = outcome_text(&d.outcome);
	if (strcmp(got, c->want) != 0)
		print_error("%s\n want %s\n  got %s\n  %.*s\n", c->name, c->want, got,
			SPAN_FMT(d.outcome.rcpts[0].text));
	assert_string_equal(got, c->want);
	free(got);
	if (c->want_text && !span_starts_nocase(d.outcome.rcpts[0].text, span_str(c->want_text))) {
		print_error("%s\n want %s\n  got %.*s\n", c->name, c->want_text,
			SPAN_FMT(d.outcome.rcpts[0].text));
		fail();
	}
	if (cache_idle(cache) != c->want_idle)
		print_error(
			"%s: want %u idle, got %zu\n", c->name, c->want_idle, cache_idle(cache));
	assert_int_equal(cache_idle(cache), c->want_idle);
	end_cache(cache);
	/* The hop has taken all that was sent once its sessions have ended. */
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

static void smtp_deliver__scripts(void **state)
{
	(void)state;
	run_on_loop(check_all_cases, NULL);
}

/* ---- where more than one job or session is needed ---- */

static char *deliver_once(struct cache *cache, const struct wanted_job *job, struct span message)
{
	struct stored stored;
	struct delivery d;
	store_message(&stored, message);
	make_delivery(&d, job, &stored);
	deliver_over(&d, cache);
	char *got = outcome_text(&d.outcome);
	delivery_done(&d);
	store_done(&stored);
	return got;
}

static void expect_outcome(struct cache *cache, const struct wanted_job *job, const char *want)
{
	char *got = deliver_once(cache, job, SPAN_LIT(MESSAGE));
	assert_string_equal(got, want);
	free(got);
}

#define OK_ONE "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\nS: 250 taken\n"
#define NO_ONE "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 550 5.1.1 no\nS: 503 none\n"

static void reuse(void *arg)
{
	(void)arg;
	struct fake_hop hop;
	struct cache *cache;
	assert_int_equal(cache_new(&cache), 0);
	fake_hop_open(&hop, PIPELINED OK_ONE OK_ONE NO_ONE
		"C: RSET\nS: 250 ok\n" OK_ONE "S: 421 idle\nX:\n---\n" PIPELINED OK_ONE
		"C: MAIL\nC: RCPT\nC: DATA\nX:\n---\n" PIPELINED OK_ONE
		"C: MAIL\nC: RCPT\nC: DATA\nS: 421 enough\nX:\n---\n" PIPELINED OK_ONE);
	struct wanted_job job = {.port = hop.port, .rcpts = ONE};
	expect_outcome(cache, &job, "0:delivered:250:2.0.0 ");
	expect_outcome(cache, &job, "0:delivered:250:2.0.0 ");
	expect_outcome(cache, &job, "0:failed:550:5.1.1 ");
	expect_outcome(cache, &job, "0:delivered:250:2.0.0 ");
	assert_int_equal(hop.sessions, 1);
	(void)fiber_sleep(50 * USEC_PER_MSEC);
	/* The peer has said 421 meanwhile: a fresh session, and no deferral. */
	expect_outcome(cache, &job, "0:delivered:250:2.0.0 ");
	assert_int_equal(hop.sessions, 2);
	/* It dies under MAIL, unanswered: once more, afresh. */
	expect_outcome(cache, &job, "0:delivered:250:2.0.0 ");
	assert_int_equal(hop.sessions, 3);
	/* So many messages to a connection, and no more. */
	expect_outcome(cache, &job, "0:delivered:250:2.0.0 ");
	assert_int_equal(hop.sessions, 4);
	end_cache(cache);
	fake_hop_close(&hop);
	assert_int_equal(hop.quits, 1);
}

static void smtp_deliver__kept_sessions(void **state)
{
	(void)state;
	run_on_loop(reuse, NULL);
}

static void notice_close(void *arg)
{
	(void)arg;
	struct fake_hop hop;
	struct cache *cache;
	assert_int_equal(cache_new(&cache), 0);
	fake_hop_open(&hop, PIPELINED OK_ONE "W: 50\nX:\n");
	struct wanted_job job = {.port = hop.port, .rcpts = ONE};
	expect_outcome(cache, &job, "0:delivered:250:2.0.0 ");
	assert_int_equal(cache_idle(cache), 1);
	(void)fiber_sleep(1500 * USEC_PER_MSEC);
	assert_int_equal(cache_idle(cache), 0);
	cache_free(cache);
	fake_hop_close(&hop);
}

static void cache__peer_closes_while_idle(void **state)
{
	(void)state;
	run_on_loop(notice_close, NULL);
}

static void no_session(void *arg)
{
	(void)arg;
	static const struct {
		struct wanted_job job;
		const char *want;
	} table[] = {
		{{.port = 12999, .rcpts = ONE}, "0:deferred:0:4.4.1 down "},
		{{.port = 12999, .host = "localhost", .rcpts = ONE}, "0:deferred:0:4.4.1 down "},
		{{.port = 12999, .host = "::1", .rcpts = ONE}, "0:deferred:0:4.4.1 down "},
		{{.port = 25, .host = "mx.example.org", .rcpts = ONE}, "0:deferred:0:4.4.3 down "},
		{{.path = "/nonexistent/socket", .via = JOB_LMTP, .rcpts = ONE},
			"0:deferred:0:4.4.1 down "},
	};
	struct cache *cache;
	assert_int_equal(cache_new(&cache), 0);
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		expect_outcome(cache, &table[i].job, table[i].want);
	cache_free(cache);
}

static void smtp_deliver__no_session(void **state)
{
	(void)state;
	run_on_loop(no_session, NULL);
}

/* More recipients than the pipeline's window, with CRLF and dots over chunk borders. */
static void large(void *arg)
{
	(void)arg;
	struct buf script = BUF_INIT(1 << 20), message = BUF_INIT(64 << 20),
		   want = BUF_INIT(64 << 20);
	static char addresses[150][24];
	static const char *many[150];
	struct wanted_job job = {.many = many, .n_many = 150};
	buf_str(&script, PIPELINED "C: MAIL\nS: 250 ok\n");
	for (unsigned i = 0; i < 150; i++) {
		snprintf(addresses[i], sizeof(addresses[i]), "u%u@x.org", i);
		many[i] = addresses[i];
		buf_printf(&script, "C: RCPT TO:<%s>\nS: 250 ok\n", addresses[i]);
	}
	buf_str(&script, "C: DATA\nS: 354 go\nD:\nS: 250 taken\n");
	buf_char(&script, '\0');
	for (unsigned i = 0; message.len < 5u << 20; i++) {
		const char *dots = "..........";
		int n = i / 30000 % 2 ? (int)(i % 7) : 0; /* what needs none leaves as it is */
		buf_printf(&message, "%.*s%u\r\n", n, dots, i);
		buf_printf(&want, "%s%.*s%u\r\n", n ? "." : "", n, dots, i);
	}
	buf_str(&want, ".\r\n");

	struct fake_hop hop;
	struct cache *cache;
	assert_int_equal(cache_new(&cache), 0);
	/* A limit of 1000000 would refuse it. */
	char *limit = strstr(script.ptr, "SIZE 1000000");
	memcpy(limit, "SIZE 9000000", 12);
	fake_hop_open(&hop, script.ptr);
	job.port = hop.port;
	job.command_timeout = job.data_timeout = 30 * USEC_PER_SEC; /* valgrind is slow */
	(void)fiber_yield(); /* the time of this turn is old by now */
	char *got = deliver_once(cache, &job, buf_span(&message));
	if (!strstr(got, "149:delivered:250:2.0.0"))
		print_error("got %s\n", got ? got : "nothing");
	assert_non_null(strstr(got, "149:delivered:250:2.0.0"));
	assert_null(strstr(got, "deferred"));
	free(got);
	assert_int_equal(hop.data.len, want.len);
	assert_memory_equal(hop.data.ptr, want.ptr, want.len);
	end_cache(cache);
	fake_hop_close(&hop);
	buf_done(&script);
	buf_done(&message);
	buf_done(&want);
}

static void smtp_deliver__many_recipients_large_message(void **state)
{
	(void)state;
	run_on_loop(large, NULL);
}

/* A segment that ends early: what was sent must not become a message. */
static void short_segment(void *arg)
{
	(void)arg;
	struct fake_hop hop;
	struct cache *cache;
	struct stored stored;
	struct delivery d;
	assert_int_equal(cache_new(&cache), 0);
	fake_hop_open(
		&hop, PIPELINED "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\n");
	struct wanted_job job = {.port = hop.port, .rcpts = ONE};
	store_message(&stored, SPAN_LIT(MESSAGE));
	stored.ranges[1].length += 1;
	make_delivery(&d, &job, &stored);
	deliver_over(&d, cache);
	char *got = outcome_text(&d.outcome);
	assert_string_equal(got, "0:deferred:0:4.3.0 ");
	free(got);
	assert_int_equal(cache_idle(cache), 0);
	for (int i = 0; i < 300 && hop.open > 0; i++)
		(void)fiber_sleep(10 * USEC_PER_MSEC);
	assert_non_null(memmem(hop.data.ptr, hop.data.len, "[end]", 5));
	assert_null(memmem(hop.data.ptr, hop.data.len, "\r\n.\r\n", 5));
	delivery_done(&d);
	store_done(&stored);
	cache_free(cache);
	fake_hop_close(&hop);
}

static void smtp_deliver__short_segment(void **state)
{
	(void)state;
	run_on_loop(short_segment, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smtp_deliver__scripts),
		cmocka_unit_test(smtp_deliver__kept_sessions),
		cmocka_unit_test(cache__peer_closes_while_idle),
		cmocka_unit_test(smtp_deliver__no_session),
		cmocka_unit_test(smtp_deliver__many_recipients_large_message),
		cmocka_unit_test(smtp_deliver__short_segment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
