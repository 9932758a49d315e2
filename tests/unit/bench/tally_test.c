/* Marks: once, twice, damaged; runs that contradict or are too many. */
#include "../base/test.h"
#include "bench/tally.h"

static void tally_arrived__counts(void **state)
{
	struct tally t = {0};
	struct token token = {.run = 1, .n = 2, .of = 4, .rcpts = 3};
	(void)state;

	struct tally_run *run = tally_run(&t, &token);
	assert_non_null(run);
	tally_arrived(run, &token, 0, true);
	tally_arrived(run, &token, 1, true);
	tally_arrived(run, &token, 1, true);
	tally_arrived(run, &token, 2, false);
	want_u64("pairs", 2, run->pairs);
	want_u64("doubled", 1, run->doubled);
	want_u64("damaged", 1, run->damaged);
	want_u64("once", 1, run->marks[2 * 3]);
	want_u64("twice", 2, run->marks[2 * 3 + 1]);
	want_u64("damaged mark", MARK_DAMAGED, run->marks[2 * 3 + 2]);
	for (unsigned i = 0; i < 300; i++)
		tally_arrived(run, &token, 0, true);
	want_u64("saturates", MARK_COUNT, run->marks[2 * 3]);
	token.of = 5;
	assert_null(tally_run(&t, &token)); /* contradicts */
	tally_done(&t);
}

static void tally_run__the_oldest_goes_when_there_are_too_many(void **state)
{
	struct tally t = {0};
	(void)state;

	for (uint64_t id = 1; id <= TALLY_RUNS_MAX + 1; id++) {
		struct token token = {.run = id, .of = 1, .rcpts = 1};
		assert_non_null(tally_run(&t, &token));
	}
	assert_null(tally_find(&t, 1));
	assert_non_null(tally_find(&t, 2));
	struct token huge = {.run = 99, .of = TOKEN_OF_MAX, .rcpts = TOKEN_RCPTS_MAX};
	assert_null(tally_run(&t, &huge));
	tally_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tally_arrived__counts),
		cmocka_unit_test(tally_run__the_oldest_goes_when_there_are_too_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
