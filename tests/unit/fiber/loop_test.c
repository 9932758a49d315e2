/* The loop: timers, deferred calls, watches and their races, leaving. */
#include "harness.h"
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MSEC USEC_PER_MSEC

static void pair(int fds[static 2])
{
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

/* ---- timers ---- */

struct counted_timer {
	struct loop_timer timer;
	unsigned order;
};
static unsigned fired;

static void timer_count(struct loop_timer *t)
{
	assert_int_equal(t->heap_index, 0);
	CONTAINER_OF(t, struct counted_timer, timer)->order = ++fired;
}

static void timer_exit(struct loop_timer *t)
{
	(void)t;
	loop_exit();
}

static void loop_timer_set__fires_in_order_of_deadline(void **state)
{
	(void)state;
	enum { N = 500 };
	struct counted_timer *t = calloc(N, sizeof *t);
	assert_non_null(t);
	fired = 0;
	uint64_t base = loop_now_usec();
	for (unsigned i = 0; i < N; i++) {
		t[i].timer.fn = timer_count;
		/* 7 and 500 have no common factor: a permutation. Set twice: re-armed freely. */
		assert_int_equal(loop_timer_set(&t[i].timer, base + 90 * USEC_PER_SEC), 0);
		assert_int_equal(loop_timer_set(&t[i].timer, base + (i * 7 % N + 1) * 10), 0);
	}
	for (unsigned i = 0; i < N; i += 5) {
		loop_timer_cancel(&t[i].timer);
		loop_timer_cancel(&t[i].timer);
	}
	struct loop_timer end = {.fn = timer_exit};
	assert_int_equal(loop_timer_set(&end, base + 10 * MSEC), 0);
	assert_int_equal(loop_run(), 0);
	assert_int_equal(fired, N - N / 5);
	for (unsigned i = 0; i < N; i++) {
		if (i % 5 == 0)
			assert_int_equal(t[i].order, 0);
		for (unsigned k = 0; k < N; k++)
			if (t[i].order && t[k].order && i * 7 % N < k * 7 % N)
				assert_true(t[i].order < t[k].order);
	}
	free(t);
}

static void timer_rearm(struct loop_timer *t)
{
	if (++fired < 5)
		assert_int_equal(loop_timer_set(t, 0), 0);
	else
		loop_exit();
}

static void loop_timer_set__re_armed_in_the_past_inside_its_call(void **state)
{
	(void)state;
	fired = 0;
	struct loop_timer t = {.fn = timer_rearm};
	assert_int_equal(loop_timer_set(&t, 0), 0);
	assert_int_equal(loop_run(), 0);
	assert_int_equal(fired, 5);
}

/* ---- deferred calls and the hook ---- */

struct counted_defer {
	struct loop_defer defer;
	unsigned calls, again;
};
static unsigned hooks;

static void defer_count(struct loop_defer *d)
{
	struct counted_defer *c = CONTAINER_OF(d, struct counted_defer, defer);
	if (++c->calls < c->again)
		loop_defer(d);
	else
		loop_exit();
}

static void hook_count(void)
{
	hooks++;
}

static void loop_defer__twice_is_once_and_again_is_the_next_turn(void **state)
{
	(void)state;
	struct counted_defer a = {.defer.fn = defer_count, .again = 3};
	struct counted_defer b = {.defer.fn = defer_count, .again = 1};
	hooks = 0;
	loop_set_turn_hook(hook_count);
	loop_defer(&a.defer);
	loop_defer(&a.defer);
	loop_defer(&b.defer);
	loop_defer_cancel(&b.defer);
	loop_defer_cancel(&b.defer);
	assert_int_equal(loop_run(), 0);
	assert_int_equal(a.calls, 3);
	assert_int_equal(b.calls, 0);
	assert_int_equal(hooks, 3);
	loop_set_turn_hook(NULL);
}

/* ---- watches ---- */

struct waiter {
	struct watch watch;
	uint64_t wait_usec;
	int result;
	ssize_t n;
};

static void waiter_read(void *arg)
{
	struct waiter *w = arg;
	char octets[16];
	uint64_t deadline = loop_now_usec() + w->wait_usec;
	w->result = 0;
	while ((w->n = read(w->watch.fd, octets, sizeof octets)) < 0 && w->result == 0)
		w->result = fiber_wait_readable(&w->watch, deadline);
}

static void write_later(void *arg)
{
	assert_int_equal(fiber_sleep(MSEC), 0);
	assert_int_equal(write(*(int *)arg, "hello", 5), 5);
}

static void watch__edge_wakes_the_reader(void **state)
{
	(void)state;
	int fds[2];
	pair(fds);
	struct waiter w = {.wait_usec = USEC_PER_SEC};
	assert_int_equal(watch_init(&w.watch, fds[0], NULL), 0);
	spawn(waiter_read, &w);
	spawn(write_later, &fds[1]);
	run_to_end();
	assert_int_equal(w.n, 5);
	watch_done(&w.watch);
	watch_done(&w.watch);
	close(fds[0]);
	close(fds[1]);
}

static void watch__deadline_and_then_the_edge(void **state)
{
	(void)state;
	int fds[2];
	pair(fds);
	struct waiter w = {.wait_usec = 2 * MSEC};
	assert_int_equal(watch_init(&w.watch, fds[0], NULL), 0);
	spawn(waiter_read, &w);
	run_to_end();
	assert_int_equal(w.result, -ETIMEDOUT);
	assert_null(w.watch.reader);
	assert_int_equal(write(fds[1], "x", 1), 1);
	w.wait_usec = USEC_PER_SEC;
	spawn(waiter_read, &w);
	run_to_end();
	assert_int_equal(w.n, 1);
	watch_done(&w.watch);
	close(fds[0]);
	close(fds[1]);
}

static void close_later(void *arg)
{
	assert_int_equal(fiber_sleep(MSEC), 0);
	close(*(int *)arg);
}

static void watch__hang_up_wakes_the_reader(void **state)
{
	(void)state;
	int fds[2];
	pair(fds);
	struct waiter w = {.wait_usec = USEC_PER_SEC};
	assert_int_equal(watch_init(&w.watch, fds[0], NULL), 0);
	spawn(waiter_read, &w);
	spawn(close_later, &fds[1]);
	run_to_end();
	assert_int_equal(w.n, 0);
	watch_done(&w.watch);
	close(fds[0]);
}

static void waiter_once(void *arg)
{
	struct waiter *w = arg;
	w->result = fiber_wait_readable(&w->watch, USEC_INFINITY);
}

static void done_later(void *arg)
{
	assert_int_equal(fiber_sleep(MSEC), 0);
	watch_done(arg);
}

static void watch_done__wakes_its_waiter_with_canceled(void **state)
{
	(void)state;
	int fds[2];
	pair(fds);
	struct waiter w = {0};
	assert_int_equal(watch_init(&w.watch, fds[0], NULL), 0);
	spawn(waiter_once, &w);
	spawn(done_later, &w.watch);
	run_to_end();
	assert_int_equal(w.result, -ECANCELED);
	close(fds[0]);
	close(fds[1]);
}

static void watch_done__zeroed_is_nothing(void **state)
{
	(void)state;
	struct watch w = {0};
	watch_done(&w);
	assert_int_equal(watch_init(&w, -1, NULL), -EBADF);
	watch_done(&w);
}

/* Both ends are ready in the same batch; whichever comes first frees the other. */
static struct watch *both[2];
static unsigned readies;

static void free_the_other(struct watch *w, uint32_t events)
{
	if (!(events & EPOLLIN))
		return;
	readies++;
	size_t me = w == both[1], other = !me;
	if (both[other]) {
		watch_done(both[other]);
		free(TAKE(both[other]));
	}
	loop_exit();
}

static void watch_done__strikes_out_events_of_the_same_turn(void **state)
{
	(void)state;
	int fds[2];
	pair(fds);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(write(fds[i], "x", 1), 1);
		both[i] = calloc(1, sizeof *both[i]);
		assert_non_null(both[i]);
		assert_int_equal(watch_init(both[i], fds[i], free_the_other), 0);
	}
	readies = 0;
	assert_int_equal(loop_run(), 0);
	assert_int_equal(readies, 1);
	for (size_t i = 0; i < 2; i++) {
		if (both[i])
			watch_done(both[i]);
		free(both[i]);
		close(fds[i]);
	}
}

