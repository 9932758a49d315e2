/* A message's way through the queue: what is written, asked, handed out, reported, in which order.
 */
#include "fake.h"

static void queue_committed__one_recipient_takes_two_entries(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	assert_int_equal(fake_commit_one(&f, 1, "a@example.org"), 1);
	assert_int_equal(fake_commit_one(&f, 1, "a@example.org"), 0);
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 1);
	assert_int_equal(f.n_ledger, 1);
	assert_int_equal(f.ledger[0].type, ENTRY_HANDED);
	assert_int_equal(f.syncs, 0); /* HANDED waits for nobody */
	fake_result(&f, OUTCOME_DELIVERED, false);
	fake_turn(&f, 1);
	assert_int_equal(f.n_ledger, 2);
	assert_int_equal(f.ledger[1].type, ENTRY_DONE);
	assert_int_equal(f.kept + f.forgotten, 0); /* not before it is durable */
	assert_int_equal(fake_commit_one(&f, 1, "a@example.org"), 0);
	fake_durable(&f, 0);
	assert_int_equal(f.kept, 1);
	assert_int_equal(f.forgotten, 1);
	assert_int_equal(fake_commit_one(&f, 1, "a@example.org"), 0);
	queue_segment_gone(f.q, 0);
	assert_int_equal(queue_counts(f.q).messages, 0);
	assert_int_equal(queue_counts(f.q).recipients, 0);
	print_message("hot path: %zu + %zu octets of entries\n", f.ledger[0].payload.len,
		f.ledger[1].payload.len);
	fake_done(&f);
}

static void queue_run__one_transaction_a_next_hop(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	const char *rcpts[] = {"a@one.example", "b@two.example", "c@one.example", NULL};
	assert_int_equal(fake_commit(&f, 1, "s@example.net", rcpts), 1);
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 2);
	assert_int_equal(f.jobs[0].n_rcpts, 2);
	assert_int_equal(f.jobs[1].n_rcpts, 1);
	fake_result(&f, OUTCOME_DELIVERED, false);
	fake_flow(&f);
	assert_int_equal(fake_entries(&f, ENTRY_OUTCOME), 1); /* something is left to do */
	assert_int_equal(f.forgotten, 0);
	fake_result(&f, OUTCOME_DELIVERED, false);
	fake_flow(&f);
	assert_int_equal(f.forgotten, 1);
	fake_done(&f);
}

static void queue_expanded__list_members_are_written_first(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	const char *rcpts[] = {"list-3@example.org", "member-1@example.org", NULL};
	assert_int_equal(fake_commit(&f, 1, "s@example.net", rcpts), 1);
	fake_turn(&f, 1);
	assert_true(fake_said(&f, "expanded 1 list-3@example.org  children=3"));
	assert_int_equal(f.n_jobs, 1);
	assert_int_equal(f.jobs[0].n_rcpts, 3); /* member-1 once */
	assert_int_equal(f.ledger[0].type, ENTRY_STATE);
	assert_int_equal(f.ledger[1].type, ENTRY_HANDED);
	for (uint32_t i = 0; i < 3; i++)
		assert_true(f.jobs[0].rcpts[i].original.len > 0);
	fake_result(&f, OUTCOME_DELIVERED, false);
	fake_flow(&f);
	assert_int_equal(f.forgotten, 1);
	fake_done(&f);
}

/* RFC 3461 5.2.7.2, 5.2.7.3 (b): a single-recipient alias hands its NOTIFY on; the members of a
 * list get it without SUCCESS. */
