/* Transaction behind transaction on one connection: what goes in one group of RFC 2920, what does
 * not, and what an unusual answer in the middle of it means for the mail. */
#include "support.h"

#include "deliver/cache.h"

#define HELLO	  "S: 220 mx.example.org ESMTP\nC: EHLO client.example.org\nS: 250-mx.example.org\n"
#define PIPELINED HELLO "S: 250 PIPELINING\n"
#define CHUNKED	  HELLO "S: 250-PIPELINING\nS: 250 CHUNKING\n"
#define ENVELOPE  "C: MAIL\nC: RCPT\nC: DATA\n"
#define TAKEN	  "S: 250 ok\nS: 250 ok\nS: 354 go\nD:\nS: 250 taken\n"
#define REFUSED	  "S: 250 ok\nS: 550 5.1.1 no\nS: 503 none\n"
#define NEXT	  "X:\n---\n"
#define DELIVERED "0:delivered:250:2.0.0 "
#define FAILED	  "0:failed:550:5.1.1 "
#define MESSAGE	  "Subject: x\r\n\r\nend\r\n"
#define JOBS_MAX  4u

struct pipeline_case {
	const char *name, *script;
	const char *want[JOBS_MAX]; /* outcomes of that many jobs, one after the other */
	unsigned sessions;
};

static const struct pipeline_case cases[] = {
	{
		.name = "rfc2920_3_1__message_after_message_each_in_one_group",
		.script = PIPELINED ENVELOPE TAKEN ENVELOPE TAKEN ENVELOPE TAKEN,
		.want = {DELIVERED, DELIVERED, DELIVERED},
		.sessions = 1,
	},
	{
		.name = "rfc3030_2__message_after_message_each_in_one_round",
		.script = CHUNKED "C: MAIL\nC: RCPT\nC: BDAT 19 LAST\nB:\nS: 250 ok\nS: 250 ok\n"
				  "S: 250 taken\nC: MAIL\nC: RCPT\nC: BDAT 19 LAST\nB:\nS: 250 ok\n"
				  "S: 250 ok\nS: 250 taken\n",
		.want = {DELIVERED, DELIVERED},
		.sessions = 1,
	},
	{
		/* The hop answers RSET only when it has the whole next envelope. */
		.name = "rfc2920_3_1__rset_leaves_with_the_next_envelope",
		.script = PIPELINED ENVELOPE REFUSED "C: RSET\n" ENVELOPE "S: 250 reset\n" TAKEN,
		.want = {FAILED, DELIVERED},
		.sessions = 1,
	},
	{
		.name = "rset_without_pipelining__its_reply_is_awaited",
		.script = HELLO "S: 250 SIZE\nC: MAIL\nS: 250 ok\nC: RCPT\nS: 550 5.1.1 no\nC: "
				"RSET\nN:\nS: 250 ok\nC: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: "
				"DATA\nS: 354 go\nD:\nS: 250 taken\n",
		.want = {FAILED, DELIVERED},
		.sessions = 1,
	},
	{
		/* What was sent behind a RSET that failed counts for nothing. */
		.name = "rset_refused__a_fresh_session",
		.script = PIPELINED ENVELOPE REFUSED
		"C: RSET\n" ENVELOPE
		"S: 500 what\nS: 250 ok\nS: 250 ok\nS: 354 go\n" NEXT PIPELINED ENVELOPE TAKEN,
		.want = {FAILED, DELIVERED},
		.sessions = 2,
	},
	{
		.name = "rset_answered_by_421__a_fresh_session",
		.script = PIPELINED ENVELOPE REFUSED
		"C: RSET\n" ENVELOPE "S: 421 4.3.2 down\n" NEXT PIPELINED ENVELOPE TAKEN,
		.want = {FAILED, DELIVERED},
		.sessions = 2,
	},
	{
		.name = "closed_under_rset__a_fresh_session",
		.script = PIPELINED ENVELOPE REFUSED
		"C: RSET\n" ENVELOPE NEXT PIPELINED ENVELOPE TAKEN,
		.want = {FAILED, DELIVERED},
		.sessions = 2,
	},
	{
		.name = "mail_refused_behind_rset__that_message_only",
		.script = PIPELINED ENVELOPE REFUSED
		"C: RSET\n" ENVELOPE "S: 250 reset\nS: 452 4.3.1 no room\nS: 503 no\n"
		"S: 503 no\n" ENVELOPE TAKEN,
		.want = {FAILED, "0:deferred:452:4.3.1 ", DELIVERED},
		.sessions = 1,
	},
	{
		/* RFC 2920 3.1, behind a RSET. */
		.name = "nobody_accepted_but_354_behind_rset__a_lone_dot",
		.script = PIPELINED ENVELOPE REFUSED
		"C: RSET\n" ENVELOPE "S: 250 reset\nS: 250 ok\nS: 550 5.1.1 no\nS: 354 go\n"
		"D:\nS: 554 5.5.1 none\n" ENVELOPE TAKEN,
		.want = {FAILED, FAILED, DELIVERED},
		.sessions = 1,
	},
	{
		/* A message that leaves with its envelope must not follow a RSET that may fail. */
		.name = "rset_with_chunking__the_message_waits_for_the_envelope",
		.script =
			CHUNKED "C: MAIL\nC: RCPT\nC: BDAT 19 LAST\nB:\nS: 250 ok\nS: 550 5.1.1 "
				"no\nS: 503 none\nC: RSET\nC: MAIL\nC: RCPT\nN:\nS: 250 reset\nS: "
				"250 ok\nS: 250 ok\nC: BDAT 19 LAST\nB:\nS: 250 taken\n",
		.want = {FAILED, DELIVERED},
		.sessions = 1,
	},
	{
		/* RFC 5321 4.2.1: the first digit decides. */
		.name = "rfc5321_4_2_1__unlisted_codes",
		.script = PIPELINED ENVELOPE
		"S: 299 ok\nS: 259 ok\nS: 354-go\nS: 354 on\nD:\n"
		"S: 277 taken\n" ENVELOPE "S: 250 ok\nS: 551 5.1.6 moved to <b@x>\nS: 554 none\n",
		.want = {"0:delivered:277:2.0.0 ", "0:failed:551:5.1.6 "},
		.sessions = 1,
	},
	{
		.name = "rfc5321_4_2_1__3yz_where_none_is_due",
		.script = PIPELINED ENVELOPE "S: 250 ok\nS: 350 more\nS: 503 none\n",
		.want = {"0:deferred:350:4.0.0 "},
		.sessions = 1,
	},
};

