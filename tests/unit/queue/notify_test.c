/* Who is told of what (RFC 3461), by when (RFC 2852), and what is kept back (RFC 4865). */
#include "fake.h"

struct setup {
	const char *sender, *rcpt;
	uint64_t notify, hold, by, by_mode;
};

static void commit(struct fake *f, uint64_t id, const struct setup *s)
{
	const char *rcpts[] = {s->rcpt, NULL};
	struct message m = fake_message(f, id, s->sender, rcpts);
	struct record_ref ref = fake_ref(id);

	m.rcpts[0].notify = s->notify;
	m.hold_until_wall_usec = s->hold ? f->wall + s->hold : 0;
	m.deliver_by_wall_usec = s->by ? f->wall + s->by : 0;
	m.deliver_by_mode = s->by_mode;
	queue_time(f->q, f->now, f->wall);
	assert_int_equal(queue_committed(f->q, &m, &ref), 1);
}

static void replay(struct fake *f, uint64_t id, const struct setup *s, uint64_t arrival)
{
	const char *rcpts[] = {s->rcpt, NULL};
	struct message m = fake_message(f, id, s->sender, rcpts);
	struct record_ref ref = fake_ref(id);

	m.rcpts[0].notify = s->notify;
	m.arrival_wall_usec = arrival;
	m.hold_until_wall_usec = s->hold ? arrival + s->hold : 0;
	assert_int_equal(queue_replay_commit(f->q, &m, &ref, false), 1);
}

/* All recipients of the oldest job are delivered. */
static void deliver(struct fake *f, bool dsn, bool by)
{
	struct job j = f->jobs[0];
	struct outcome_rcpt rcpts[8] = {{0}};
	struct outcome o = {
		.job = j.job, .message = j.message, .rcpts = rcpts, .n_rcpts = j.n_rcpts};

	for (uint32_t i = 0; i < j.n_rcpts; i++)
		rcpts[i] = (struct outcome_rcpt){.index = j.rcpts[i].index,
			.result = OUTCOME_DELIVERED,
			.code = 250,
			.enhanced = SPAN_LIT("2.0.0"),
			.dsn_passed_on = dsn,
			.by_passed_on = by};
	fake_job_remove(f, 0);
	queue_outcome(f->q, &o);
}

static void queue_outcome__success_is_told_where_nobody_else_does(void **state)
{
	(void)state;
	static const struct {
		struct setup s;
		bool dsn, by;
		int want; /* enum queue_action, or -1: no report */
	} cases[] = {
		{{.sender = "s@x.example", "a@box.example"}, .want = -1},
		{{.sender = "s@x.example", "a@box.example", NOTIFY_SUCCESS},
			.want = ACTION_DELIVERED},
		{{.sender = "s@x.example", "a@box.example", NOTIFY_FAILURE}, .want = -1},
		{{.sender = "s@x.example", "a@box.example", NOTIFY_NEVER}, .want = -1},
		{{.sender = "", "a@box.example", NOTIFY_SUCCESS}, .want = -1},
		{{.sender = "s@x.example", "a@y.example", NOTIFY_SUCCESS}, .want = ACTION_RELAYED},
		{{.sender = "s@x.example", "a@y.example", NOTIFY_SUCCESS}, .dsn = true, .want = -1},
		{{.sender = "s@x.example", "same-1@y.example", NOTIFY_SUCCESS},
			.want = ACTION_RELAYED},
		/* RFC 2852 4.1.4, 4.2: a next hop that knows no by-time; a trace */
		{{.sender = "s@x.example", "a@y.example", 0, 0, 600 * SEC, MESSAGE_BY_NOTIFY},
			.dsn = true, .want = ACTION_RELAYED},
		{{.sender = "s@x.example", "a@y.example", 0, 0, 600 * SEC, MESSAGE_BY_NOTIFY},
			.dsn = true, .by = true, .want = -1},
		{{.sender = "s@x.example",
			 "a@y.example",
			 0,
			 0,
			 600 * SEC,
			 MESSAGE_BY_RETURN | MESSAGE_BY_TRACE},
			.dsn = true, .by = true, .want = ACTION_RELAYED},
		{{.sender = "s@x.example",
			 "a@y.example",
			 NOTIFY_NEVER,
			 0,
			 600 * SEC,
			 MESSAGE_BY_RETURN | MESSAGE_BY_TRACE},
			.want = -1},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fake f;
		fake_init(&f);
		fake_start(&f, true);
		commit(&f, 1, &cases[i].s);
		fake_turn(&f, 1);
		deliver(&f, cases[i].dsn, cases[i].by);
		fake_turn(&f, 1);
		assert_int_equal(f.n_reports, 0); /* not before it is durable that it is owed */
		fake_durable(&f, 0);
		int got = f.n_reports ? (int)f.reports[0].action : -1;
		if (got != cases[i].want)
			fail_msg("case %zu: want %d, got %d", i, cases[i].want, got);
		if (f.n_reports) {
			assert_true(f.reports[0].success);
			assert_int_equal(f.forgotten, 0);
			queue_report_written(f.q, 1, f.reports[0].event, 0);
			assert_true(fake_said(&f, "notified 1"));
		}
		fake_flow(&f);
		assert_int_equal(f.forgotten, 1);
		fake_done(&f);
	}
}