static void queue_run__jobs_carry_what_the_envelope_said(void **state)
{
	(void)state;
	static const struct {
		const char *rcpt;
		uint64_t notify;
		uint8_t want;
	} cases[] = {
		{"a@example.org", 0, 0},
		{"a@example.org", NOTIFY_SUCCESS | NOTIFY_DELAY, NOTIFY_SUCCESS | NOTIFY_DELAY},
		{"same-1@example.org", NOTIFY_SUCCESS, NOTIFY_SUCCESS},
		{"list-2@example.org", 0, 0},
		{"list-2@example.org", NOTIFY_SUCCESS, NOTIFY_NEVER},
		{"list-2@example.org", NOTIFY_SUCCESS | NOTIFY_FAILURE, NOTIFY_FAILURE},
		{"list-2@example.org", NOTIFY_NEVER, NOTIFY_NEVER},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fake f;
		fake_init(&f);
		fake_start(&f, true);
		const char *rcpts[] = {cases[i].rcpt, NULL};
		struct message m = fake_message(&f, 1, "s@example.net", rcpts);
		struct record_ref ref = fake_ref(1);
		m.rcpts[0].notify = cases[i].notify;
		m.priority = 4 + MESSAGE_PRIORITY_BIAS;
		m.deliver_by_wall_usec = f.wall + 3600 * SEC;
		m.deliver_by_mode = MESSAGE_BY_NOTIFY;
		queue_time(f.q, f.now, f.wall);
		assert_int_equal(queue_committed(f.q, &m, &ref), 1);
		fake_turn(&f, 1);
		assert_int_equal(f.n_jobs, 1);
		for (uint32_t k = 0; k < f.jobs[0].n_rcpts; k++) {
			assert_int_equal(f.jobs[0].rcpts[k].notify, cases[i].want);
			assert_int_equal(f.jobs[0].rcpts[k].origin, 0);
		}
		assert_int_equal(f.jobs[0].priority, 4);
		assert_int_equal(f.jobs[0].deliver_by_wall_usec, m.deliver_by_wall_usec);
		assert_int_equal(f.jobs[0].deliver_by_mode, MESSAGE_BY_NOTIFY);
		fake_done(&f);
	}
}

static void queue_expanded__addresses_that_meet_get_one_copy(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	const char *rcpts[] = {"same-1@example.org", "same-2@example.org", "x@example.org", NULL};
	assert_int_equal(fake_commit(&f, 1, "s@example.net", rcpts), 1);
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 1);
	assert_int_equal(f.jobs[0].n_rcpts, 2);
	assert_true(span_equal(f.jobs[0].rcpts[0].address, SPAN_LIT("same@example.org")));
	assert_true(span_equal(f.jobs[0].rcpts[0].original, SPAN_LIT("same-1@example.org")));
	fake_done(&f);
}

struct answer_case {
	const char *rcpt, *said;
	uint64_t held, deferred, messages, reports;
};

static void queue_expanded__every_answer(void **state)
{
	(void)state;
	static const struct answer_case cases[] = {
		{"nobody@example.org", "dropped 1 nobody@example.org  expands to nobody", 0, 0, 0,
			0},
		{"hold@example.org", "held 1 hold@example.org routed to hold", 1, 0, 1, 0},
		{"fail@example.org", "failed 1 fail@example.org null MX", 0, 0, 1, 1},
		{"temp@example.org", "deferred 1 temp@example.org table busy attempts=1", 0, 1, 1,
			0},
		{"unknown@example.org", "failed 1 unknown@example.org no such user here", 0, 0, 1,
			1},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct answer_case *c = &cases[i];
		struct fake f;
		fake_init(&f);
		fake_start(&f, true);
		assert_int_equal(fake_commit_one(&f, 1, c->rcpt), 1);
		fake_turn(&f, 1);
		assert_int_equal(f.n_reports, 0); /* not before FAILED is durable */
		fake_flow(&f);
		assert_true(fake_said(&f, c->said));
		struct queue_counts n = queue_counts(f.q);
		assert_int_equal(n.held, c->held);
		assert_int_equal(n.deferred, c->deferred);
		assert_int_equal(n.messages, c->messages);
		assert_int_equal(f.n_reports, c->reports);
		assert_int_equal(f.handed, 0);
		fake_done(&f);
	}
}

static void queue_asks__unanswered_are_put_again(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	const char *rcpts[] = {"slow@example.org", "a@example.org", NULL};
	assert_int_equal(fake_commit(&f, 1, "s@example.net", rcpts), 1);
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 0);
	assert_int_equal(queue_next_due(f.q), f.now + 30 * SEC);
	queue_time(f.q, f.now += 30 * SEC, f.wall += 30 * SEC);
	queue_run(f.q, 100);
	assert_int_equal(f.n_asks, 1); /* slow again */
	assert_int_equal(f.n_jobs, 1); /* the others need not wait for it any longer */
	queue_directory_restarted(f.q);
	queue_run(f.q, 100);
	assert_int_equal(f.n_asks, 2);
	struct expand_child child = {SPAN_LIT("slow@example.org"),
		{.kind = HOP_DELIVER, .via = JOB_SMTP, .site = SPAN_LIT("x")}};
	struct expand_answer late = {f.asks[0].ask.token, LOOKUP_OK, &child, 1};
	queue_expanded(f.q, &late); /* the old token */
	queue_run(f.q, 100);
	assert_int_equal(f.n_jobs, 1);
	late.token = f.asks[1].ask.token;
	queue_expanded(f.q, &late);
	queue_run(f.q, 100);
	assert_int_equal(f.n_jobs, 2);
	fake_done(&f);
}

