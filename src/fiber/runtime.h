/* Inside of the runtime: shared by loop.c, timer.c, stack.c, fiber.c and offload.c only. */
#pragma once
#include "fiber/fiber.h"
#include <sys/epoll.h>

/* Boost.Context's C ABI (libboost_context). */
typedef void *fcontext_t;
struct transfer {
	fcontext_t fctx;
	void *data;
};
extern struct transfer jump_fcontext(fcontext_t const to, void *vp);
extern fcontext_t make_fcontext(void *sp, size_t size, void (*fn)(struct transfer));

struct stack {
	char *base; /* lowest usable octet; a guard page lies below */
	size_t size;
	unsigned valgrind_id;
};
MUST_CHECK int stack_get(struct stack *ret_stack); /* -ENOMEM */
void stack_put(struct stack *s);
void stack_cache_clear(void);

struct fiber {
	struct list all_node;  /* runtime.fibers */
	struct list run_node;  /* runtime.runnable or runtime.next */
	struct list wait_node; /* a cond's waiters */
	struct fiber **slot;   /* a watch's reader or writer while it waits there */
	fcontext_t context;    /* where it stands; stale while it runs */
	struct stack stack;
	struct loop_timer timer; /* armed no later than deadline_usec, often earlier: see park */
	uint64_t deadline_usec;
	uint64_t ran_turn;
	int wake_result;
	bool waiting, uncancellable, cancelled, finished;
	fiber_fn fn;
	void *arg;
	void *sanitizer; /* ASan: its fake stack while it is off the CPU; TSan: its handle */
};

#define LOOP_EVENTS_MAX 256

struct runtime {
	int epoll_fd;
	bool initialised, stopping, exiting, coarse_wait;
	uint64_t turn;
	uint64_t now_usec, wall_usec;
	struct list runnable; /* fibers of this turn */
	struct list next;     /* fibers of the next turn */
	struct list deferred, deferred_now;
	struct list fibers;
	size_t n_fibers;
	struct fiber *current;
	void (*turn_hook)(void);
	struct loop_timer **heap; /* 1-based binary heap by deadline */
	size_t heap_len, heap_cap;
	int n_events, next_event; /* what is left of this turn's events */
	struct epoll_event events[LOOP_EVENTS_MAX];
};
extern struct runtime runtime;

/* timer.c */
MUST_CHECK int timer_reserve(void); /* room for every fiber's deadline and one more timer */
void timer_arm(struct loop_timer *t, uint64_t deadline_usec); /* room was reserved */
void timer_run_expired(void);
uint64_t timer_first_deadline(void);
void timer_done(void);

/* fiber.c */
void fiber_run(struct fiber *f);	      /* from the loop, until it suspends or ends */
void fiber_wake(struct fiber *f, int result); /* it waits; takes it off whatever it waits on */
int fiber_park_uncancellable(void);	      /* until fiber_wake */
