/* Timers: a binary heap of nodes that live in what they wake (a message, a site). O(log n) to set
 * and clear; a timer set later than all others, as a new message's expiry is, costs O(1). */
#pragma once
#include "base/base.h"

enum timer_kind { TIMER_MAIL, TIMER_SITE };
struct timer {
	uint64_t due;	/* monotonic; USEC_INFINITY: not set */
	uint32_t place; /* 0: not in the heap */
	enum timer_kind kind;
};
struct heap {
	struct timer **items; /* 1-based */
	uint32_t n, cap;
};
void heap_done(struct heap *h);
/* Room for n more timers, so that heap_set cannot fail. -ENOMEM. */
MUST_CHECK int heap_reserve(struct heap *h, uint32_t n);
void heap_set(struct heap *h, struct timer *t, uint64_t due); /* USEC_INFINITY clears */
/* The first timer, or NULL. */
struct timer *heap_first(const struct heap *h);
