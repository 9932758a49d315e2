/* libunbound wants what libevent promises: level-triggered readiness, persistent events, a timeout
 * beside an fd. The loop is edge-triggered and one watch an fd; so libunbound's fds gather in an
 * inner epoll, and each edge of that is answered by emptying it. A callback may free any event, its
 * own too: what is left of the batch is struck out, as the loop does with its watches. */
#include "resolver/events.h"
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unbound-event.h>
#include <unistd.h>

#define BATCH	     64
#define BATCHES_TURN 16 /* then others get their turn */

struct events {
	struct ub_event_base base; /* first: libunbound knows only this */
	struct watch watch;
	struct loop_defer more;
	int epoll;
	struct epoll_event batch[BATCH];
	int next, n;
};
struct event {
	struct ub_event ub; /* first */
	struct events *events;
	int fd;
	short bits;
	void (*fn)(int, short, void *);
	void *arg;
	struct loop_timer timer;
	uint64_t timeout_usec; /* of a persistent event: begins again with each activity; 0: none */
	bool watched;
};

static struct event *event_of(struct ub_event *ub)
{
	return (struct event *)(void *)ub;
}

static uint64_t usec_of(const struct timeval *tv)
{
	return (uint64_t)tv->tv_sec * USEC_PER_SEC + (uint64_t)tv->tv_usec;
}

static void unwatch(struct event *ev)
{
	struct events *e = ev->events;

	if (!ev->watched)
		return;
	ev->watched = false;
	/* The fd may be closed already; then it has left the epoll by itself. */
	(void)epoll_ctl(e->epoll, EPOLL_CTL_DEL, ev->fd, NULL);
	for (int i = e->next; i < e->n; i++)
		if (e->batch[i].data.ptr == ev)
			e->batch[i].data.ptr = NULL;
}

static int arm(struct event *ev, uint64_t usec)
{
	return loop_timer_set(&ev->timer, loop_now_usec() + usec) < 0 ? -1 : 0;
}

/* Both ways of an event's firing; the callback may free it. */
static void fire(struct event *ev, short what)
{
	if (!(ev->bits & UB_EV_PERSIST)) {
		unwatch(ev);
		loop_timer_cancel(&ev->timer);
	} else if (ev->timeout_usec > 0) {
		(void)arm(ev, ev->timeout_usec);
	}
	ev->fn(ev->fd, what, ev->arg);
}

static void on_timer(struct loop_timer *t)
{
	fire(CONTAINER_OF(t, struct event, timer), UB_EV_TIMEOUT);
}

/* ---- what libunbound calls on an event ---- */

static void event_add_bits(struct ub_event *ub, short bits)
{
	event_of(ub)->bits |= bits;
}

static void event_del_bits(struct ub_event *ub, short bits)
{
	event_of(ub)->bits = (short)(event_of(ub)->bits & ~bits);
}

static void event_set_fd(struct ub_event *ub, int fd)
{
	event_of(ub)->fd = fd;
}

static int event_del(struct ub_event *ub)
{
	struct event *ev = event_of(ub);

	unwatch(ev);
	loop_timer_cancel(&ev->timer);
	ev->timeout_usec = 0;
	return 0;
}

static void event_free(struct ub_event *ub)
{
	(void)event_del(ub);
	free(event_of(ub));
}

static int event_add(struct ub_event *ub, struct timeval *tv)
{
	struct event *ev = event_of(ub);
	struct epoll_event want = {.data.ptr = ev};

	if (ev->bits & UB_EV_READ)
		want.events |= EPOLLIN;
	if (ev->bits & UB_EV_WRITE)
		want.events |= EPOLLOUT;
	if (want.events && ev->fd >= 0) {
		int op = ev->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
		if (epoll_ctl(ev->events->epoll, op, ev->fd, &want) < 0)
			return -1;
		ev->watched = true;
	}
	ev->timeout_usec = 0;
	if (!tv || !(ev->bits & UB_EV_TIMEOUT))
		return 0;
	if (ev->fd >= 0)
		ev->timeout_usec = usec_of(tv);
	return arm(ev, usec_of(tv));
}

static int event_add_timer(struct ub_event *ub, struct ub_event_base *base,
	void (*fn)(int, short, void *), void *arg, struct timeval *tv)
{
	struct event *ev = event_of(ub);

	(void)base;
	ev->fn = fn;
	ev->arg = arg;
	return arm(ev, usec_of(tv));
}

static int event_del_timer(struct ub_event *ub)
{
	loop_timer_cancel(&event_of(ub)->timer);
	return 0;
}

/* Signals and Windows are not ours; libunbound does not call these. */
static int no_signal(struct ub_event *ub, struct timeval *tv)
{
	(void)ub;
	(void)tv;
	return -1;
}

