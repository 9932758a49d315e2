/* The operator: list by cursor, retry, hold, release, drop. */
#include "fake.h"

struct rows {
	uint64_t ids[4096];
	size_t n;
	uint32_t rcpts;
	bool held;
	char state[16];
};

static void on_row(void *arg, const struct queue_row *row)
{
	struct rows *rows = arg;

	assert_true(rows->n < ARRAY_LEN(rows->ids));
	rows->ids[rows->n++] = row->id;
	rows->rcpts = row->n_rcpts;
	rows->held = row->held;
	snprintf(rows->state, sizeof(rows->state), "%.*s", SPAN_FMT(row->rcpts[0].state));
}

static size_t list(struct fake *f, struct admin_request request, struct rows *rows)
{
	uint64_t cursor = 0;

	*rows = (struct rows){0};
	request.verb = ADMIN_QUEUE_LIST;
	while (queue_list(f->q, &request, &cursor, 7, on_row, rows))
		;
	return rows->n;
}

static void fill(struct fake *f)
{
	static const struct {
		const char *sender, *rcpt;
	} mails[] = {
		{"a@one.example", "u1@x.example"},
		{"b@one.example", "u2@y.example"},
		{"c@two.example", "hold@x.example"},
		{"", "u4@w.example"},
		{"a@one.example", "slow@z.example"},
	};
	for (size_t i = 0; i < ARRAY_LEN(mails); i++)
		assert_int_equal(fake_commit(f, i + 1, mails[i].sender,
					 (const char *const[]){mails[i].rcpt, NULL}),
			1);
	fake_turn(f, 1);
	assert_int_equal(f->n_jobs, 3);
	for (int i = 0; i < 2; i++)
		fake_result(f, OUTCOME_DEFERRED, false); /* 1 and 2; 4 stays in flight */
	fake_flow(f);
}

struct filter_case {
	const char *name;
	struct admin_request request;
	size_t want;
	uint64_t first;
};

static void queue_list__every_filter(void **state)
{
	(void)state;
	uint64_t ids[] = {5, 2, 77};
	const struct filter_case cases[] = {
		{"everything", {0}, 5, 1},
		{"ids", {.ids = ids, .n_ids = 3}, 2, 5},
		{"sender", {.sender = SPAN_LIT("A@one.example")}, 2, 1},
		{"sender domain", {.sender = SPAN_LIT("*@one.example")}, 3, 1},
		{"null sender", {.sender = SPAN_LIT("<>")}, 1, 4},
		{"recipient", {.recipient = SPAN_LIT("u2@y.example")}, 1, 2},
		{"domain", {.domain = SPAN_LIT("x.example")}, 2, 1},
		{"site", {.site = SPAN_LIT("y.example")}, 1, 2},
		{"deferred", {.state = SPAN_LIT("deferred")}, 2, 1},
		{"held", {.state = SPAN_LIT("held")}, 1, 3},
		{"in flight", {.state = SPAN_LIT("in-flight")}, 1, 4},
		{"expanding", {.state = SPAN_LIT("expanding")}, 1, 5},
		{"two filters", {.domain = SPAN_LIT("x.example"), .state = SPAN_LIT("held")}, 1, 3},
		{"none", {.sender = SPAN_LIT("nobody@else")}, 0, 0},
	};
	struct fake f;
	static struct rows rows;
	fake_init(&f);
	fake_start(&f, true);
	fill(&f);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t got = list(&f, cases[i].request, &rows);
		if (got != cases[i].want || (got && rows.ids[0] != cases[i].first))
			fail_msg("%s: want %zu rows from %llu, got %zu from %llu", cases[i].name,
				cases[i].want, (unsigned long long)cases[i].first, got,
				(unsigned long long)rows.ids[0]);
	}
	fake_done(&f);
}

