/* Where segments come from: a new file, or one whose messages are all done. Both become spares by
 * the same last step, a head with a new generation and a new sequence that is durable before
 * anything else happens:
 *
 *   new:      create -> octets (file and folder synced) -> head, sync -> spare
 *   recycled: sealed and dead ------------------------> head, sync -> forgotten -> spare
 *
 * A recycled segment stays in the store's books until its new head is durable: were the old head
 * still to be found after a crash, its COMMITs would count again, so until then the ledger must
 * remember that they are done. Files are unlinked only as spares with a new head: should the folder
 * keep the entry through a crash, it names an empty segment.
 *
 * A slot's first segment is only allocated, because somebody waits. One that has needed a second
 * keeps a spare ready, made in the background; the others, on a quiet server all, take no more
 * room. The disk's reserve stays free, but for the ledger and the dispatcher's own segments,
 * without which nothing could be finished and the room never come back.
 */
#include "spool/store_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SPARES_MAX	 2u /* of a slot; the rest is given back to the disk */
#define RECYCLING_MAX	 4u /* heads written at a time: commits must not wait behind them */
#define RESERVE_PART_OWN 4u /* our own slots may go down to this part of the reserve */
#define SPARE_MARGIN	 8u /* segments' worth of room beyond the reserve, for a mere spare */

static void report(const struct store *s, const char *name, int error)
{
	if (s->ops && s->ops->error)
		s->ops->error(s->arg, name, error);
}

/* ---- room ---- */

static bool is_own(const struct slot *slot)
{
	return slot->number == SLOT_DISPATCHER || slot->number == SLOT_LEDGER;
}

/* Those of an earlier life may be open too (store_claim), but perhaps to nobody. */
static bool has_open(const struct slot *slot)
{
	list_foreach (n, &slot->segments)
		if (segment_of(n)->given && segment_of(n)->pub.state == SEGMENT_OPEN)
			return true;
	return false;
}

static bool room_for(const struct store *s, const struct slot *slot, bool wanted)
{
	uint64_t room, need = s->segment_size + s->making_octets;

	if (s->seam->ops->free_octets(s->seam->disk, &room) < 0)
		return false;
	/* Into the reserve only for what is needed now, not for the next one. */
	need += is_own(slot) && !has_open(slot) ? s->reserve / RESERVE_PART_OWN : s->reserve;
	if (!wanted)
		need += SPARE_MARGIN * s->segment_size;
	return room >= need;
}

/* Nobody is at work on this slot's wish. Its writer may have an open segment still, but who knows
 * whether the next message fits: better a 452 at once than a session that waits for room. */
static bool is_starving(const struct slot *slot)
{
	return slot->want && !slot->recycling && list_empty(&slot->making) &&
	       list_empty(&slot->spares);
}

void supply_disk_state(struct store *s)
{
	uint64_t room = 0;
	bool low = s->seam->ops->free_octets(s->seam->disk, &room) == 0 && room < s->reserve;

	for (uint32_t i = 0; i < s->n_slots && !low; i++)
		low = is_starving(s->slots[i]);
	if (low == s->low)
		return;
	s->low = low;
	if (s->ops && s->ops->disk_state)
		s->ops->disk_state(s->arg, low, room);
}

bool store_disk_is_low(const struct store *s)
{
	return s->low;
}

static void recycle_again(struct store *s);

void store_check_disk(struct store *s)
{
	recycle_again(s);
	supply_all(s);
	supply_disk_state(s);
}

/* ---- the head ---- */

static void drop_file(struct store *s, struct segment *g)
{
	int r = s->seam->ops->unlink(s->seam->disk, g->pub.name);

	if (r < 0)
		report(s, g->pub.name, r);
	list_remove(&g->pub.node);
	segment_discard(g);
}

static void trim_spares(struct store *s, struct slot *slot)
{
	unsigned n = 0;

	list_foreach (node, &slot->spares)
		n++;
	/* From the front: the youngest has the higher sequence, which must not be lost. */
	list_foreach_safe (node, tmp, &slot->spares) {
		struct segment *g = segment_of(node);
		if (n <= SPARES_MAX)
			break;
		if (g->step != STEP_NONE)
			continue;
		drop_file(s, g);
		n--;
	}
}

static void recycle_next(struct store *s);

static void become_spare(struct segment *g)
{
	struct store *s = g->store;
	struct slot *slot = g->slot;

	list_remove(&g->pub.node);
	g->pub.head = g->next_head;
	g->pub.state = SEGMENT_SPARE;
	g->pub.live = g->pub.known_end = 0;
	/* Heads of one slot may become durable in another order than they were numbered. */
	struct list *before = slot->spares.next;
	while (before != &slot->spares &&
		segment_of(before)->pub.head.sequence < g->pub.head.sequence)
		before = before->next;
	list_insert_(&g->pub.node, before->prev, before);
	trim_spares(s, slot);
}