static void queue_expanded__a_list_is_told_as_expanded(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	commit(&f, 1, &(struct setup){.sender = "s@x.example", "list-3@y.example", NOTIFY_SUCCESS});
	fake_turn(&f, 1);
	assert_int_equal(f.jobs[0].n_rcpts, 3);
	fake_durable(&f, 0);
	assert_int_equal(f.n_reports, 1);
	assert_int_equal(f.reports[0].action, ACTION_EXPANDED);
	assert_int_equal(f.reports[0].n_rcpts, 1);
	assert_true(span_equal(f.reports[0].rcpts[0], SPAN_LIT("list-3@y.example")));
	deliver(&f, false, false);
	queue_report_written(f.q, 1, f.reports[0].event, 0);
	fake_flow(&f);
	assert_int_equal(f.n_reports, 1); /* its members owe none: RFC 3461 5.2.7.3 (b) */
	assert_int_equal(f.forgotten, 1);
	fake_done(&f);
}

static void queue_replay__a_report_that_was_owed_is_written(void **state)
{
	(void)state;
	static const struct setup setups[] = {
		{.sender = "s@x.example", "a@box.example", NOTIFY_SUCCESS},
		{.sender = "s@x.example", "list-2@box.example", NOTIFY_SUCCESS},
	};

	for (size_t i = 0; i < ARRAY_LEN(setups); i++) {
		for (size_t keep = 0; keep <= 3; keep++) {
			struct fake f;
			fake_init(&f);
			fake_start(&f, true);
			uint64_t arrival = f.wall;
			commit(&f, 1, &setups[i]);
			fake_turn(&f, 1);
			deliver(&f, false, false);
			fake_turn(&f, 1);
			fake_crash(&f, MIN(keep, f.n_ledger));
			replay(&f, 1, &setups[i], arrival);
			fake_start(&f, true);
			fake_flow(&f);
			if (f.n_jobs)
				deliver(&f, false, false);
			fake_flow(&f);
			assert_int_equal(f.n_reports, 1);
			assert_true(f.reports[0].success);
			assert_int_equal(
				f.reports[0].action, i ? ACTION_EXPANDED : ACTION_DELIVERED);
			queue_report_written(f.q, 1, f.reports[0].event, 0);
			fake_flow(&f);
			assert_int_equal(f.forgotten, 1);
			fake_done(&f);
		}
	}
}

static void queue_outcome__failures_are_told_to_who_asked(void **state)
{
	(void)state;
	static const struct {
		uint64_t notify;
		bool told;
	} cases[] = {{0, true}, {NOTIFY_FAILURE, true}, {NOTIFY_SUCCESS | NOTIFY_FAILURE, true},
		{NOTIFY_NEVER, false}, {NOTIFY_SUCCESS, false}, {NOTIFY_DELAY, false}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fake f;
		fake_init(&f);
		fake_start(&f, true);
		commit(&f, 1,
			&(struct setup){.sender = "s@x.example", "a@y.example", cases[i].notify});
		fake_turn(&f, 1);
		fake_result(&f, OUTCOME_FAILED, false);
		fake_flow(&f);
		assert_int_equal(f.n_reports, cases[i].told);
		if (!cases[i].told)
			assert_true(fake_said(&f, "bounced 1 a@y.example no such user no-report"));
		fake_done(&f);
	}
}

