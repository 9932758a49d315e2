/* The loop: one epoll, watched fds, deferred calls, and the order of a turn:
 *   expired timers, events, runnable fibers, deferred calls, turn hook, sleep.
 *
 * A watch is registered once, edge-triggered for both directions; what an edge said is latched in
 * watch.ready until a wait consumes it, so that no wake-up is lost between EAGAIN and the wait. A
 * hang-up or an error makes both directions ready: whoever reads or writes next learns it from the
 * system call.
 *
 * A watch may end while events for it are still in this turn's batch; watch_done strikes them out,
 * so that freed memory is never touched. */
#include "fiber/runtime.h"
#include "fiber/sanitizer.h"
#include "base/clock.h"
#include <string.h>
#include <unistd.h>

struct runtime runtime = {.epoll_fd = -1};

int loop_init(void)
{
	assert(!runtime.initialised);
	runtime = (struct runtime){.epoll_fd = -1};
	list_init(&runtime.runnable);
	list_init(&runtime.next);
	list_init(&runtime.deferred);
	list_init(&runtime.deferred_now);
	list_init(&runtime.fibers);
	runtime.turn = 1;
	runtime.coarse_wait = RUNNING_ON_VALGRIND; /* 3.19 does not know epoll_pwait2 */
	runtime.now_usec = clock_monotonic_usec();
	runtime.wall_usec = clock_wall_usec();
	int r = timer_reserve();
	if (r < 0)
		return r;
	runtime.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (runtime.epoll_fd < 0) {
		r = -errno;
		timer_done();
		return r;
	}
	runtime.initialised = true;
	return 0;
}

void loop_done(void)
{
	if (!runtime.initialised)
		return;
	assert(runtime.n_fibers == 0 && !runtime.current);
	timer_done();
	stack_cache_clear();
	runtime.epoll_fd = fd_close(runtime.epoll_fd);
	runtime.initialised = false;
}

void loop_exit(void)
{
	runtime.exiting = true;
}

void loop_stop(void)
{
	runtime.stopping = true;
}

uint64_t loop_now_usec(void)
{
	return runtime.now_usec;
}

uint64_t loop_wall_usec(void)
{
	return runtime.wall_usec;
}

void loop_defer(struct loop_defer *d)
{
	if (!list_linked(&d->node))
		list_push_back(&runtime.deferred, &d->node);
}

void loop_defer_cancel(struct loop_defer *d)
{
	list_remove(&d->node);
}

void loop_set_turn_hook(void (*fn)(void))
{
	runtime.turn_hook = fn;
}

/* ---- watches ---- */

#define WATCH_INPUT (EPOLLIN | EPOLLRDHUP | EPOLLET)

static int watch_control(struct watch *w, int operation, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	return epoll_ctl(runtime.epoll_fd, operation, w->fd, &ev) < 0 ? -errno : 0;
}

static int watch_add(
	struct watch *w, int fd, void (*on_ready)(struct watch *, uint32_t), uint32_t events)
{
	*w = (struct watch){.fd = fd, .on_ready = on_ready};
	int r = watch_control(w, EPOLL_CTL_ADD, events);
	w->registered = r >= 0;
	return r;
}

int watch_init(struct watch *w, int fd, void (*on_ready)(struct watch *, uint32_t))
{
	return watch_add(w, fd, on_ready, WATCH_INPUT | EPOLLOUT);
}

int watch_init_input(struct watch *w, int fd, void (*on_ready)(struct watch *, uint32_t))
{
	return watch_add(w, fd, on_ready, WATCH_INPUT);
}

int watch_init_shared(struct watch *w, int fd, void (*on_ready)(struct watch *, uint32_t))
{
	return watch_add(w, fd, on_ready, EPOLLIN | EPOLLET | EPOLLEXCLUSIVE);
}

int watch_want_output(struct watch *w, bool wanted)
{
	return watch_control(w, EPOLL_CTL_MOD, WATCH_INPUT | (wanted ? EPOLLOUT : 0));
}

static void watch_forget(struct watch *w)
{
	w->registered = false;
	for (int i = runtime.next_event; i < runtime.n_events; i++)
		if (runtime.events[i].data.ptr == w)
			runtime.events[i].data.ptr = NULL;
	if (w->reader)
		fiber_wake(w->reader, -ECANCELED);
	if (w->writer)
		fiber_wake(w->writer, -ECANCELED);
}