static void check_case(const struct pipeline_case *c)
{
	struct fake_hop hop;
	struct cache *cache;

	assert_int_equal(cache_new(&cache), 0);
	fake_hop_open(&hop, c->script);
	struct wanted_job job = {.port = hop.port, .from = "s@x.org", .rcpts = {"a@b.org"}};
	for (size_t i = 0; i < JOBS_MAX && c->want[i]; i++) {
		struct stored stored;
		struct delivery d;
		store_message(&stored, SPAN_LIT(MESSAGE));
		make_delivery(&d, &job, &stored);
		deliver_over(&d, cache);
		char *got = outcome_text(&d.outcome);
		if (strcmp(got, c->want[i]) != 0)
			fail_msg("%s, message %zu\n want %s\n  got %s\n  %.*s\n  %.*s", c->name, i,
				c->want[i], got, SPAN_FMT(d.outcome.rcpts[0].text),
				SPAN_FMT(buf_span(&hop.failure)));
		free(got);
		delivery_done(&d);
		store_done(&stored);
	}
	if (hop.sessions != c->sessions)
		fail_msg("%s: want %u sessions, got %u", c->name, c->sessions, hop.sessions);
	end_cache(cache);
	fake_hop_close(&hop);
}

static void check_all(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_case(&cases[i]);
}

static void smtp_deliver__transaction_after_transaction(void **state)
{
	(void)state;
	run_on_loop(check_all, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smtp_deliver__transaction_after_transaction)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
