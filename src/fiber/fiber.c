/* Fibers: spawn, switch, wait, wake, cancel, conditions.
 *
 * A fiber runs until it waits; then the loop goes on. There is one switch function for each
 * direction (fiber_run, switch_to_loop); all that the sanitizers must know stands there.
 *
 * Invariant: a suspended fiber is registered in at most one place (a watch's slot or a cond's
 * list), and fiber_wake, the only way to make it runnable, takes it off that place at once. So a
 * fiber that is runnable but has not run yet is not touched through a watch or a cond whose memory
 * may be gone by then, and a signal never goes to a waiter that has already timed out.
 *
 * Each fiber runs at most once a turn (ran_turn): two fibers that wake each other, or one that
 * yields in a loop, cannot keep the loop from its events. */
#include "fiber/runtime.h"
#include "fiber/sanitizer.h"
#include <stdlib.h>

static fcontext_t loop_context; /* where the loop stands while a fiber runs */

#if FIBER_ASAN
static const void *loop_stack_bottom;
static size_t loop_stack_size;
#endif
#if FIBER_TSAN
static void *loop_tsan;
#endif

/* ---- switching ---- */

static void switch_to_loop(void)
{
#if FIBER_ASAN
	struct fiber *f = runtime.current;
	__sanitizer_start_switch_fiber(
		f->finished ? NULL : &f->sanitizer, loop_stack_bottom, loop_stack_size);
#endif
#if FIBER_TSAN
	__tsan_switch_to_fiber(loop_tsan, 0);
#endif
	struct transfer t = jump_fcontext(loop_context, NULL);
	loop_context = t.fctx;
#if FIBER_ASAN
	__sanitizer_finish_switch_fiber(f->sanitizer, &loop_stack_bottom, &loop_stack_size);
#endif
}

static void fiber_entry(struct transfer t)
{
	struct fiber *f = t.data;
	loop_context = t.fctx;
#if FIBER_ASAN
	__sanitizer_finish_switch_fiber(NULL, &loop_stack_bottom, &loop_stack_size);
#endif
	f->fn(f->arg);
	f->finished = true;
	switch_to_loop();
	abort(); /* an ended fiber is never resumed */
}

static void fiber_end(struct fiber *f)
{
#if FIBER_TSAN
	__tsan_destroy_fiber(f->sanitizer);
#endif
	assert(!f->slot && !list_linked(&f->wait_node));
	loop_timer_cancel(&f->timer);
	list_remove(&f->all_node);
	runtime.n_fibers--;
	stack_put(&f->stack);
	free(f);
}

void fiber_run(struct fiber *f)
{
	assert(!runtime.current);
	f->ran_turn = runtime.turn;
	runtime.current = f;
#if FIBER_ASAN
	void *loop_fake = NULL;
	__sanitizer_start_switch_fiber(&loop_fake, f->stack.base, f->stack.size);
#endif
#if FIBER_TSAN
	loop_tsan = __tsan_get_current_fiber();
	__tsan_switch_to_fiber(f->sanitizer, 0);
#endif
	struct transfer t = jump_fcontext(f->context, f);
	f->context = t.fctx;
#if FIBER_ASAN
	__sanitizer_finish_switch_fiber(loop_fake, NULL, NULL);
#endif
	runtime.current = NULL;
	if (f->finished)
		fiber_end(f);
}

/* ---- waiting and waking ---- */

static void fiber_on_deadline(struct loop_timer *t)
{
	struct fiber *f = CONTAINER_OF(t, struct fiber, timer);
	if (!f->waiting || f->deadline_usec == USEC_INFINITY)
		return;
	if (f->deadline_usec > runtime.now_usec)
		timer_arm(&f->timer, f->deadline_usec);
	else
		fiber_wake(f, -ETIMEDOUT);
}

/* Suspends until fiber_wake. The timer of an earlier wait is left armed and looked at when it
 * fires: a session that waits a thousand times with a timeout of minutes touches the heap about
 * once a timeout, not twice a wait. */
static int park(struct fiber *f, uint64_t deadline_usec)
{
	f->waiting = true;
	f->deadline_usec = deadline_usec;
	if (deadline_usec != USEC_INFINITY &&
		(!f->timer.heap_index || f->timer.deadline_usec > deadline_usec))
		timer_arm(&f->timer, deadline_usec);
	switch_to_loop();
	return f->wake_result;
}

int fiber_park_uncancellable(void)
{
	struct fiber *f = runtime.current;
	assert(f);
	f->uncancellable = true;
	int r = park(f, USEC_INFINITY);
	f->uncancellable = false;
	return r;
}

