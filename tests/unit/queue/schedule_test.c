/* Retries, warnings, expiry: what is due when, also after a restart with a wrong clock. */
#include "fake.h"

static void queue_retry__waits_in_turn_with_little_jitter(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	f.settings.warn = 0;
	queue_set_settings(f.q, &f.settings);
	fake_start(&f, true);
	assert_int_equal(fake_commit_one(&f, 1, "a@x.example"), 1);
	fake_turn(&f, 1);
	uint64_t waits[] = {300, 900, 3600, 3600, 3600};
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		assert_int_equal(f.n_jobs, 1);
		assert_int_equal(f.jobs[0].attempt, i + 1);
		fake_result(&f, OUTCOME_DEFERRED, false);
		fake_flow(&f);
		assert_int_equal(f.n_jobs, 0);
		uint64_t wait = queue_next_due(f.q) - f.now + 2;
		if (wait < waits[i] * SEC || wait > waits[i] * SEC / 20 * 21 + 2)
			fail_msg("wait %zu: want %llu s, got %llu us", i,
				(unsigned long long)waits[i], (unsigned long long)wait);
		fake_turn(&f, wait);
	}
	fake_done(&f);
}

static void queue_warning__once_and_not_for_null_senders(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	f.settings.retry[0] = 86400 * SEC;
	queue_set_settings(f.q, &f.settings);
	fake_start(&f, true);
	assert_int_equal(fake_commit_one(&f, 1, "a@x.example"), 1);
	assert_int_equal(fake_commit(&f, 2, "", (const char *const[]){"a@y.example", NULL}), 1);
	fake_turn(&f, 1);
	fake_result(&f, OUTCOME_DEFERRED, false);
	fake_result(&f, OUTCOME_DEFERRED, false);
	fake_turn(&f, 4 * 3600 * SEC);
	assert_int_equal(f.n_reports, 1);
	assert_true(f.reports[0].delay);
	assert_int_equal(f.reports[0].message, 1);
	queue_report_written(f.q, 1, f.reports[0].event, -ENOSPC);
	fake_turn(&f, 59 * SEC);
	assert_int_equal(f.n_reports, 1);
	fake_turn(&f, 2 * SEC);
	assert_int_equal(f.n_reports, 2);
	queue_report_written(f.q, 1, f.reports[1].event, 0);
	assert_true(fake_said(&f, "delayed 1"));
	fake_turn(&f, 10 * 3600 * SEC);
	assert_int_equal(f.n_reports, 2);
	/* The ledger remembers. */
	struct message m =
		fake_message(&f, 1, "s@example.net", (const char *const[]){"a@x.example", NULL});
	struct record_ref ref = fake_ref(1);
	m.arrival_wall_usec = WALL_START;
	fake_crash(&f, f.n_ledger);
	assert_int_equal(queue_replay_commit(f.q, &m, &ref, false), 1);
	fake_start(&f, true);
	fake_turn(&f, 1);
	assert_int_equal(f.n_reports, 0);
	fake_done(&f);
}

static void queue_expiry__tells_the_last_reply(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	f.settings.warn = 0;
	f.settings.expire = 1000 * SEC;
	queue_set_settings(f.q, &f.settings);
	fake_start(&f, true);
	const char *rcpts[] = {"a@x.example", "b@x.example", "hold@x.example", NULL};
	assert_int_equal(fake_commit(&f, 1, "s@example.net", rcpts), 1);
	fake_turn(&f, 1);
	fake_result(&f, OUTCOME_DEFERRED, false);
	fake_turn(&f, 400 * SEC);
	fake_result(&f, OUTCOME_DEFERRED, false);
	fake_turn(&f, 599 * SEC - 10);
	assert_false(fake_said_times(&f, "expired"));
	fake_turn(&f, SEC + 10);
	assert_true(fake_said(&f, "expired 1 a@x.example try later"));
	fake_durable(&f, 0);
	assert_int_equal(f.n_reports, 1); /* both in one */
	assert_int_equal(f.reports[0].n_rcpts, 2);
	assert_int_equal(queue_counts(f.q).held, 1); /* what is held does not age out */
	queue_report_written(f.q, 1, f.reports[0].event, 0);
	fake_turn(&f, 86400 * SEC);
	assert_int_equal(queue_counts(f.q).messages, 1);
	fake_done(&f);
}