/* Which head the disk has is unknown: the segment stays in the books, so that the ledger remembers
 * its messages, and store_check_disk tries again. That is no sync believed the second time: all of
 * the head is written afresh. Left alone, the old head could come back with COMMITs that were
 * refused, of which the ledger knows nothing. */
static void recycle_failed(struct segment *g, int error)
{
	if (!g->again)
		report(g->store, g->pub.name, error);
	g->again = true;
}

static void recycled(struct segment *g, int result)
{
	struct store *s = g->store;
	struct slot *slot = g->slot;
	uint64_t old = g->pub.head.sequence;

	s->recycling--;
	slot->recycling--;
	if (result < 0) {
		recycle_failed(g, result);
	} else {
		g->again = false;
		map_remove_u64(s->by_sequence, old);
		become_spare(g);
		if (s->ops && s->ops->forgotten)
			s->ops->forgotten(s->arg, old);
	}
	recycle_next(s);
	supply_slot(s, slot);
}

static void made(struct segment *g, int result)
{
	struct store *s = g->store;
	struct slot *slot = g->slot;

	if (result < 0) {
		report(s, g->pub.name, result);
		drop_file(s, g);
		return;
	}
	become_spare(g);
	supply_slot(s, slot);
}

/* The store is gone: what it left to the operation. */
static bool is_orphan(struct segment *g)
{
	if (g->store)
		return false;
	free(g);
	return true;
}

static void head_done(struct disk_op *op, int result)
{
	struct segment *g = CONTAINER_OF(op, struct segment, op);

	if (is_orphan(g))
		return;
	g->step = STEP_NONE;
	if (g->pub.state == SEGMENT_SEALED)
		recycled(g, result);
	else
		made(g, result);
}

/* Writes a new head over the old one; an old SEAL goes too, though its generation is dead. */
static int write_head(struct segment *g, uint64_t size)
{
	struct store *s = g->store;
	struct segment_head *h = &g->next_head;
	struct buf b = BUF_INIT(SEGMENT_HEAD);

	*h = (struct segment_head){.sequence = ++s->last_sequence,
		.slot = g->slot->number,
		.size = size,
		.created_wall_usec = s->seam->wall_usec(s->seam->clock_arg)};
	s->seam->random(s->seam->clock_arg, &h->generation, sizeof(h->generation));
	memcpy(h->boot_id, s->seam->boot_id, sizeof(h->boot_id));
	segment_head_encode(h, &b);
	void *rest = buf_reserve(&b, SEGMENT_HEAD - b.len);
	if (rest) {
		memset(rest, 0, SEGMENT_HEAD - b.len);
		b.len = SEGMENT_HEAD;
	}
	struct iovec iov = {b.ptr, b.len};
	int r = b.error ? b.error : s->seam->ops->write(g->pub.file, 0, &iov, 1);
	buf_done(&b);
	if (r < 0)
		return r;
	g->step = STEP_HEAD;
	g->op.done = head_done;
	s->seam->ops->sync(g->pub.file, &g->op);
	return 0;
}

/* ---- dead segments ---- */

static void recycle_next(struct store *s)
{
	while (s->recycling < RECYCLING_MAX && !list_empty(&s->dead)) {
		struct segment *g = CONTAINER_OF(list_pop_front(&s->dead), struct segment, dead);
		/* The file's own size: the old head may have been a receiver's. */
		uint64_t size = 0;
		int r = s->seam->ops->size(g->pub.file, &size);
		if (r == 0)
			r = write_head(g, MIN(size, (uint64_t)SEGMENT_SIZE_MAX));
		if (r < 0) {
			recycle_failed(g, r);
			continue;
		}
		s->recycling++;
		g->slot->recycling++;
	}
}

static bool is_dead(const struct segment *g)
{
	return g->store->recovered && g->pub.state == SEGMENT_SEALED && !g->pub.live &&
	       !g->pub.damaged && g->step == STEP_NONE && !list_linked(&g->dead);
}

void supply_recycle_if_dead(struct segment *g)
{
	if (!is_dead(g))
		return;
	list_push_back(&g->store->dead, &g->dead);
	recycle_next(g->store);
}

static void recycle_again(struct store *s)
{
	for (uint32_t i = 0; i < s->n_slots; i++)
		list_foreach (n, &s->slots[i]->segments)
			if (segment_of(n)->again && is_dead(segment_of(n)))
				list_push_back(&s->dead, &segment_of(n)->dead);
	recycle_next(s);
}

/* ---- new files ---- */