static void queue_outcome__not_tried_goes_again_at_once(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	const char *rcpts[] = {"a@x.example", "b@x.example", "c@x.example", NULL};
	assert_int_equal(fake_commit(&f, 1, "s@example.net", rcpts), 1);
	fake_turn(&f, 1);
	fake_outcome(&f, 0, (enum outcome_class[]){OUTCOME_DELIVERED, OUTCOME_NOT_TRIED}, 2);
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 1);
	assert_int_equal(f.jobs[0].n_rcpts, 2);
	assert_int_equal(f.jobs[0].attempt, 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(f.n_jobs, 1);
		fake_outcome(&f, 0, (enum outcome_class[]){OUTCOME_NOT_TRIED}, 1);
		fake_turn(&f, 1);
	}
	assert_int_equal(f.n_jobs, 0); /* no progress: no circle */
	assert_int_equal(queue_counts(f.q).deferred, 2);
	fake_done(&f);
}

static void queue_outcome__mixed_results(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	const char *rcpts[] = {"a@x.example", "b@x.example", "c@x.example", "d@x.example", NULL};
	assert_int_equal(fake_commit(&f, 1, "s@example.net", rcpts), 1);
	fake_turn(&f, 1);
	fake_outcome(&f, 0,
		(enum outcome_class[]){
			OUTCOME_DELIVERED, OUTCOME_FAILED, OUTCOME_DEFERRED, OUTCOME_FAILED},
		4);
	fake_turn(&f, 1);
	assert_int_equal(f.n_reports, 0);
	fake_durable(&f, 0);
	assert_int_equal(f.n_reports, 1);
	assert_int_equal(f.reports[0].n_rcpts, 2); /* one event, one report */
	assert_true(span_equal(f.reports[0].text, SPAN_LIT("no such user")));
	queue_report_written(f.q, 1, f.reports[0].event, 0);
	assert_int_equal(fake_entries(&f, ENTRY_BOUNCED), 1);
	assert_true(fake_said(&f, "bounced 1 b@x.example no such user"));
	fake_turn(&f, 400 * SEC);
	assert_int_equal(f.n_jobs, 1);
	assert_int_equal(f.jobs[0].n_rcpts, 1);
	assert_int_equal(f.jobs[0].attempt, 2);
	fake_result(&f, OUTCOME_DELIVERED, false);
	fake_flow(&f);
	assert_int_equal(f.forgotten, 1);
	fake_done(&f);
}

static void queue_outcome__unknown_job_is_told_to_forget(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	queue_outcome(f.q, &(struct outcome){.job = 99, .message = 1});
	assert_int_equal(f.kept, 1);
	fake_done(&f);
}

static void queue_outcome__repeated_before_durable_is_kept_once(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	assert_int_equal(fake_commit_one(&f, 1, "a@x.example"), 1);
	fake_turn(&f, 1);
	struct outcome again = {.job = f.jobs[0].job, .message = 1};
	fake_result(&f, OUTCOME_DELIVERED, false);
	queue_outcome(f.q, &again);
	assert_int_equal(f.kept, 0);
	fake_flow(&f);
	assert_int_equal(f.kept, 1);
	fake_done(&f);
}

static void queue_outcome__foreign_recipients_are_ignored(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	const char *rcpts[] = {"a@x.example", "b@y.example", NULL};
	assert_int_equal(fake_commit(&f, 1, "s@example.net", rcpts), 1);
	fake_turn(&f, 1);
	struct outcome_rcpt forged[] = {{.index = 1, .result = OUTCOME_DELIVERED},
		{.index = 4000000000u, .result = OUTCOME_DELIVERED}};
	struct outcome o = {.job = f.jobs[0].job, .message = 1, .rcpts = forged, .n_rcpts = 2};
	queue_outcome(f.q, &o);
	assert_int_equal(queue_counts(f.q).in_flight, 1);
	assert_int_equal(queue_counts(f.q).recipients, 2);
	fake_done(&f);
}