static void queue_expiry__waits_for_a_flight_to_end(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	assert_int_equal(fake_commit_one(&f, 1, "a@x.example"), 1);
	fake_turn(&f, 1);
	fake_turn(&f, 6 * 86400 * SEC);
	assert_int_equal(queue_counts(f.q).in_flight, 1);
	assert_int_equal(queue_next_due(f.q), USEC_INFINITY);
	fake_result(&f, OUTCOME_DEFERRED, false);
	fake_flow(&f);
	assert_true(fake_said(&f, "expired 1"));
	fake_done(&f);
}

static void queue_expiry__at_a_site_that_is_down(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	f.settings.expire = 3000 * SEC;
	queue_set_settings(f.q, &f.settings);
	fake_start(&f, true);
	for (uint64_t id = 1; id <= 3; id++)
		assert_int_equal(fake_commit_one(&f, id, "a@x.example"), 1);
	fake_turn(&f, 1);
	for (int i = 0; i < 3; i++)
		fake_result(&f, OUTCOME_DEFERRED, true);
	fake_turn(&f, 3000 * SEC);
	fake_durable(&f, 0);
	assert_int_equal(f.n_reports, 3);
	assert_int_equal(queue_counts(f.q).ready + queue_counts(f.q).deferred, 0);
	fake_done(&f);
}

struct step_case {
	int64_t step;	      /* of the wall clock while the queue was down, seconds */
	uint64_t least, most; /* until the next attempt, seconds */
};

static void queue_start__a_wrong_clock_neither_expires_nor_stalls(void **state)
{
	(void)state;
	const int64_t years = 10 * 365 * 86400;
	const struct step_case cases[] = {
		{0, 299, 315}, {100, 199, 215}, {-years, 299, 3780},
		{years, 0, 30}, /* it is asked about */
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct step_case *c = &cases[i];
		struct fake f;
		fake_init(&f);
		fake_start(&f, true);
		assert_int_equal(fake_commit_one(&f, 1, "a@x.example"), 1);
		fake_turn(&f, 1);
		fake_result(&f, OUTCOME_DEFERRED, false);
		fake_flow(&f);
		struct message m = fake_message(
			&f, 1, "s@example.net", (const char *const[]){"a@x.example", NULL});
		struct record_ref ref = fake_ref(1);
		fake_crash(&f, f.n_ledger);
		assert_int_equal(queue_replay_commit(f.q, &m, &ref, false), 1);
		f.wall = (uint64_t)((int64_t)f.wall + c->step * (int64_t)SEC);
		f.now = 50 * SEC;
		fake_start(&f, true);
		queue_run(f.q, 0); /* what was recovered becomes durable */
		fake_durable(&f, 0);
		uint64_t due = queue_next_due(f.q);
		assert_in_range(due - f.now, c->least * SEC, c->most * SEC);
		fake_turn(&f, due - f.now);
		assert_int_equal(f.n_jobs, 1);
		assert_int_equal(f.jobs[0].attempt, 2);
		assert_int_equal(fake_said_times(&f, "expired"), 0);
		fake_done(&f);
	}
}

static void queue_time__a_step_while_running_changes_nothing(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	assert_int_equal(fake_commit_one(&f, 1, "a@x.example"), 1);
	fake_turn(&f, 1);
	fake_result(&f, OUTCOME_DEFERRED, false);
	fake_flow(&f);
	uint64_t due = queue_next_due(f.q);
	f.wall += UINT64_C(10) * 365 * 86400 * SEC;
	fake_turn(&f, 1);
	assert_int_equal(queue_next_due(f.q), due);
	assert_int_equal(f.n_jobs, 0);
	fake_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queue_retry__waits_in_turn_with_little_jitter),
		cmocka_unit_test(queue_warning__once_and_not_for_null_senders),
		cmocka_unit_test(queue_expiry__tells_the_last_reply),
		cmocka_unit_test(queue_expiry__waits_for_a_flight_to_end),
		cmocka_unit_test(queue_expiry__at_a_site_that_is_down),
		cmocka_unit_test(queue_start__a_wrong_clock_neither_expires_nor_stalls),
		cmocka_unit_test(queue_time__a_step_while_running_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
