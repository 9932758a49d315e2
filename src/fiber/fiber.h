/* One thread, one epoll loop, one stackful fiber per session or delivery. The runtime of a process
 * is a singleton (loop_init). Context switch by Boost.Context's C ABI; stacks of 128 KiB with a
 * guard page, cached and trimmed. Annotated for ASan and valgrind.
 *
 * Every wait has a deadline in monotonic microseconds (USEC_INFINITY allowed) and returns
 * 0, -ETIMEDOUT, or -ECANCELED. Cancel sets a flag and wakes; every later wait of a cancelled
 * fiber returns -ECANCELED at once, so the stack unwinds normally. A suspended stack is never
 * destroyed. Between suspensions code is atomic. */
#pragma once
#include "base/base.h"
#include "base/list.h"

/* ---- the loop ---- */
MUST_CHECK int loop_init(void);
void loop_done(void); /* asserts that no fiber is left */
/* Runs until loop_stop and all fibers have ended, or loop_exit. Returns 0 or a negative errno. */
MUST_CHECK int loop_run(void);
void loop_stop(void);	       /* leave loop_run when no fiber is left (at once when none is) */
void loop_exit(void);	       /* leave loop_run at the end of this turn, whatever is left */
uint64_t loop_now_usec(void);  /* monotonic, read once a turn */
uint64_t loop_wall_usec(void); /* wall, read once a turn */

/* Called once at the end of the turn in which it was armed (or of the next, when armed by another
 * deferred call); arming twice is once. For flushing what gathered in a turn. */
struct loop_defer {
	struct list node;
	void (*fn)(struct loop_defer *d);
};
void loop_defer(struct loop_defer *d);
void loop_defer_cancel(struct loop_defer *d); /* before its memory goes; safe when not armed */
/* Called at the end of every turn, before sleeping (log_flush). */
void loop_set_turn_hook(void (*fn)(void));

/* One-shot timer without a fiber; re-arm freely, cancel freely. fn runs on the loop's stack and
 * must not suspend. Zero-initialise. */
struct loop_timer {
	uint64_t deadline_usec;
	size_t heap_index; /* 0: not armed */
	void (*fn)(struct loop_timer *t);
};
MUST_CHECK int loop_timer_set(struct loop_timer *t, uint64_t deadline_usec); /* -ENOMEM */
void loop_timer_cancel(struct loop_timer *t);

/* A watched fd: registered once, edge-triggered, both directions. The fd stays the owner's and is
 * closed after watch_done. on_ready (optional, must not suspend) is called with the EPOLL* bits
 * of a new edge. Fibers wait by fiber_wait_readable/writable. */
struct watch {
	int fd;
	bool registered;
	uint32_t ready; /* EPOLLIN/EPOLLOUT/... seen and not yet consumed */
	struct fiber *reader, *writer;
	void (*on_ready)(struct watch *w, uint32_t events);
};
MUST_CHECK int watch_init(struct watch *w, int fd, void (*on_ready)(struct watch *, uint32_t));
/* The same for input only: a unix socket or an eventfd makes a writable edge whenever its peer
 * reads, which is a wake-up for nothing unless somebody waits for room. */
MUST_CHECK int watch_init_input(
	struct watch *w, int fd, void (*on_ready)(struct watch *, uint32_t));
/* For a listening socket that several processes watch: a connection wakes one of them, the first
 * that is asleep. */
MUST_CHECK int watch_init_shared(
	struct watch *w, int fd, void (*on_ready)(struct watch *, uint32_t));
/* Changes whether writable edges come; an fd that is writable by now gives one at once. */
MUST_CHECK int watch_want_output(struct watch *w, bool wanted);
void watch_done(
	struct watch *w); /* wakes waiters with -ECANCELED; safe when never initialised (zeroed) */
/* The same, and closes w->fd (w->fd is -1 then); for an fd that no other process has. */
void watch_done_and_close(struct watch *w);

/* ---- fibers ---- */
typedef void (*fiber_fn)(void *arg);
/* Runs fn(arg) later: in this turn still if an event or a timer spawns it, in the next if a fiber
 * does. ret may be NULL. -ENOMEM. The handle is valid until fn returns. */
MUST_CHECK int fiber_spawn(fiber_fn fn, void *arg, struct fiber **ret_fiber);
struct fiber *fiber_self(void); /* NULL on the loop's own stack */
void fiber_cancel(struct fiber *f);
bool fiber_cancelled(void);
size_t fiber_count(void);

SUSPENDS int fiber_sleep(uint64_t usec);
SUSPENDS int fiber_sleep_until(uint64_t deadline_usec);
SUSPENDS int fiber_yield(void); /* behind all that can run now, after a look at events */

/* The caller must have seen EAGAIN since the last wait (edge-triggered). */
SUSPENDS MUST_CHECK int fiber_wait_readable(struct watch *w, uint64_t deadline_usec);
SUSPENDS MUST_CHECK int fiber_wait_writable(struct watch *w, uint64_t deadline_usec);

/* A condition: waiters re-check their predicate after every wake-up. Zero-initialise or cond_init;
 * no waiter may be left when its memory goes. */
struct cond {
	struct list waiters;
};
void cond_init(struct cond *c);
void cond_signal(struct cond *c);    /* wakes the first waiter */
void cond_broadcast(struct cond *c); /* wakes all */
SUSPENDS MUST_CHECK int cond_wait(struct cond *c, uint64_t deadline_usec);