static void queue_job_lost__before_and_after_the_dot(void **state)
{
	(void)state;
	for (int dot = 0; dot < 2; dot++) {
		struct fake f;
		fake_init(&f);
		fake_start(&f, true);
		assert_int_equal(fake_commit_one(&f, 1, "a@x.example"), 1);
		fake_turn(&f, 1);
		for (int i = 0; i < 3; i++) {
			uint64_t job = f.jobs[0].job;
			fake_job_remove(&f, 0);
			queue_job_lost(f.q, job, dot);
			fake_turn(&f, 1);
			assert_int_equal(f.n_jobs, 1);
			assert_int_equal(f.jobs[0].suspect, dot);
			assert_int_equal(f.jobs[0].alone, i >= 1);
			assert_int_equal(f.jobs[0].attempt, 1);
			assert_int_equal(
				fake_said_times(&f, "possible-duplicate"), dot ? i + 1 : 0);
		}
		queue_job_lost(f.q, f.jobs[0].job, dot);
		fake_turn(&f, 1);
		assert_true(fake_said(&f, "held 1 a@x.example deliverers died"));
		assert_int_equal(queue_counts(f.q).held, 1);
		assert_int_equal(queue_counts(f.q).in_flight, 0);
		fake_done(&f);
	}
}

static void queue_job_lost__one_death_counts_once(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	const char *rcpts[] = {
		"a@x.example", "b@y.example", "c@z.example", "d@w.example", "e@v.example", NULL};
	assert_int_equal(fake_commit(&f, 1, "s@example.net", rcpts), 1);
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 5);
	uint64_t jobs[5];
	for (size_t i = 0; i < 5; i++)
		jobs[i] = f.jobs[i].job;
	while (f.n_jobs > 0)
		fake_job_remove(&f, 0);
	for (size_t i = 0; i < 5; i++)
		queue_job_lost(f.q, jobs[i], false);
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 5);
	assert_int_equal(queue_counts(f.q).held, 0);
	for (size_t i = 0; i < 5; i++)
		assert_false(f.jobs[i].alone);
	fake_done(&f);
}

static void queue_job_unsent__is_no_crash(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	assert_int_equal(fake_commit_one(&f, 1, "a@x.example"), 1);
	fake_turn(&f, 1);
	for (int i = 0; i < 6; i++) {
		uint64_t job = f.jobs[0].job;
		fake_job_remove(&f, 0);
		queue_job_unsent(f.q, job);
		fake_turn(&f, 1);
		assert_int_equal(f.n_jobs, 1);
		assert_false(f.jobs[0].alone);
		assert_false(f.jobs[0].suspect);
	}
	fake_done(&f);
}

static void queue_outcome__null_sender_is_never_answered(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	assert_int_equal(fake_commit(&f, 1, "", (const char *const[]){"a@x.example", NULL}), 1);
	fake_turn(&f, 1);
	fake_result(&f, OUTCOME_FAILED, false);
	fake_flow(&f);
	assert_true(fake_said(&f, "failed 1 a@x.example no such user"));
	assert_true(fake_said(&f, "bounced 1 a@x.example no such user no-report"));
	assert_int_equal(f.n_reports, 0);
	assert_int_equal(f.forgotten, 1);
	fake_done(&f);
}

static void queue_report_written__failure_asks_again(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	assert_int_equal(fake_commit_one(&f, 1, "a@x.example"), 1);
	fake_turn(&f, 1);
	fake_result(&f, OUTCOME_FAILED, false);
	fake_flow(&f);
	assert_int_equal(f.n_reports, 1);
	queue_report_written(f.q, 1, f.reports[0].event, -EIO);
	fake_turn(&f, 59 * SEC);
	assert_int_equal(f.n_reports, 1);
	fake_turn(&f, 1 * SEC);
	assert_int_equal(f.n_reports, 2);
	assert_int_equal(f.reports[1].event, f.reports[0].event);
	queue_report_written(f.q, 1, f.reports[0].event, 0);
	fake_flow(&f);
	assert_int_equal(f.forgotten, 1);
	fake_done(&f);
}

