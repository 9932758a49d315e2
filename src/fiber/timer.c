/* The timers of the loop: a binary heap of borrowed pointers, each timer knowing its index, so that
 * re-arming and cancelling cost O(log n) and no search.
 *
 * A fiber's wait must not fail for want of memory. So room is reserved when a fiber is spawned and
 * when a plain timer is set: capacity is always at least the armed timers plus one for every
 * fiber, and timer_arm itself never allocates. */
#include "fiber/runtime.h"
#include <stdlib.h>

#define HEAP_CAP_MIN 64

static void heap_place(size_t i, struct loop_timer *t)
{
	runtime.heap[i] = t;
	t->heap_index = i;
}

static void heap_up(size_t i, struct loop_timer *t)
{
	for (; i > 1 && runtime.heap[i / 2]->deadline_usec > t->deadline_usec; i /= 2)
		heap_place(i, runtime.heap[i / 2]);
	heap_place(i, t);
}

static void heap_down(size_t i, struct loop_timer *t)
{
	for (size_t child; (child = 2 * i) <= runtime.heap_len; i = child) {
		if (child < runtime.heap_len &&
			runtime.heap[child + 1]->deadline_usec < runtime.heap[child]->deadline_usec)
			child++;
		if (runtime.heap[child]->deadline_usec >= t->deadline_usec)
			break;
		heap_place(i, runtime.heap[child]);
	}
	heap_place(i, t);
}

static void heap_settle(size_t i, struct loop_timer *t)
{
	if (i > 1 && runtime.heap[i / 2]->deadline_usec > t->deadline_usec)
		heap_up(i, t);
	else
		heap_down(i, t);
}

int timer_reserve(void)
{
	size_t want = runtime.heap_len + runtime.n_fibers + 2;
	if (want <= runtime.heap_cap)
		return 0;
	size_t cap = MAX(runtime.heap_cap * 2, (size_t)HEAP_CAP_MIN);
	while (cap < want)
		cap *= 2;
	/* Index 0 is not used. */
	struct loop_timer **heap = reallocarray(runtime.heap, cap + 1, sizeof *heap);
	if (!heap)
		return -ENOMEM;
	runtime.heap = heap;
	runtime.heap_cap = cap;
	return 0;
}

void timer_arm(struct loop_timer *t, uint64_t deadline_usec)
{
	t->deadline_usec = deadline_usec;
	if (t->heap_index) {
		heap_settle(t->heap_index, t);
		return;
	}
	assert(runtime.heap_len < runtime.heap_cap);
	heap_up(++runtime.heap_len, t);
}

int loop_timer_set(struct loop_timer *t, uint64_t deadline_usec)
{
	if (!t->heap_index) {
		int r = timer_reserve();
		if (r < 0)
			return r;
	}
	timer_arm(t, deadline_usec);
	return 0;
}

void loop_timer_cancel(struct loop_timer *t)
{
	size_t i = t->heap_index;
	if (!i)
		return;
	struct loop_timer *last = runtime.heap[runtime.heap_len--];
	t->heap_index = 0;
	if (last != t)
		heap_settle(i, last);
}

void timer_run_expired(void)
{
	/* Bounded by what was armed at the start, so that a timer that re-arms itself in the past
	 * cannot hold the loop. */
	for (size_t n = runtime.heap_len; n > 0 && runtime.heap_len > 0; n--) {
		struct loop_timer *t = runtime.heap[1];
		if (t->deadline_usec > runtime.now_usec)
			return;
		loop_timer_cancel(t);
		t->fn(t);
	}
}

uint64_t timer_first_deadline(void)
{
	return runtime.heap_len ? runtime.heap[1]->deadline_usec : USEC_INFINITY;
}

void timer_done(void)
{
	for (size_t i = 1; i <= runtime.heap_len; i++)
		runtime.heap[i]->heap_index = 0;
	free(runtime.heap);
	runtime.heap = NULL;
	runtime.heap_len = runtime.heap_cap = 0;
}