static void queue_warning__goes_to_who_asked(void **state)
{
	(void)state;
	static const struct {
		struct setup s;
		uint64_t wait;
		bool told;
	} cases[] = {
		{{.sender = "s@x.example", "a@y.example"}, 4 * 3600 * SEC, true},
		{{.sender = "s@x.example", "a@y.example", NOTIFY_DELAY}, 4 * 3600 * SEC, true},
		{{.sender = "s@x.example", "a@y.example", NOTIFY_FAILURE}, 40 * 3600 * SEC, false},
		{{.sender = "s@x.example", "a@y.example", NOTIFY_NEVER}, 40 * 3600 * SEC, false},
		/* RFC 2852: by-mode N is told at its time, whatever NOTIFY says but NEVER. */
		{{.sender = "s@x.example",
			 "a@y.example",
			 NOTIFY_FAILURE,
			 0,
			 600 * SEC,
			 MESSAGE_BY_NOTIFY},
			600 * SEC, true},
		{{.sender = "s@x.example",
			 "a@y.example",
			 NOTIFY_NEVER,
			 0,
			 600 * SEC,
			 MESSAGE_BY_NOTIFY},
			600 * SEC, false},
		{{.sender = "s@x.example", "a@y.example", 0, 0, 6 * 3600 * SEC, MESSAGE_BY_NOTIFY},
			5 * 3600 * SEC, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fake f;
		fake_init(&f);
		fake_start(&f, true);
		commit(&f, 1, &cases[i].s);
		fake_turn(&f, 1);
		fake_result(&f, OUTCOME_DEFERRED, false);
		fake_turn(&f, cases[i].wait - 2 * SEC);
		while (f.n_jobs)
			fake_result(&f, OUTCOME_DEFERRED, false);
		assert_int_equal(f.n_reports, 0);
		fake_turn(&f, 3 * SEC);
		if ((f.n_reports == 1) != cases[i].told)
			fail_msg("case %zu: want %d, got %zu", i, cases[i].told, f.n_reports);
		/* Whoever is not told must not keep the queue awake. */
		assert_true(queue_next_due(f.q) > f.now);
		fake_done(&f);
	}
}

static void queue_expiry__by_time_returns_the_message(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	commit(&f, 1,
		&(struct setup){.sender = "s@x.example",
			"a@y.example",
			0,
			0,
			600 * SEC,
			MESSAGE_BY_RETURN});
	fake_turn(&f, 1);
	fake_result(&f, OUTCOME_DEFERRED, false);
	fake_turn(&f, 599 * SEC);
	while (f.n_jobs)
		fake_result(&f, OUTCOME_DEFERRED, false);
	fake_turn(&f, 2 * SEC);
	fake_durable(&f, 0);
	assert_true(fake_said(&f, "expired 1 a@y.example"));
	assert_int_equal(f.n_reports, 1);
	assert_int_equal(f.reports[0].action, ACTION_FAILED);
	fake_done(&f);
}

static void queue_committed__is_kept_back_until_its_time(void **state)
{
	(void)state;
	for (int crash = 0; crash < 3; crash++) {
		static const struct setup s = {
			.sender = "s@x.example", "a@y.example", 0, 9 * 86400 * SEC, 0, 0};
		struct fake f;
		fake_init(&f);
		fake_start(&f, true);
		uint64_t arrival = f.wall;
		commit(&f, 1, &s);
		assert_true(fake_said(&f, "scheduled 1"));
		fake_turn(&f, 8 * 86400 * SEC);
		if (crash) {
			fake_crash(&f, f.n_ledger);
			replay(&f, 1, &s, arrival);
			fake_start(&f, crash == 1);
			assert_int_equal(fake_said_times(&f, "possible-duplicate"), 0);
			fake_flow(&f);
		}
		assert_int_equal(f.n_asks + f.n_jobs, 0);
		assert_int_equal(queue_counts(f.q).deferred, 1);
		fake_turn(&f, 86400 * SEC);
		assert_int_equal(f.n_jobs, 1);
		fake_result(&f, OUTCOME_DEFERRED, false);
		fake_turn(&f, 3600 * SEC); /* its life begins only now */
		assert_int_equal(f.n_jobs, 1);
		assert_int_equal(fake_said_times(&f, "expired"), 0);
		fake_done(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queue_outcome__success_is_told_where_nobody_else_does),
		cmocka_unit_test(queue_expanded__a_list_is_told_as_expanded),
		cmocka_unit_test(queue_replay__a_report_that_was_owed_is_written),
		cmocka_unit_test(queue_outcome__failures_are_told_to_who_asked),
		cmocka_unit_test(queue_warning__goes_to_who_asked),
		cmocka_unit_test(queue_expiry__by_time_returns_the_message),
		cmocka_unit_test(queue_committed__is_kept_back_until_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