static int no_signal_del(struct ub_event *ub)
{
	(void)ub;
	return -1;
}

static void no_wsaevent(struct ub_event *ub)
{
	(void)ub;
}

static void no_wouldblock(struct ub_event *ub, int bit)
{
	(void)ub;
	(void)bit;
}

static struct ub_event_vmt event_vmt = {
	.add_bits = event_add_bits,
	.del_bits = event_del_bits,
	.set_fd = event_set_fd,
	.free = event_free,
	.add = event_add,
	.del = event_del,
	.add_timer = event_add_timer,
	.del_timer = event_del_timer,
	.add_signal = no_signal,
	.del_signal = no_signal_del,
	.winsock_unregister_wsaevent = no_wsaevent,
	.winsock_tcp_wouldblock = no_wouldblock,
};

/* ---- and on the base ---- */

static struct ub_event *base_new_event(
	struct ub_event_base *base, int fd, short bits, void (*fn)(int, short, void *), void *arg)
{
	struct event *ev = calloc(1, sizeof(*ev));

	if (!ev)
		return NULL;
	*ev = (struct event){.ub = {UB_EVENT_MAGIC, &event_vmt},
		.events = (struct events *)(void *)base,
		.fd = fd,
		.bits = bits,
		.fn = fn,
		.arg = arg,
		.timer = {.fn = on_timer}};
	return &ev->ub;
}

static struct ub_event *base_no_signal(
	struct ub_event_base *base, int fd, void (*fn)(int, short, void *), void *arg)
{
	(void)base;
	(void)fd;
	(void)fn;
	(void)arg;
	return NULL;
}

static struct ub_event *base_no_wsaevent(
	struct ub_event_base *base, void *wsaevent, void (*fn)(int, short, void *), void *arg)
{
	(void)wsaevent;
	return base_no_signal(base, -1, fn, arg);
}

static void base_free(struct ub_event_base *base)
{
	(void)base;
}

static int base_no_dispatch(struct ub_event_base *base)
{
	(void)base;
	return -1;
}

static int base_loopexit(struct ub_event_base *base, struct timeval *tv)
{
	(void)base;
	(void)tv;
	return 0;
}

static struct ub_event_base_vmt base_vmt = {
	.free = base_free,
	.dispatch = base_no_dispatch,
	.loopexit = base_loopexit,
	.new_event = base_new_event,
	.new_signal = base_no_signal,
	.winsock_register_wsaevent = base_no_wsaevent,
};

/* ---- from the loop ---- */

static void dispatch_batch(struct events *e)
{
	while (e->next < e->n) {
		const struct epoll_event *ready = &e->batch[e->next++];
		struct event *ev = ready->data.ptr;
		short what = 0;
		if (!ev)
			continue;
		/* An error is for whoever reads or writes next to learn. */
		bool broken = ready->events & (EPOLLHUP | EPOLLERR);
		if ((ev->bits & UB_EV_READ) && (broken || (ready->events & EPOLLIN)))
			what |= UB_EV_READ;
		if ((ev->bits & UB_EV_WRITE) && (broken || (ready->events & EPOLLOUT)))
			what |= UB_EV_WRITE;
		if (what)
			fire(ev, what);
	}
}

static void run(struct events *e)
{
	for (unsigned i = 0; i < BATCHES_TURN; i++) {
		int n = epoll_wait(e->epoll, e->batch, BATCH, 0);
		if (n <= 0)
			return;
		e->next = 0;
		e->n = n;
		dispatch_batch(e);
		e->next = e->n = 0;
	}
	loop_defer(&e->more);
}

static void on_ready(struct watch *w, uint32_t events)
{
	(void)events;
	run(CONTAINER_OF(w, struct events, watch));
}

static void on_more(struct loop_defer *d)
{
	run(CONTAINER_OF(d, struct events, more));
}

int events_new(struct events **ret)
{
	struct events *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->base = (struct ub_event_base){UB_EVENT_MAGIC, &base_vmt};
	e->more.fn = on_more;
	e->epoll = epoll_create1(EPOLL_CLOEXEC);
	int r = e->epoll < 0 ? -errno : watch_init(&e->watch, e->epoll, on_ready);
	if (r < 0) {
		fd_close(e->epoll);
		free(e);
		return r;
	}
	*ret = e;
	return 0;
}

void events_free(struct events *e)
{
	if (!e)
		return;
	loop_defer_cancel(&e->more);
	watch_done(&e->watch);
	fd_close(e->epoll);
	free(e);
}

struct ub_event_base *events_base(struct events *e)
{
	return &e->base;
}
