/* Windows, backoff, fairness between sites and senders. */
#include "fake.h"

static void commit_many(
	struct fake *f, uint64_t from, uint64_t n, const char *sender, const char *rcpt)
{
	for (uint64_t id = from; id < from + n; id++)
		assert_int_equal(fake_commit(f, id, sender, (const char *const[]){rcpt, NULL}), 1);
}

static void site_window__grows_and_halves(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	commit_many(&f, 1, 1000, "s@example.net", "a@x.example");
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 5);
	/* One more for each full window of successes: 5, 6, ... 20 after 5 + 6 + ... + 19. */
	for (int i = 0; i < 5; i++)
		fake_result(&f, OUTCOME_DELIVERED, false);
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 6);
	for (int i = 0; i < 200; i++) {
		fake_result(&f, OUTCOME_DELIVERED, false);
		fake_turn(&f, 1);
	}
	assert_int_equal(f.n_jobs, 20);
	fake_result(&f, OUTCOME_DEFERRED, false);
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 19); /* the window is 10: nothing new until it is undershot */
	while (f.n_jobs > 9)
		fake_job_remove(&f, 0);
	for (int i = 0; i < 6; i++)
		fake_result(&f, OUTCOME_FAILED, false);
	fake_turn(&f, 1);
	assert_int_equal(queue_counts(f.q).in_flight, 13); /* 10 thrown away by the test + 3 */
	fake_done(&f);
}

static void site_window__never_below_one(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	commit_many(&f, 1, 30, "s@example.net", "a@x.example");
	for (int i = 0; i < 20; i++) {
		fake_turn(&f, 1);
		assert_true(f.n_jobs > 0);
		fake_result(&f, OUTCOME_DEFERRED, false);
	}
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 1);
	fake_done(&f);
}

static void site_window__mailboxes_do_not_shrink(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	commit_many(&f, 1, 200, "s@example.net", "a@box.example");
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 64);
	for (int i = 0; i < 10; i++)
		fake_result(&f, OUTCOME_DEFERRED, false);
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 64);
	fake_done(&f);
}

static void site_down__probes_double_and_count_only_for_themselves(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	commit_many(&f, 1, 50, "s@example.net", "a@x.example");
	fake_turn(&f, 1);
	while (f.n_jobs)
		fake_result(&f, OUTCOME_DEFERRED, true);
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 0);
	assert_int_equal(fake_said_times(&f, "site-down"), 1);
	assert_int_equal(fake_said_times(&f, "deferred"), 0);
	assert_int_equal(queue_counts(f.q).deferred, 50); /* for the operator they are deferred */
	assert_int_equal(queue_counts(f.q).ready, 0);
	bool probed[51] = {false};
	uint64_t waits[] = {5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600};
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		uint64_t due = queue_next_due(f.q);
		assert_in_range(due - f.now, waits[i] * SEC - 10, waits[i] * SEC);
		fake_turn(&f, due - f.now);
		assert_int_equal(f.n_jobs, 1);
		assert_false(probed[f.jobs[0].message]); /* in turn */
		probed[f.jobs[0].message] = true;
		fake_result(&f, OUTCOME_DEFERRED, true);
		fake_turn(&f, 1);
		assert_int_equal(f.n_jobs, 0);
		assert_int_equal(fake_said_times(&f, "deferred"), i + 1);
	}
	fake_turn(&f, 3600 * SEC);
	assert_int_equal(f.n_jobs, 1);
	fake_result(&f, OUTCOME_DELIVERED, false);
	fake_turn(&f, 1);
	assert_true(fake_said(&f, "site-up"));
	/* Small again, then by one a success until where it was. */
	assert_int_equal(f.n_jobs, 2);
	fake_result(&f, OUTCOME_DELIVERED, false);
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 3);
	while (queue_counts(f.q).messages) {
		fake_result(&f, OUTCOME_DELIVERED, false);
		fake_flow(&f);
	}
	assert_int_equal(f.forgotten, 50);
	fake_done(&f);
}

static void site_down__probe_lost_is_tried_again(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	commit_many(&f, 1, 2, "s@example.net", "a@x.example");
	fake_turn(&f, 1);
	fake_result(&f, OUTCOME_DEFERRED, true);
	fake_result(&f, OUTCOME_DEFERRED, true);
	fake_turn(&f, 5 * SEC);
	assert_int_equal(f.n_jobs, 1);
	uint64_t job = f.jobs[0].job;
	fake_job_remove(&f, 0);
	queue_job_lost(f.q, job, false);
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 1); /* its place was given back */
	fake_done(&f);
}

static void queue_run__sites_in_turn(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	commit_many(&f, 1, 50, "s@example.net", "a@x.example");
	commit_many(&f, 51, 2, "s@example.net", "a@y.example");
	queue_time(f.q, f.now, f.wall);
	queue_run(f.q, 0);
	fake_answer(&f);
	queue_run(f.q, 4);
	assert_int_equal(f.n_jobs, 4);
	assert_int_equal(f.jobs[1].message, 51);
	assert_int_equal(f.jobs[3].message, 52);
	fake_done(&f);
}

static void queue_run__one_sender_does_not_starve_another(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	commit_many(&f, 1, 2000, "bulk@example.net", "a@x.example");
	fake_turn(&f, 1);
	commit_many(&f, 5000, 1, "urgent@example.com", "a@x.example");
	fake_turn(&f, 1);
	for (int i = 0; i < 2; i++) {
		fake_result(&f, OUTCOME_DELIVERED, false);
		fake_turn(&f, 1);
	}
	bool found = false;
	for (size_t i = 0; i < f.n_jobs; i++)
		found = found || f.jobs[i].message == 5000;
	assert_true(found);
	fake_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(site_window__grows_and_halves),
		cmocka_unit_test(site_window__never_below_one),
		cmocka_unit_test(site_window__mailboxes_do_not_shrink),
		cmocka_unit_test(site_down__probes_double_and_count_only_for_themselves),
		cmocka_unit_test(site_down__probe_lost_is_tried_again),
		cmocka_unit_test(queue_run__sites_in_turn),
		cmocka_unit_test(queue_run__one_sender_does_not_starve_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
