/* The heap of timers. Invariant: items[i]->place == i and no parent is due after its children. Room
 * is reserved when the owner of a timer is made, so that setting one never fails. */
#include "queue/heap.h"

#include <stdlib.h>

void heap_done(struct heap *h)
{
	free(h->items);
	*h = (struct heap){0};
}

int heap_reserve(struct heap *h, uint32_t n)
{
	if (h->cap > n)
		return 0;
	uint32_t cap = h->cap ? h->cap : 64;
	while (cap <= n)
		cap *= 2;
	struct timer **more = realloc(h->items, cap * sizeof(struct timer *));
	if (!more)
		return -ENOMEM;
	h->items = more;
	h->cap = cap;
	return 0;
}

static void place(struct heap *h, uint32_t i, struct timer *t)
{
	h->items[i] = t;
	t->place = i;
}

static void sift_up(struct heap *h, uint32_t i, struct timer *t)
{
	for (; i > 1 && h->items[i / 2]->due > t->due; i /= 2)
		place(h, i, h->items[i / 2]);
	place(h, i, t);
}

static void sift_down(struct heap *h, uint32_t i, struct timer *t)
{
	for (uint32_t child; (child = i * 2) <= h->n; i = child) {
		if (child < h->n && h->items[child + 1]->due < h->items[child]->due)
			child++;
		if (h->items[child]->due >= t->due)
			break;
		place(h, i, h->items[child]);
	}
	place(h, i, t);
}

static void heap_remove(struct heap *h, struct timer *t)
{
	uint32_t i = t->place;
	struct timer *last = h->items[h->n--];

	t->place = 0;
	if (last == t)
		return;
	if (i > 1 && h->items[i / 2]->due > last->due)
		sift_up(h, i, last);
	else
		sift_down(h, i, last);
}

void heap_set(struct heap *h, struct timer *t, uint64_t due)
{
	if (t->place && t->due == due)
		return;
	if (t->place && due == USEC_INFINITY) {
		t->due = due;
		heap_remove(h, t);
		return;
	}
	t->due = due;
	if (due == USEC_INFINITY)
		return;
	if (!t->place) {
		assert(h->n + 1 < h->cap);
		sift_up(h, ++h->n, t);
	} else if (t->place > 1 && h->items[t->place / 2]->due > due) {
		sift_up(h, t->place, t);
	} else {
		sift_down(h, t->place, t);
	}
}

struct timer *heap_first(const struct heap *h)
{
	return h->n ? h->items[1] : NULL;
}
