/* Fibers: order, sleeping, cancelling, conditions, deadlines, many at once. */
#include "harness.h"
#include <string.h>

#define MSEC USEC_PER_MSEC

static char trace[256];

static void mark(char c)
{
	size_t n = strlen(trace);
	assert_true(n + 1 < sizeof trace);
	trace[n] = c;
	trace[n + 1] = 0;
}

static int trace_setup(void **state)
{
	trace[0] = 0;
	return loop_setup(state);
}

static void letters(void *arg)
{
	const char *c = arg;
	for (unsigned i = 0; i < 3; i++) {
		mark(*c);
		assert_int_equal(fiber_yield(), 0);
	}
}

static void fiber_yield__alternates_in_order(void **state)
{
	(void)state;
	spawn(letters, (char[]){"a"});
	spawn(letters, (char[]){"b"});
	run_to_end();
	assert_string_equal(trace, "ababab");
}

struct sleeper {
	uint64_t usec;
	char c;
};

static void sleeper_run(void *arg)
{
	struct sleeper *s = arg;
	uint64_t before = clock_monotonic_usec();
	assert_int_equal(fiber_sleep(s->usec), 0);
	/* loop_now is read once a turn: a sleep may be short by what the turn took before. */
	assert_true(clock_monotonic_usec() - before + MSEC >= s->usec);
	mark(s->c);
}

static void fiber_sleep__wakes_by_deadline_not_by_order(void **state)
{
	(void)state;
	struct sleeper s[] = {{30 * MSEC, 'c'}, {1 * MSEC, 'a'}, {15 * MSEC, 'b'}, {0, '0'}};
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		spawn(sleeper_run, &s[i]);
	run_to_end();
	assert_string_equal(trace, "0abc");
}

static int got[8];

static void sleeps_forever(void *arg)
{
	(void)arg;
	got[0] = fiber_sleep(USEC_INFINITY);
	assert_true(fiber_cancelled());
	got[1] = fiber_sleep(1);
	got[2] = fiber_yield();
	struct cond c = {0};
	got[3] = cond_wait(&c, USEC_INFINITY);
}

static void canceller(void *arg)
{
	assert_int_equal(fiber_sleep(2 * MSEC), 0);
	fiber_cancel(arg);
	fiber_cancel(arg); /* twice is once */
}

static void fiber_cancel__wakes_and_every_later_wait_says_so(void **state)
{
	(void)state;
	memset(got, 0, sizeof got);
	struct fiber *f = spawn(sleeps_forever, NULL);
	spawn(canceller, f);
	run_to_end();
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(got[i], -ECANCELED);
}

static void fiber_cancel__before_the_first_run(void **state)
{
	(void)state;
	memset(got, 0, sizeof got);
	fiber_cancel(spawn(sleeps_forever, NULL));
	run_to_end();
	assert_int_equal(got[0], -ECANCELED);
}

static struct cond cond;
static unsigned woken, available;

static void cond_waiter(void *arg)
{
	int *ret = arg;
	*ret = cond_wait(&cond, loop_now_usec() + 300 * MSEC);
	woken++;
}

static void cond_caller(void *arg)
{
	bool all = arg != NULL;
	assert_int_equal(fiber_sleep(MSEC), 0);
	if (all)
		cond_broadcast(&cond);
	else
		cond_signal(&cond);
}

static void cond_signal__wakes_the_first_the_rest_time_out(void **state)
{
	(void)state;
	cond = (struct cond){0};
	cond_signal(&cond); /* nobody waits: nothing happens, nothing is kept */
	int r[3] = {1, 1, 1};
	for (size_t i = 0; i < ARRAY_LEN(r); i++)
		spawn(cond_waiter, &r[i]);
	spawn(cond_caller, NULL);
	run_to_end();
	assert_int_equal(r[0], 0);
	assert_int_equal(r[1], -ETIMEDOUT);
	assert_int_equal(r[2], -ETIMEDOUT);
}

static void cond_broadcast__wakes_all(void **state)
{
	(void)state;
	cond_init(&cond);
	int r[50];
	woken = 0;
	for (size_t i = 0; i < ARRAY_LEN(r); i++)
		spawn(cond_waiter, &r[i]);
	spawn(cond_caller, (char[]){"all"});
	run_to_end();
	assert_int_equal(woken, ARRAY_LEN(r));
	for (size_t i = 0; i < ARRAY_LEN(r); i++)
		assert_int_equal(r[i], 0);
}