static void queue_list__cursor_is_stable(void **state)
{
	(void)state;
	struct fake f;
	static struct rows rows;
	fake_init(&f);
	f.quiet = true;
	fake_start(&f, true);
	for (uint64_t id = 2; id <= 4000; id += 2)
		assert_int_equal(fake_commit_one(&f, id, "hold@x.example"), 1);
	fake_flow(&f);
	struct admin_request request = {.verb = ADMIN_QUEUE_LIST};
	uint64_t cursor = 0, odd = 1, drop = 4;
	while (queue_list(f.q, &request, &cursor, 10, on_row, &rows)) {
		/* Others come and go between two calls. */
		for (int i = 0; i < 5; i++, odd += 2)
			assert_int_equal(fake_commit_one(&f, odd, "hold@x.example"), 1);
		fake_command(
			&f, ADMIN_QUEUE_DROP, (struct admin_request){.ids = &drop, .n_ids = 1}, 1);
		drop += 4;
		fake_flow(&f);
	}
	static bool seen[5000];
	for (size_t i = 0; i < rows.n; i++) {
		assert_true(i == 0 || rows.ids[i] > rows.ids[i - 1]); /* none twice */
		seen[rows.ids[i]] = true;
	}
	for (uint64_t id = 2; id <= 4000; id += 4)
		assert_true(seen[id]); /* never dropped: listed */
	fake_done(&f);
}

static void queue_command__nothing_without_a_filter(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	fill(&f);
	fake_command(&f, ADMIN_QUEUE_DROP, (struct admin_request){0}, 0);
	assert_int_equal(queue_counts(f.q).messages, 5);
	fake_done(&f);
}

static void queue_command__retry_waits_until_durable(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	fill(&f);
	uint64_t before = f.handed;
	fake_command(&f, ADMIN_QUEUE_RETRY, (struct admin_request){.all = true}, 2);
	fake_turn(&f, 1);
	assert_int_equal(f.handed, before);
	fake_durable(&f, 0);
	fake_turn(&f, 1);
	assert_int_equal(f.handed, before + 2);
	fake_done(&f);
}

static void queue_command__retry_all_overrides_a_down_site(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	for (uint64_t id = 1; id <= 10; id++)
		assert_int_equal(fake_commit_one(&f, id, "a@x.example"), 1);
	fake_turn(&f, 1);
	while (f.n_jobs)
		fake_result(&f, OUTCOME_DEFERRED, true);
	fake_flow(&f);
	assert_int_equal(f.n_jobs, 0);
	fake_command(&f, ADMIN_QUEUE_RETRY, (struct admin_request){.all = true}, 10);
	fake_flow(&f);
	assert_int_equal(f.n_jobs, 5);
	fake_done(&f);
}

static void queue_command__retry_of_one_puts_it_first(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	for (uint64_t id = 1; id <= 10; id++)
		assert_int_equal(fake_commit_one(&f, id, "a@x.example"), 1);
	fake_turn(&f, 1);
	while (f.n_jobs)
		fake_result(&f, OUTCOME_DEFERRED, true);
	fake_flow(&f);
	uint64_t id = 9;
	fake_command(&f, ADMIN_QUEUE_RETRY, (struct admin_request){.ids = &id, .n_ids = 1}, 1);
	fake_flow(&f);
	assert_true(f.n_jobs > 0);
	assert_int_equal(f.jobs[0].message, 9);
	fake_done(&f);
}

static void queue_command__hold_and_release(void **state)
{
	(void)state;
	struct fake f;
	static struct rows rows;
	fake_init(&f);
	fake_start(&f, true);
	fill(&f);
	fake_command(&f, ADMIN_QUEUE_HOLD, (struct admin_request){.all = true}, 4);
	assert_int_equal(f.cancelled, 1); /* of message 4, in flight */
	fake_result(&f, OUTCOME_NOT_TRIED, false);
	fake_flow(&f);
	assert_int_equal(queue_counts(f.q).held, 5);
	assert_int_equal(list(&f, (struct admin_request){.state = SPAN_LIT("held")}, &rows), 5);
	assert_true(rows.held);
	uint64_t before = f.handed;
	fake_turn(&f, 86400 * SEC);
	assert_int_equal(f.handed, before);
	fake_command(&f, ADMIN_QUEUE_RELEASE, (struct admin_request){.all = true}, 5);
	fake_turn(&f, 1);
	assert_int_equal(f.handed, before);
	fake_flow(&f);
	assert_int_equal(f.handed, before + 3);
	assert_int_equal(queue_counts(f.q).held, 1); /* routed to hold again */
	fake_command(&f, ADMIN_QUEUE_RELEASE,
		(struct admin_request){.state = SPAN_LIT("held"), .via = SPAN_LIT("other.example")},
		1);
	fake_flow(&f);
	assert_int_equal(f.handed, before + 4);
	assert_true(span_equal(f.jobs[f.n_jobs - 1].site, SPAN_LIT("other.example")));
	fake_done(&f);
}

