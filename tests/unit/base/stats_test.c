/* Shared counters: counted before and after attaching, seen by a reader of the pages. */
#include "test.h"
#include "base/stats.h"

#include <sys/mman.h>
#include <unistd.h>

static void stats_attach__carries_over_and_shares(void **state)
{
	(void)state;
	CLEANUP(fd_closep) int fd = memfd_create("stats", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 8 * STATS_SLOT_OCTETS), 0);

	want_int("beyond the end", -EINVAL, stats_attach(fd, 8));
	want_int("no descriptor", -EBADF, stats_attach(-1, 0));

	STATS_ADD(commands_total, 3);
	struct stats old = {.commands_total = 1000, .octets_accepted_total = 5};
	assert_int_equal(pwrite(fd, &old, sizeof(old), 5 * STATS_SLOT_OCTETS), sizeof(old));
	want_int("attach", 0, stats_attach(fd, 5));
	STATS_ADD(commands_total, 4);
	STATS_SET(connections_open, 9);
	STATS_SUB(connections_open, 2);

	struct stats seen;
	assert_int_equal(pread(fd, &seen, sizeof(seen), 5 * STATS_SLOT_OCTETS), sizeof(seen));
	want_u64("commands", 7, seen.commands_total);
	want_u64("gauge", 7, seen.connections_open);
	want_u64("the earlier process is forgotten", 0, seen.octets_accepted_total);
	for (unsigned slot = 0; slot < 8; slot++) {
		if (slot == 5)
			continue;
		assert_int_equal(
			pread(fd, &seen, sizeof(seen), slot * STATS_SLOT_OCTETS), sizeof(seen));
		want_u64("other slots untouched", 0, seen.commands_total);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stats_attach__carries_over_and_shares),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
