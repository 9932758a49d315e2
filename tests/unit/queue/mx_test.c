/* Twin of src/queue/mx.c: next hops that wait for the DNS. The fake's rules for domains "mx.*" are
 * in fake.c. */
#include "fake.h"

/* Answers what the directory is asked; questions to the DNS stay. */
static void directory_only(struct fake *f)
{
	size_t mxs = f->n_mxs;

	f->n_mxs = 0;
	fake_answer(f);
	f->n_mxs = mxs;
	queue_run(f->q, 100000);
}

static bool site_is(const struct job *j, const char *site)
{
	return span_equal(j->site, span_str(site));
}

static void mx__sites_by_provider(void **state)
{
	struct fake f;
	(void)state;

	fake_init(&f);
	fake_start(&f, true);
	fake_commit(&f, 1, "s@example.net",
		(const char *const[]){"a@mx.one-big", "b@mx.two-big", "c@mx.one-big", NULL});
	fake_flow(&f);
	/* One transaction a domain, one site for both. */
	assert_int_equal(f.n_jobs, 2);
	assert_true(site_is(&f.jobs[0], "big") && site_is(&f.jobs[1], "big"));
	assert_int_equal(f.jobs[0].n_rcpts, 2);
	assert_int_equal(f.jobs[0].n_hosts, 1);
	assert_int_equal(f.jobs[0].host.len, 0);
	assert_true(span_equal(f.jobs[0].hosts[0].name, SPAN_LIT("big")));
	assert_true(span_equal(f.jobs[0].domain, SPAN_LIT("mx.one-big")));
	fake_result(&f, OUTCOME_DELIVERED, false);
	fake_result(&f, OUTCOME_DELIVERED, false);
	fake_flow(&f);
	assert_int_equal(f.forgotten, 1);
	fake_done(&f);
}

/* The provider is down: the second domain's mail waits behind the same probe. */
static void mx__one_window_for_all_domains(void **state)
{
	struct fake f;
	char rcpt[64];
	(void)state;

	fake_init(&f);
	fake_start(&f, true);
	for (uint64_t id = 1; id <= 20; id++) {
		(void)snprintf(rcpt, sizeof(rcpt), "a@mx.d%u-big", (unsigned)id);
		fake_commit_one(&f, id, rcpt);
	}
	fake_flow(&f);
	assert_int_equal(f.n_jobs, 5); /* the first window of one site, whatever the domains */
	fake_result(&f, OUTCOME_DEFERRED, true);
	fake_flow(&f);
	assert_true(fake_said(&f, "site-down"));
	assert_int_equal(f.n_jobs, 4);
	fake_done(&f);
}

static void mx__one_question_a_domain(void **state)
{
	struct fake f;
	(void)state;

	fake_init(&f);
	fake_start(&f, true);
	for (uint64_t id = 1; id <= 10; id++)
		fake_commit_one(&f, id, "a@mx.slow-x");
	fake_commit_one(&f, 11, "a@mx.slower-x");
	queue_run(f.q, 100000);
	directory_only(&f);
	assert_int_equal(f.n_mxs, 2);
	fake_done(&f);
}

static void mx__failures_are_the_domains_own(void **state)
{
	struct fake f;
	(void)state;

	fake_init(&f);
	fake_start(&f, true);
	fake_commit(&f, 1, "s@example.net",
		(const char *const[]){"a@mx.nx-x", "b@mx.fail-x", "c@mx.slow-x", "d@mx.good-x",
			"e@plain.test", NULL});
	fake_flow(&f);
	/* What is known goes, whatever the others wait for. */
	assert_int_equal(f.n_jobs, 2);
	assert_true(fake_said(&f, "a@mx.nx-x no such domain"));
	assert_true(fake_said(&f, "b@mx.fail-x servers fail attempts=1"));
	assert_int_equal(f.n_reports, 1); /* for the one that does not exist */
	assert_int_equal(queue_counts(f.q).deferred, 1);
	fake_result(&f, OUTCOME_DELIVERED, false);
	fake_result(&f, OUTCOME_DELIVERED, false);
	fake_flow(&f);
	/* An owner that lost the question is asked again. */
	assert_int_equal(f.n_mxs, 0);
	f.now += 91 * SEC;
	queue_time(f.q, f.now, f.wall);
	assert_true(queue_next_due(f.q) <= f.now);
	queue_run(f.q, 100000);
	assert_int_equal(f.n_mxs, 1);
	fake_done(&f);
}

/* Whoever waits for the DNS can be held, dropped and rerouted; a late answer finds nobody. */
static void mx__operator_and_late_answers(void **state)
{
	struct fake f;
	(void)state;

	fake_init(&f);
	fake_start(&f, true);
	fake_commit_one(&f, 1, "a@mx.late-x");
	queue_run(f.q, 100000);
	directory_only(&f);
	assert_int_equal(f.n_mxs, 1);
	fake_command(&f, ADMIN_QUEUE_HOLD, (struct admin_request){.all = true}, 1);
	assert_int_equal(queue_counts(f.q).held, 1);
	fake_answer(&f);
	queue_run(f.q, 100000);
	assert_int_equal(f.n_jobs, 0);
	fake_command(&f, ADMIN_QUEUE_RELEASE, (struct admin_request){.all = true}, 1);
	fake_durable(&f, 0);
	fake_flow(&f);
	assert_int_equal(f.n_jobs, 1);
	fake_result(&f, OUTCOME_DELIVERED, false);
	fake_commit_one(&f, 2, "a@mx.slow-x");
	fake_flow(&f);
	queue_reroute(f.q);
	fake_flow(&f);
	fake_command(&f, ADMIN_QUEUE_DROP, (struct admin_request){.all = true}, 1);
	fake_flow(&f);
	assert_int_equal(queue_counts(f.q).messages, 0);
	fake_done(&f);
}

/* Dead domains that were tried before leave half of the questions to new mail. */
static void mx__retries_leave_room(void **state)
{
	struct fake f;
	char rcpt[64];
	(void)state;

	fake_init(&f);
	f.quiet = true;
	fake_start(&f, true);
	for (uint64_t id = 1; id <= 3000; id++) {
		(void)snprintf(rcpt, sizeof(rcpt), "a@mx.fail%u-x", (unsigned)id);
		fake_commit_one(&f, id, rcpt);
	}
	for (unsigned i = 0; i < 10; i++)
		fake_flow(&f);
	assert_int_equal(queue_counts(f.q).deferred, 3000);
	/* All come back at once, and nobody answers. */
	f.now += 400 * SEC;
	f.wall += 400 * SEC;
	queue_time(f.q, f.now, f.wall);
	queue_run(f.q, 100000);
	for (unsigned i = 0; i < 20; i++)
		directory_only(&f);
	size_t out = f.n_mxs;
	assert_true(out > 0 && out <= 1024);
	fake_commit_one(&f, 5000, "a@mx.good-x");
	queue_run(f.q, 100000);
	directory_only(&f);
	assert_int_equal(f.n_mxs, out + 1);
	fake_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mx__sites_by_provider),
		cmocka_unit_test(mx__one_window_for_all_domains),
		cmocka_unit_test(mx__one_question_a_domain),
		cmocka_unit_test(mx__failures_are_the_domains_own),
		cmocka_unit_test(mx__operator_and_late_answers),
		cmocka_unit_test(mx__retries_leave_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
