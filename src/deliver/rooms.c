/* What nobody needed for REST_USEC goes: a deliverer that rests has no rooms. */
#include "deliver/rooms.h"
#include <stdlib.h>

#define REST_USEC (2 * USEC_PER_SEC)

static void forget_spare(struct rooms *r)
{
	while (r->n_spare > 0)
		free(r->spare[--r->n_spare]);
}

static void on_rest(struct loop_timer *t)
{
	forget_spare(CONTAINER_OF(t, struct rooms, rest));
}

void rooms_done(struct rooms *r)
{
	loop_timer_cancel(&r->rest);
	forget_spare(r);
}

void rooms_take(struct rooms *r, struct buf *b)
{
	assert(!b->ptr && b->max >= ROOM_OCTETS);
	char *room = r && r->n_spare > 0 ? r->spare[--r->n_spare] : malloc(ROOM_OCTETS);
	if (!room)
		return;
	b->ptr = room;
	b->cap = ROOM_OCTETS;
}

/* One that has grown is not kept, nor is any whose end no timer would see. */
void rooms_give(struct rooms *r, struct buf *b)
{
	if (r && b->cap == ROOM_OCTETS && r->n_spare < ROOMS_SPARE) {
		r->rest.fn = on_rest;
		if (loop_timer_set(&r->rest, loop_now_usec() + REST_USEC) >= 0)
			r->spare[r->n_spare++] = TAKE(b->ptr);
	}
	buf_done(b);
}
