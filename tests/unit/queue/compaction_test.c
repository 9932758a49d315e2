/* The queue's side of compaction: who is idle, what is durable before what, and what a recovery
 * makes of a message that stands in two places. */
#include "fake.h"

/* Where the copy of a message stands; the offset tells it from fake_ref's by its segment. */
static struct record_ref copy_ref(uint64_t id)
{
	struct record_ref ref = fake_ref(id);

	ref.segment = 77;
	return ref;
}

struct walked {
	uint64_t ids[8];
	bool idle[8];
	unsigned n;
};

static void each(void *arg, uint64_t id, const struct record_ref *commit, uint64_t size, bool idle)
{
	struct walked *w = arg;

	assert_true(w->n < ARRAY_LEN(w->ids));
	assert_int_equal(commit->offset, fake_ref(id).offset);
	assert_int_equal(size, 1000);
	w->idle[w->n] = idle;
	w->ids[w->n++] = id;
}

static void queue_walk__shows_each_once(void **state)
{
	(void)state;
	struct fake f;
	struct walked w = {.n = 0};
	uint64_t cursor = 0;
	fake_init(&f);
	fake_start(&f, true);
	assert_int_equal(fake_commit_one(&f, 1, "hold@x.example"), 1);
	assert_int_equal(fake_commit_one(&f, 2, "a@x.example"), 1);
	assert_int_equal(fake_commit_one(&f, 3, "hold@x.example"), 1);
	fake_flow(&f);
	while (queue_walk(f.q, &cursor, 1, each, &w))
		;
	assert_int_equal(w.n, 3);
	for (unsigned i = 0; i < 3; i++) {
		struct record_ref ref = fake_ref(i + 1);
		assert_int_equal(w.ids[i], i + 1);
		assert_int_equal(w.idle[i], i != 1); /* in flight */
		assert_int_equal(queue_is_idle(f.q, i + 1, &ref), i != 1);
		ref = copy_ref(i + 1);
		assert_false(queue_is_idle(f.q, i + 1, &ref));
	}
	fake_done(&f);
}

static void queue_moved__old_place_goes_when_it_is_durable(void **state)
{
	(void)state;
	struct fake f;
	struct record_ref to = copy_ref(1);
	fake_init(&f);
	fake_start(&f, true);
	assert_int_equal(fake_commit_one(&f, 1, "hold@x.example"), 1);
	fake_flow(&f);
	queue_moved(f.q, 1, &to);
	assert_true(queue_is_idle(f.q, 1, &to));
	assert_int_equal(f.ledger[f.n_ledger - 1].type, ENTRY_MOVED);
	fake_turn(&f, 1);
	assert_int_equal(f.moved, 0);
	/* Its end comes meanwhile, in the same group. */
	fake_command(&f, ADMIN_QUEUE_DROP, (struct admin_request){.all = true}, 1);
	assert_int_equal(f.forgotten, 0);
	fake_flow(&f);
	assert_int_equal(f.moved, 1);
	assert_int_equal(f.forgotten, 1);
	assert_true(f.moved_first);
	fake_done(&f);
}

/* Whichever place is read first is the message, a good one before a damaged one; then it is done
 * wherever it stands. */
static void queue_replay_commit__two_places(void **state)
{
	static const struct {
		const char *what;
		bool copy_first, damaged[2];
		int want[2];
		uint64_t segment; /* 77: the copy */
	} table[] = {
		{"the copy first", true, {false, false}, {1, 0}, 77},
		{"the old one first", false, {false, false}, {1, 0}, 0},
		{"a damaged copy first", true, {true, false}, {1, 1}, 0},
		{"both damaged", true, {true, true}, {1, 0}, 77},
		{"a damaged one second", false, {false, true}, {1, 0}, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct fake f;
		fake_init(&f);
		fake_start(&f, true);
		struct message m = fake_message(
			&f, 1, "s@example.net", (const char *const[]){"hold@x.example", NULL});
		struct record_ref refs[2] = {fake_ref(1), copy_ref(1)}, at;
		assert_int_equal(queue_committed(f.q, &m, &refs[0]), 1);
		fake_flow(&f);
		queue_moved(f.q, 1, &refs[1]);
		fake_flow(&f);
		fake_crash(&f, f.n_ledger);
		print_message("%s\n", table[i].what);
		for (int k = 0; k < 2; k++)
			assert_int_equal(
				queue_replay_commit(f.q, &m, &refs[table[i].copy_first ? 1 - k : k],
					table[i].damaged[k]),
				table[i].want[k]);
		fake_start(&f, true);
		assert_int_equal(queue_counts(f.q).messages, 1);
		at = fake_ref(1);
		at.segment = table[i].segment;
		assert_int_equal(
			queue_is_idle(f.q, 1, &at), !(table[i].damaged[0] && table[i].damaged[1]));
		/* Done is done, in both. */
		fake_command(&f, ADMIN_QUEUE_DROP, (struct admin_request){.all = true}, 1);
		fake_flow(&f);
		fake_crash(&f, f.n_ledger);
		for (int k = 0; k < 2; k++)
			assert_int_equal(queue_replay_commit(f.q, &m, &refs[k], false), 0);
		fake_done(&f);
	}
}

/* A checkpoint names it where it is now. */
static void queue_checkpoint__knows_what_was_moved(void **state)
{
	(void)state;
	struct fake f;
	struct record_ref to = copy_ref(1);
	fake_init(&f);
	fake_start(&f, true);
	assert_int_equal(fake_commit_one(&f, 1, "hold@x.example"), 1);
	fake_flow(&f);
	queue_moved(f.q, 1, &to);
	fake_flow(&f);
	assert_int_equal(fake_entries(&f, ENTRY_MOVED), 1);
	queue_checkpoint_begin(f.q, NULL, 0);
	while (queue_checkpoint_slice(f.q, 1))
		fake_flow(&f);
	assert_int_equal(fake_entries(&f, ENTRY_MOVED), 2);
	fake_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queue_walk__shows_each_once),
		cmocka_unit_test(queue_moved__old_place_goes_when_it_is_durable),
		cmocka_unit_test(queue_replay_commit__two_places),
		cmocka_unit_test(queue_checkpoint__knows_what_was_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