/* Between two slices mail comes and goes; what was there throughout is met, and met once. */
static void queue_command_slice__all_of_a_long_queue(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	for (uint64_t id = 2; id <= 2000; id += 2)
		assert_int_equal(fake_commit_one(&f, id, "hold@x.example"), 1);
	fake_flow(&f);
	assert_int_equal(queue_counts(f.q).held, 1000);
	struct admin_request r = {.verb = ADMIN_QUEUE_RELEASE, .all = true};
	uint64_t cursor = 0, count = 0;
	unsigned slices = 0;
	for (bool more = true; more; slices++) {
		uint64_t before = count;
		more = queue_command_slice(f.q, &r, &cursor, 100, &count);
		assert_true(count - before <= 100);
		fake_flow(&f); /* released ones are held again: by their route */
		/* Behind the cursor, where it is not looked at any more. */
		if (slices < 5)
			assert_int_equal(fake_commit_one(&f, slices * 2 + 1, "hold@x.example"), 1);
	}
	assert_int_equal(slices, 11);
	assert_int_equal(count, 1000);
	assert_int_equal(fake_said_times(&f, "released"), 1000);
	fake_done(&f);
}

static void queue_command__drop_in_flight(void **state)
{
	(void)state;
	const enum outcome_class results[] = {
		OUTCOME_DELIVERED, OUTCOME_DEFERRED, OUTCOME_NOT_TRIED, OUTCOME_FAILED};
	for (size_t i = 0; i < ARRAY_LEN(results); i++) {
		struct fake f;
		fake_init(&f);
		fake_start(&f, true);
		assert_int_equal(fake_commit_one(&f, 1, "a@x.example"), 1);
		fake_turn(&f, 1);
		fake_command(&f, ADMIN_QUEUE_DROP, (struct admin_request){.all = true}, 1);
		assert_int_equal(queue_counts(f.q).in_flight, 1);
		fake_result(&f, results[i], false);
		fake_flow(&f);
		if (results[i] == OUTCOME_FAILED) {
			assert_int_equal(f.n_reports, 1);
		} else {
			assert_int_equal(f.forgotten, 1);
			assert_int_equal(
				fake_said_times(&f, "dropped"), results[i] != OUTCOME_DELIVERED);
		}
		fake_done(&f);
	}
}

static void queue_command__drop_one_recipient(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	const char *rcpts[] = {"hold@x.example", "hold@y.example", NULL};
	assert_int_equal(fake_commit(&f, 1, "s@example.net", rcpts), 1);
	fake_flow(&f);
	fake_command(
		&f, ADMIN_QUEUE_DROP, (struct admin_request){.domain = SPAN_LIT("y.example")}, 1);
	fake_flow(&f);
	assert_int_equal(queue_counts(f.q).held, 1);
	assert_int_equal(f.forgotten, 0);
	fake_command(&f, ADMIN_QUEUE_DROP, (struct admin_request){.all = true}, 1);
	fake_flow(&f);
	assert_int_equal(f.forgotten, 1);
	assert_int_equal(f.n_reports, 0);
	fake_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queue_list__every_filter),
		cmocka_unit_test(queue_list__cursor_is_stable),
		cmocka_unit_test(queue_command__nothing_without_a_filter),
		cmocka_unit_test(queue_command__retry_waits_until_durable),
		cmocka_unit_test(queue_command__retry_all_overrides_a_down_site),
		cmocka_unit_test(queue_command__retry_of_one_puts_it_first),
		cmocka_unit_test(queue_command__hold_and_release),
		cmocka_unit_test(queue_command_slice__all_of_a_long_queue),
		cmocka_unit_test(queue_command__drop_in_flight),
		cmocka_unit_test(queue_command__drop_one_recipient),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
