/* Who keeps which segment: each reference is given back once, on every way that a message can go.
 */
#include "../spool/rig.h"

#include "queue/holds.h"

#define PIECES 20u
#define GONE   999u /* no segment of this name */

struct stage {
	struct rig rig;
	struct holds h;
	uint64_t a, b, c; /* segments of the slots 0, 1 and 2 */
};

static void stage_init(struct stage *s)
{
	uint64_t *const all[] = {&s->a, &s->b, &s->c};

	rig_init(&s->rig, UINT64_C(64) << 20, 7);
	for (uint16_t slot = 0; slot < RIG_SLOTS; slot++) {
		const unsigned before = s->rig.n_ready;
		rig_writer(&s->rig, slot);
		fake_run(&s->rig.fake);
		assert_true(s->rig.n_ready > before);
		*all[slot] = s->rig.ready[before];
	}
	assert_int_equal(holds_init(&s->h, s->rig.store, 1), 0);
}

static void stage_done(struct stage *s)
{
	holds_done(&s->h);
	rig_done(&s->rig);
}

static void want_live(const struct stage *s, const char *when, uint64_t a, uint64_t b, uint64_t c)
{
	const uint64_t got[] = {store_find(s->rig.store, s->a)->live,
		store_find(s->rig.store, s->b)->live, store_find(s->rig.store, s->c)->live};

	if (got[0] != a || got[1] != b || got[2] != c)
		fail_msg("%s: want %llu %llu %llu, got %llu %llu %llu", when, (unsigned long long)a,
			(unsigned long long)b, (unsigned long long)c, (unsigned long long)got[0],
			(unsigned long long)got[1], (unsigned long long)got[2]);
}

/* A message of n pieces in segments[i % n_segments], one of them inline. */
static int take(struct stage *s, uint64_t id, uint64_t commit, unsigned n, const uint64_t *segments,
	unsigned n_segments)
{
	struct message_piece pieces[PIECES] = {{.is_inline = true}};
	struct message m = {.id = id, .pieces = pieces, .n_pieces = n + 1};

	assert_true(n < PIECES);
	for (unsigned i = 0; i < n; i++)
		pieces[i + 1].piece.segment = segments[i % n_segments];
	return holds_take(&s->h, &m, &(struct record_ref){.segment = commit});
}

static void holds_take__counts_each_segment_once(void **state)
{
	(void)state;
	struct stage s;
	stage_init(&s);
	const struct {
		const char *what;
		unsigned n, n_segments;
		uint64_t segments[3], want[3];
	} table[] = {
		{"inline alone", 0, 1, {0}, {1, 0, 0}},
		{"where its COMMIT is", 3, 1, {s.a}, {1, 0, 0}},
		{"chunks behind one another", 18, 1, {s.b}, {1, 1, 0}},
		{"two in turns", 18, 2, {s.b, s.c}, {1, 1, 1}},
		{"all three", 18, 3, {s.a, s.b, s.c}, {1, 1, 1}},
		{"one that is not there", 6, 2, {GONE, s.c}, {1, 0, 1}},
		{"none that is there", 1, 1, {GONE}, {1, 0, 0}},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const uint64_t id = 100 + i;
		struct record_ref commit = {.segment = s.a};
		uint32_t n;
		assert_int_equal(
			take(&s, id, s.a, table[i].n, table[i].segments, table[i].n_segments), 0);
		want_live(&s, table[i].what, table[i].want[0], table[i].want[1], table[i].want[2]);
		const uint64_t *held = holds_segments(&s.h, id, &commit, &n);
		assert_int_equal(n, table[i].want[0] + table[i].want[1] + table[i].want[2]);
		assert_int_equal(held[0], s.a);
		holds_release(&s.h, id, &commit);
		want_live(&s, table[i].what, 0, 0, 0);
	}
	stage_done(&s);
}

/* A whole copy of a damaged message: what the first one held is kept for good. */
static void holds_take__second_copy_keeps_the_first(void **state)
{
	(void)state;
	struct stage s;
	stage_init(&s);
	assert_int_equal(take(&s, 1, s.a, 1, &s.b, 1), 0);
	assert_int_equal(take(&s, 1, s.c, 0, NULL, 1), 0);
	want_live(&s, "both", 1, 1, 1);
	holds_release(&s.h, 1, &(struct record_ref){.segment = s.c});
	want_live(&s, "the copy is gone", 1, 1, 0);
	stage_done(&s);
}

static void holds_move__keeps_both_places_until_it_is_known(void **state)
{
	(void)state;
	struct stage s;
	stage_init(&s);
	const struct record_ref from = {.segment = s.a}, to = {.segment = s.c};
	for (unsigned pieces = 0; pieces < 2; pieces++) {
		const struct message copy = {.id = 5};
		assert_int_equal(take(&s, 5, s.a, pieces, &s.b, 1), 0);
		assert_false(holds_moving(&s.h, 5));
		assert_int_equal(holds_move(&s.h, &copy, &from, &to), 0);
		assert_true(holds_moving(&s.h, 5));
		want_live(&s, "moving", 1, pieces, 1);
		/* Either may come first: its end, or the ledger's word. */
		if (pieces)
			holds_release(&s.h, 5, &to);
		holds_moved(&s.h, 5);
		assert_false(holds_moving(&s.h, 5));
		want_live(&s, "moved", 0, 0, pieces ? 0 : 1);
		if (!pieces)
			holds_release(&s.h, 5, &to);
		want_live(&s, "gone", 0, 0, 0);
	}
	stage_done(&s);
}

static void on_durable(struct writer_ticket *t, int result)
{
	(void)t;
	assert_int_equal(result, 0);
}

static void holds_own_ended__waits_for_the_reports_in_it(void **state)
{
	(void)state;
	struct stage s;
	struct hold_report empty = {0}, report = {0};
	struct writer_ticket ticket = {.done = on_durable};
	struct draft *d;
	stage_init(&s);
	holds_report(&s.h, &empty); /* nothing of it is written yet */
	assert_int_equal(draft_new(s.rig.writers[0].writer, &d), 0);
	assert_int_equal(draft_append(d, SPAN_LIT("Subject: failed\r\n\r\n")), 0);
	assert_int_equal(draft_flush_full(d), 0);
	struct message_rcpt rcpt = {.address = SPAN_LIT("a@example.org")};
	struct message m = {.rcpts = &rcpt, .n_rcpts = 1};
	struct record_ref commit;
	assert_int_equal(draft_commit(d, &m, &ticket, &commit), 0);
	writer_flush(s.rig.writers[0].writer);
	fake_run(&s.rig.fake);
	report.draft = d;
	holds_report(&s.h, &report);
	assert_int_equal(commit.segment, s.a);
	holds_own_ended(&s.h, s.a);
	holds_own_ended(&s.h, s.b); /* no report lies there */
	assert_int_equal(s.h.n_ended, 1);
	assert_int_equal(s.h.ended[0], s.a);
	assert_int_equal(
		store_find(s.rig.store, s.b)->known_end, store_find(s.rig.store, s.b)->head.size);
	holds_report_end(&s.h, &empty);
	assert_int_equal(s.h.n_ended, 1);
	holds_report_end(&s.h, &report);
	assert_int_equal(s.h.n_ended, 0);
	draft_free(d);
	stage_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_take__counts_each_segment_once),
		cmocka_unit_test(holds_take__second_copy_keeps_the_first),
		cmocka_unit_test(holds_move__keeps_both_places_until_it_is_known),
		cmocka_unit_test(holds_own_ended__waits_for_the_reports_in_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