/* A fiber that has timed out but not run yet must not touch a watch that ends meanwhile. */
static void free_watch_now(struct loop_timer *t)
{
	(void)t;
	watch_done(both[0]);
	memset(both[0], 0x5a, sizeof *both[0]);
	free(TAKE(both[0]));
}

static struct loop_timer free_timer = {.fn = free_watch_now};

static void waits_on_both0(void *arg)
{
	assert_int_equal(loop_timer_set(&free_timer, loop_now_usec() + 3 * MSEC), 0);
	*(int *)arg = fiber_wait_readable(both[0], loop_now_usec() + 2 * MSEC);
}

static void blocks_the_thread(void *arg)
{
	(void)arg;
	usleep(10000);
}

static void watch_done__after_the_timeout_before_the_fiber_runs(void **state)
{
	(void)state;
	int fds[2], r = 0;
	pair(fds);
	both[0] = calloc(1, sizeof *both[0]);
	assert_non_null(both[0]);
	assert_int_equal(watch_init(both[0], fds[0], NULL), 0);
	spawn(waits_on_both0, &r);
	spawn(blocks_the_thread, NULL); /* so that both timers expire in one turn */
	run_to_end();
	assert_null(both[0]);
	assert_int_equal(r, -ETIMEDOUT);
	close(fds[0]);
	close(fds[1]);
}

static void yields_forever(void *arg)
{
	while (!*(bool *)arg)
		assert_int_equal(fiber_yield(), 0);
}

static void set_after_sleep(void *arg)
{
	assert_int_equal(fiber_sleep(2 * MSEC), 0);
	*(bool *)arg = true;
}

static void loop_run__a_yielding_fiber_starves_nobody(void **state)
{
	(void)state;
	bool done = false;
	spawn(yields_forever, &done);
	spawn(set_after_sleep, &done);
	run_to_end();
}

static void loop_run__stops_at_once_without_fibers(void **state)
{
	(void)state;
	run_to_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(loop_timer_set__fires_in_order_of_deadline),
		LOOP_TEST(loop_timer_set__re_armed_in_the_past_inside_its_call),
		LOOP_TEST(loop_defer__twice_is_once_and_again_is_the_next_turn),
		LOOP_TEST(watch__edge_wakes_the_reader),
		LOOP_TEST(watch__deadline_and_then_the_edge),
		LOOP_TEST(watch__hang_up_wakes_the_reader),
		LOOP_TEST(watch_done__wakes_its_waiter_with_canceled),
		LOOP_TEST(watch_done__zeroed_is_nothing),
		LOOP_TEST(watch_done__strikes_out_events_of_the_same_turn),
		LOOP_TEST(watch_done__after_the_timeout_before_the_fiber_runs),
		LOOP_TEST(loop_run__a_yielding_fiber_starves_nobody),
		LOOP_TEST(loop_run__stops_at_once_without_fibers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