static void deadline_passed(void *arg)
{
	(void)arg;
	struct cond c = {0};
	got[0] = cond_wait(&c, loop_now_usec());
	got[1] = cond_wait(&c, 0);
}

static void cond_wait__deadline_in_the_past_times_out_at_once(void **state)
{
	(void)state;
	spawn(deadline_passed, NULL);
	run_to_end();
	assert_int_equal(got[0], -ETIMEDOUT);
	assert_int_equal(got[1], -ETIMEDOUT);
}

/* The timer of an earlier, shorter wait must not cut a later, longer one, nor the reverse. */
static void waits_of_many_lengths(void *arg)
{
	(void)arg;
	static const uint64_t lengths[] = {1, 9, 3, 20, 1, 6, 2};
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct cond c = {0};
		uint64_t begin = clock_monotonic_usec();
		got[0] = cond_wait(&c, begin + lengths[i] * MSEC);
		assert_int_equal(got[0], -ETIMEDOUT);
		uint64_t took = clock_monotonic_usec() - begin;
		assert_in_range(took, lengths[i] * MSEC, lengths[i] * MSEC + 500 * MSEC);
	}
}

static void cond_wait__deadlines_follow_one_another(void **state)
{
	(void)state;
	spawn(waits_of_many_lengths, NULL);
	run_to_end();
}

static void consumer(void *arg)
{
	(void)arg;
	while (available == 0)
		assert_int_equal(cond_wait(&cond, USEC_INFINITY), 0);
	available--;
	woken++;
}

static void producer(void *arg)
{
	size_t n = *(size_t *)arg;
	for (size_t i = 0; i < n; i++) {
		available++;
		cond_signal(&cond);
		if (i % 100 == 0)
			assert_int_equal(fiber_yield(), 0);
	}
}

static void fiber_spawn__thousands(void **state)
{
	(void)state;
	size_t n = 3000;
	cond_init(&cond);
	woken = available = 0;
	for (size_t i = 0; i < n; i++)
		spawn(consumer, NULL);
	spawn(producer, &n);
	assert_int_equal(fiber_count(), n + 1);
	run_to_end();
	assert_int_equal(woken, n);
	assert_int_equal(available, 0);
}

static void spawns_again(void *arg)
{
	size_t *left = arg;
	if (--*left > 0)
		spawn(spawns_again, left);
}

static void fiber_spawn__stacks_are_used_again(void **state)
{
	(void)state;
	size_t left = 2000;
	spawn(spawns_again, &left);
	run_to_end();
	assert_int_equal(left, 0);
}

static __attribute__((noinline)) unsigned dig(unsigned left)
{
	volatile char room[3000];
	room[0] = 1;
	return left == 0 ? 0 : dig(left - 1) + (unsigned)room[0];
}

static void deep(void *arg)
{
	*(unsigned *)arg = dig(30); /* three quarters of a stack */
}

static void fiber_run__deep_calls_fit(void **state)
{
	(void)state;
	unsigned r = 0;
	spawn(deep, &r);
	run_to_end();
	assert_int_equal(r, 30);
}

static void self_check(void *arg)
{
	assert_ptr_equal(fiber_self(), *(struct fiber **)arg);
	assert_false(fiber_cancelled());
}

static void fiber_self__is_null_on_the_loop(void **state)
{
	(void)state;
	struct fiber *f = spawn(self_check, &f);
	assert_null(fiber_self());
	assert_false(fiber_cancelled());
	run_to_end();
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, trace_setup, loop_teardown)
	const struct CMUnitTest tests[] = {
		T(fiber_yield__alternates_in_order),
		T(fiber_sleep__wakes_by_deadline_not_by_order),
		T(fiber_cancel__wakes_and_every_later_wait_says_so),
		T(fiber_cancel__before_the_first_run),
		T(cond_signal__wakes_the_first_the_rest_time_out),
		T(cond_broadcast__wakes_all),
		T(cond_wait__deadline_in_the_past_times_out_at_once),
		T(cond_wait__deadlines_follow_one_another),
		T(fiber_spawn__thousands),
		T(fiber_spawn__stacks_are_used_again),
		T(fiber_run__deep_calls_fit),
		T(fiber_self__is_null_on_the_loop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