void watch_done(struct watch *w)
{
	if (!w->registered)
		return;
	/* Not left to close(): another process may hold the same open file. */
	epoll_ctl(runtime.epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	watch_forget(w);
}

void watch_done_and_close(struct watch *w)
{
	if (w->registered)
		watch_forget(w);
	w->fd = fd_close(w->fd);
}

static void watch_dispatch(struct watch *w, uint32_t events)
{
	if (events & (EPOLLHUP | EPOLLERR))
		events |= EPOLLIN | EPOLLOUT;
	if (events & EPOLLRDHUP)
		events |= EPOLLIN;
	w->ready |= events;
	if (w->reader && (w->ready & EPOLLIN)) {
		w->ready &= ~(uint32_t)EPOLLIN;
		fiber_wake(w->reader, 0);
	}
	if (w->writer && (w->ready & EPOLLOUT)) {
		w->ready &= ~(uint32_t)EPOLLOUT;
		fiber_wake(w->writer, 0);
	}
	if (w->on_ready)
		w->on_ready(w, events); /* may end and free the watch */
}

/* ---- a turn ---- */

static void list_take_all(struct list *from, struct list *to)
{
	for (struct list *n; (n = list_pop_front(from));)
		list_push_back(to, n);
}

static bool turn_has_work(void)
{
	return !list_empty(&runtime.runnable) || !list_empty(&runtime.next) ||
	       !list_empty(&runtime.deferred);
}

static int poll_events(void)
{
	uint64_t wait = USEC_INFINITY;
	if (turn_has_work()) {
		wait = 0;
	} else if (timer_first_deadline() != USEC_INFINITY) {
		uint64_t now = clock_monotonic_usec();
		uint64_t first = timer_first_deadline();
		wait = first > now ? first - now : 0;
	}
	if (wait > 0 && wait != USEC_INFINITY && !runtime.coarse_wait) {
		struct timespec ts = {
			.tv_sec = (time_t)(wait / USEC_PER_SEC),
			.tv_nsec = (long)(wait % USEC_PER_SEC * 1000),
		};
		int n = epoll_pwait2(runtime.epoll_fd, runtime.events, LOOP_EVENTS_MAX, &ts, NULL);
		if (n >= 0 || (errno != ENOSYS && errno != EPERM))
			return n < 0 ? -errno : n;
		runtime.coarse_wait = true; /* kernels before 5.11, a filter */
	}
	int msec = -1;
	if (wait != USEC_INFINITY)
		msec = (int)MIN((wait + USEC_PER_MSEC - 1) / USEC_PER_MSEC, UINT64_C(60000));
	int n = epoll_wait(runtime.epoll_fd, runtime.events, LOOP_EVENTS_MAX, msec);
	return n < 0 ? -errno : n;
}

static void run_deferred(void)
{
	list_take_all(&runtime.deferred, &runtime.deferred_now);
	for (struct list *n; (n = list_pop_front(&runtime.deferred_now));) {
		struct loop_defer *d = CONTAINER_OF(n, struct loop_defer, node);
		d->fn(d);
	}
}

static int loop_turn(void)
{
	int n = poll_events();
	if (n < 0 && n != -EINTR)
		return n;
	runtime.turn++;
	runtime.now_usec = clock_monotonic_usec();
	runtime.wall_usec = clock_wall_usec();
	list_take_all(&runtime.next, &runtime.runnable);
	runtime.n_events = n < 0 ? 0 : n;
	runtime.next_event = 0;

	timer_run_expired();
	while (runtime.next_event < runtime.n_events) {
		struct epoll_event *ev = &runtime.events[runtime.next_event++];
		if (ev->data.ptr)
			watch_dispatch(ev->data.ptr, ev->events);
	}
	for (struct list *node; (node = list_pop_front(&runtime.runnable));)
		fiber_run(CONTAINER_OF(node, struct fiber, run_node));
	run_deferred();
	if (runtime.turn_hook)
		runtime.turn_hook();
	return 0;
}

int loop_run(void)
{
	assert(runtime.initialised && !runtime.current);
	int r = 0;
	while (r >= 0 && !runtime.exiting && !(runtime.stopping && runtime.n_fibers == 0))
		r = loop_turn();
	runtime.exiting = false;
	return r < 0 ? r : 0;
}