static void octets_done(struct disk_op *op, int result)
{
	struct segment *g = CONTAINER_OF(op, struct segment, op);

	if (is_orphan(g))
		return;
	struct store *s = g->store;
	uint64_t size = g->next_head.size;
	g->step = STEP_NONE;
	s->making_octets -= size;
	if (result == 0)
		result = write_head(g, size);
	if (result < 0) {
		/* No room after all is no fault of the file. */
		if (result != -ENOSPC && result != -EDQUOT)
			report(s, g->pub.name, result);
		drop_file(s, g);
		supply_disk_state(s);
	}
}

static int make_new(struct store *s, struct slot *slot, bool fast)
{
	struct segment *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->slot = slot;
	g->pub.state = SEGMENT_PREPARING;
	snprintf(g->pub.name, sizeof(g->pub.name), "seg-%u-%" PRIu64, slot->number, ++s->last_name);
	int r = s->seam->ops->open(s->seam->disk, g->pub.name, true, &g->pub.file);
	if (r < 0) {
		report(s, g->pub.name, r);
		free(g);
		return r;
	}
	g->store = s;
	g->step = STEP_ZERO;
	g->next_head.size = s->segment_size;
	g->op.done = octets_done;
	s->making_octets += s->segment_size;
	list_push_back(&slot->making, &g->pub.node);
	s->seam->ops->prepare(g->pub.file, s->segment_size, fast, &g->op);
	return 0;
}

/* ---- giving ---- */

static void give(struct store *s, struct slot *slot, struct segment *g)
{
	int r = map_put_u64(s->by_sequence, g->pub.head.sequence, &g->pub);

	if (r < 0) { /* no memory: the wish is tried again */
		report(s, g->pub.name, r);
		return;
	}
	list_remove(&g->pub.node);
	g->pub.state = SEGMENT_OPEN;
	g->given = true;
	slot->n_given++;
	slot->last_given = g->pub.head.sequence;
	g->pub.known_end = SEGMENT_HEAD;
	list_push_back(&slot->segments, &g->pub.node);
	slot->want = false;
	if (s->ops && s->ops->ready)
		s->ops->ready(s->arg, slot->number, &g->pub);
	supply_slot(s, slot);
}

/* A spare whose head became durable after a younger one was given. The slot's segments must rise in
 * sequence: the ledger is replayed in that order, and a message's id never names a segment younger
 * than that of its COMMIT. So it gets a number of now. */
static void renumber(struct store *s, struct slot *slot, struct segment *g)
{
	list_remove(&g->pub.node);
	g->pub.state = SEGMENT_PREPARING;
	list_push_back(&slot->making, &g->pub.node);
	int r = write_head(g, g->pub.head.size);
	if (r < 0) {
		report(s, g->pub.name, r);
		drop_file(s, g);
	}
}

static void give_done(struct disk_op *op, int result)
{
	struct segment *g = CONTAINER_OF(op, struct segment, op);

	if (is_orphan(g))
		return;
	struct store *s = g->store;
	struct slot *slot = g->slot;
	g->step = STEP_NONE;
	if (result < 0) {
		report(s, g->pub.name, result);
		drop_file(s, g);
		supply_slot(s, slot);
	} else if (slot->want && g->pub.head.sequence < slot->last_given) {
		renumber(s, slot, g);
	} else if (slot->want) {
		give(s, slot, g);
	}
}

/* The oldest spare goes to the slot by way of the loop, so that `ready` never runs inside the call
 * that asked for it: a sync of a file that is durable costs next to nothing. */
static void begin_give(struct store *s, struct slot *slot)
{
	struct segment *g = segment_of(slot->spares.next);

	if (g->step != STEP_NONE)
		return;
	if (g->pub.head.sequence < slot->last_given) {
		renumber(s, slot, g);
		return;
	}
	g->step = STEP_GIVE;
	g->op.done = give_done;
	s->seam->ops->sync(g->pub.file, &g->op);
}

void supply_slot(struct store *s, struct slot *slot)
{
	if (slot->want && !list_empty(&slot->spares)) {
		begin_give(s, slot);
		return;
	}
	if ((!slot->want && slot->n_given < 2) || slot->recycling || !list_empty(&slot->making) ||
		!list_empty(&slot->spares))
		return;
	/* A writer without any waits for its first; the others have time. */
	bool first = slot->want && !has_open(slot);
	if (!room_for(s, slot, slot->want)) {
		if (slot->want)
			supply_disk_state(s);
		return;
	}
	(void)make_new(s, slot, first); /* told by ops->error, tried again by store_check_disk */
}

void supply_all(struct store *s)
{
	for (uint32_t i = 0; i < s->n_slots; i++)
		supply_slot(s, s->slots[i]);
}

void store_want(struct store *s, uint16_t number)
{
	struct slot *slot;

	if (store_slot(s, number, &slot) < 0) {
		report(s, "segment", -ENOMEM);
		return;
	}
	slot->want = true;
	supply_slot(s, slot);
}