void fiber_wake(struct fiber *f, int result)
{
	assert(f->waiting);
	f->waiting = false;
	f->wake_result = result;
	if (f->slot) {
		*f->slot = NULL;
		f->slot = NULL;
	}
	list_remove(&f->wait_node);
	struct list *queue = f->ran_turn == runtime.turn ? &runtime.next : &runtime.runnable;
	list_push_back(queue, &f->run_node);
}

/* ---- the interface ---- */

int fiber_spawn(fiber_fn fn, void *arg, struct fiber **ret_fiber)
{
	assert(runtime.initialised);
	int r = timer_reserve();
	if (r < 0)
		return r;
	struct fiber *f = calloc(1, sizeof *f);
	if (!f)
		return -ENOMEM;
	r = stack_get(&f->stack);
	if (r < 0) {
		free(f);
		return r;
	}
	f->fn = fn;
	f->arg = arg;
	f->timer.fn = fiber_on_deadline;
	f->context = make_fcontext(f->stack.base + f->stack.size, f->stack.size, fiber_entry);
#if FIBER_TSAN
	f->sanitizer = __tsan_create_fiber(0);
#endif
	list_push_back(&runtime.fibers, &f->all_node);
	/* Whoever spawns from an event has its fiber run in the same turn, without a further look
	 * at events between. */
	list_push_back(runtime.current ? &runtime.next : &runtime.runnable, &f->run_node);
	runtime.n_fibers++;
	if (ret_fiber)
		*ret_fiber = f;
	return 0;
}

struct fiber *fiber_self(void)
{
	return runtime.current;
}

void fiber_cancel(struct fiber *f)
{
	f->cancelled = true;
	if (f->waiting && !f->uncancellable)
		fiber_wake(f, -ECANCELED);
}

bool fiber_cancelled(void)
{
	return runtime.current && runtime.current->cancelled;
}

size_t fiber_count(void)
{
	return runtime.n_fibers;
}

int fiber_sleep_until(uint64_t deadline_usec)
{
	struct fiber *f = runtime.current;
	assert(f);
	if (f->cancelled)
		return -ECANCELED;
	if (deadline_usec <= runtime.now_usec)
		return fiber_yield();
	int r = park(f, deadline_usec);
	return r == -ETIMEDOUT ? 0 : r;
}

int fiber_sleep(uint64_t usec)
{
	uint64_t now = runtime.now_usec;
	return fiber_sleep_until(usec < USEC_INFINITY - now ? now + usec : USEC_INFINITY);
}

int fiber_yield(void)
{
	struct fiber *f = runtime.current;
	assert(f);
	if (f->cancelled)
		return -ECANCELED;
	list_push_back(&runtime.next, &f->run_node);
	switch_to_loop();
	return f->cancelled ? -ECANCELED : 0;
}

static int wait_slot(struct watch *w, struct fiber **slot, uint32_t bit, uint64_t deadline_usec)
{
	struct fiber *f = runtime.current;
	assert(f);
	if (f->cancelled)
		return -ECANCELED;
	if (w->ready & bit) {
		w->ready &= ~bit;
		return 0;
	}
	if (deadline_usec <= runtime.now_usec)
		return -ETIMEDOUT;
	assert(w->registered && !*slot);
	*slot = f;
	f->slot = slot;
	return park(f, deadline_usec);
}

int fiber_wait_readable(struct watch *w, uint64_t deadline_usec)
{
	return wait_slot(w, &w->reader, EPOLLIN, deadline_usec);
}

int fiber_wait_writable(struct watch *w, uint64_t deadline_usec)
{
	return wait_slot(w, &w->writer, EPOLLOUT, deadline_usec);
}

/* ---- conditions ---- */

void cond_init(struct cond *c)
{
	list_init(&c->waiters);
}

int cond_wait(struct cond *c, uint64_t deadline_usec)
{
	struct fiber *f = runtime.current;
	assert(f);
	if (f->cancelled)
		return -ECANCELED;
	if (deadline_usec <= runtime.now_usec)
		return -ETIMEDOUT;
	if (!c->waiters.next)
		cond_init(c);
	list_push_back(&c->waiters, &f->wait_node);
	return park(f, deadline_usec);
}

void cond_signal(struct cond *c)
{
	if (c->waiters.next && !list_empty(&c->waiters))
		fiber_wake(CONTAINER_OF(c->waiters.next, struct fiber, wait_node), 0);
}

void cond_broadcast(struct cond *c)
{
	/* A woken fiber does not run before we return, so that the list only shrinks here. */
	while (c->waiters.next && !list_empty(&c->waiters))
		cond_signal(c);
}