static void queue_run__a_thousand_recipients_a_job(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	assert_int_equal(fake_commit_one(&f, 1, "list-2500@x.example"), 1);
	assert_int_equal(
		fake_commit(&f, 2, "other@example.com", (const char *const[]){"u@x.example", NULL}),
		1);
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 4);
	uint32_t sum = 0;
	for (size_t i = 0; i < 4; i++) {
		assert_true(f.jobs[i].n_rcpts <= 1000);
		sum += f.jobs[i].n_rcpts;
	}
	assert_int_equal(sum, 2501);
	for (int i = 0; i < 4; i++)
		fake_result(&f, OUTCOME_DELIVERED, false);
	fake_flow(&f);
	assert_int_equal(f.forgotten, 2);
	fake_done(&f);
}

static void queue_reroute__ready_mail_goes_by_the_new_route(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	f.settings.concurrency = 1;
	queue_set_settings(f.q, &f.settings);
	fake_start(&f, true);
	for (uint64_t id = 1; id <= 3; id++)
		assert_int_equal(fake_commit_one(&f, id, "a@x.example"), 1);
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 1);
	f.route = "elsewhere";
	queue_reroute(f.q);
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 2);
	assert_true(span_equal(f.jobs[1].site, SPAN_LIT("elsewhere")));
	assert_int_equal(queue_counts(f.q).ready, 1);
	fake_done(&f);
}

static void queue_ledger_durable__failed_sync_waits_for_a_checkpoint(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	assert_int_equal(fake_commit_one(&f, 1, "a@x.example"), 1);
	fake_turn(&f, 1);
	fake_result(&f, OUTCOME_DELIVERED, false);
	fake_turn(&f, 1);
	fake_durable(&f, -EIO);
	assert_true(queue_checkpoint_wanted(f.q));
	assert_int_equal(fake_commit_one(&f, 2, "b@x.example"), 1);
	fake_turn(&f, 1);
	fake_result(&f, OUTCOME_DELIVERED, false);
	fake_flow(&f);
	assert_int_equal(f.kept + f.forgotten, 0);
	queue_checkpoint_begin(f.q, NULL, 0);
	assert_false(queue_checkpoint_wanted(f.q));
	assert_true(queue_checkpoint_slice(f.q, 100)); /* waits for its entries */
	fake_durable(&f, 0);
	assert_false(queue_checkpoint_slice(f.q, 100));
	fake_flow(&f);
	assert_int_equal(f.kept, 2);
	assert_int_equal(f.forgotten, 2);
	fake_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queue_committed__one_recipient_takes_two_entries),
		cmocka_unit_test(queue_run__one_transaction_a_next_hop),
		cmocka_unit_test(queue_expanded__list_members_are_written_first),
		cmocka_unit_test(queue_run__jobs_carry_what_the_envelope_said),
		cmocka_unit_test(queue_expanded__addresses_that_meet_get_one_copy),
		cmocka_unit_test(queue_expanded__every_answer),
		cmocka_unit_test(queue_asks__unanswered_are_put_again),
		cmocka_unit_test(queue_outcome__not_tried_goes_again_at_once),
		cmocka_unit_test(queue_outcome__mixed_results),
		cmocka_unit_test(queue_outcome__unknown_job_is_told_to_forget),
		cmocka_unit_test(queue_outcome__repeated_before_durable_is_kept_once),
		cmocka_unit_test(queue_outcome__foreign_recipients_are_ignored),
		cmocka_unit_test(queue_job_lost__before_and_after_the_dot),
		cmocka_unit_test(queue_job_lost__one_death_counts_once),
		cmocka_unit_test(queue_job_unsent__is_no_crash),
		cmocka_unit_test(queue_outcome__null_sender_is_never_answered),
		cmocka_unit_test(queue_report_written__failure_asks_again),
		cmocka_unit_test(queue_run__a_thousand_recipients_a_job),
		cmocka_unit_test(queue_reroute__ready_mail_goes_by_the_new_route),
		cmocka_unit_test(queue_ledger_durable__failed_sync_waits_for_a_checkpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
