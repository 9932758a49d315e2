/* Twin of src/control/stats_pages.c: what control sends of the shared pages, decoded as `top` does.
 */
#include "control/control.h"
#include "base/stats.h"
#include "process/supervise.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define SLOTS	 (ROLE_COUNT * STATS_ROLE_SLOTS)
#define COUNTERS (sizeof(struct stats) / sizeof(uint64_t))

static struct stats *slot_of(char *pages, unsigned slot)
{
	return (struct stats *)(void *)(pages + (size_t)slot * STATS_SLOT_OCTETS);
}

static void expect_process(struct wire *w, enum role role, unsigned index, const struct stats *want)
{
	const uint64_t *values = (const uint64_t *)(const void *)want;

	assert_int_equal(wire_get_u8(w), role);
	assert_int_equal(wire_get_u16(w), index);
	assert_int_equal(wire_get_u16(w), COUNTERS);
	for (size_t i = 0; i < COUNTERS; i++) {
		uint64_t got = wire_get_u64(w);
		if (got != values[i])
			fail_msg("%s[%u], counter %zu: want %ju, got %ju", role_name(role), index,
				i, (uintmax_t)values[i], (uintmax_t)got);
	}
	assert_int_equal(w->error, 0);
}

static int set_up(void **state)
{
	*state = calloc(SLOTS, STATS_SLOT_OCTETS);
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static void control_stats_encode__nobody_has_counted(void **state)
{
	struct buf b = BUF_INIT(1 << 20);

	control_stats_encode(*state, (size_t)SLOTS * STATS_SLOT_OCTETS, &b);
	assert_int_equal(b.error, 0);
	assert_int_equal(b.len, 0);
	buf_done(&b);
}

static void control_stats_encode__each_process_with_its_own(void **state)
{
	static const struct {
		enum role role;
		unsigned index;
	} rows[] = {
		{ROLE_SUPERVISOR, 0}, {ROLE_RECEIVER, 0}, {ROLE_RECEIVER, STATS_ROLE_SLOTS - 1},
		{ROLE_DISPATCHER, 0}, {ROLE_CLI, STATS_ROLE_SLOTS - 1}, /* the last slot */
	};
	struct buf b = BUF_INIT(1 << 20);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct stats *s =
			slot_of(*state, (unsigned)rows[i].role * STATS_ROLE_SLOTS + rows[i].index);
		s->restarts_total = i + 1; /* the last one of the list alone */
		if (i % 2)
			s->connections_total = UINT64_MAX;
	}
	/* Behind the counters a slot is nobody's. */
	((char *)*state)[STATS_SLOT_OCTETS - 1] = 1;
	control_stats_encode(*state, (size_t)SLOTS * STATS_SLOT_OCTETS, &b);
	assert_int_equal(b.error, 0);
	struct wire w = wire_reader(buf_span(&b));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect_process(&w, rows[i].role, rows[i].index,
			slot_of(*state, (unsigned)rows[i].role * STATS_ROLE_SLOTS + rows[i].index));
	assert_int_equal(w.rest.len, 0);
	buf_done(&b);
}

static void control_stats_encode__cut_pages(void **state)
{
	struct buf b = BUF_INIT(1 << 20);

	slot_of(*state, 0)->lookups_total = 1;
	slot_of(*state, 1)->lookups_total = 2;
	/* The second slot is not there as a whole. */
	control_stats_encode(*state, 2 * STATS_SLOT_OCTETS - 1, &b);
	struct wire w = wire_reader(buf_span(&b));
	expect_process(&w, ROLE_SUPERVISOR, 0, slot_of(*state, 0));
	assert_int_equal(w.rest.len, 0);
	buf_reset(&b);
	control_stats_encode(*state, 0, &b);
	assert_int_equal(b.len, 0);
	buf_done(&b);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(control_stats_encode__nobody_has_counted),
		TEST(control_stats_encode__each_process_with_its_own),
		TEST(control_stats_encode__cut_pages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
