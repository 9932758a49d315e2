/* Compaction under the simulated dispatcher: queue/dispatcher_compact.c with the world's counters.
 */
#include "desk.h"

#include <inttypes.h>
#include <stdlib.h>

static void each(void *arg, uint64_t id, const struct record_ref *commit, uint64_t size, bool idle)
{
	struct desk *d = arg;
	uint32_t n;
	const uint64_t *segments = holds_segments(&d->holds, id, commit, &n);

	compact_see(
		d->compactor, id, commit, size, idle && !holds_moving(&d->holds, id), segments, n);
}

static bool on_walk(void *arg, uint64_t *cursor, unsigned max)
{
	struct desk *d = arg;

	return queue_walk(d->queue, cursor, MIN(max, 50u), each, d);
}

static bool on_is_idle(void *arg, uint64_t id, const struct record_ref *commit)
{
	struct desk *d = arg;

	return queue_is_idle(d->queue, id, commit) && !holds_moving(&d->holds, id);
}

static int on_copied(void *arg, const struct record_ref *from, const struct record_ref *to,
	const struct message *m)
{
	struct desk *d = arg;

	if (!on_is_idle(d, m->id, from))
		return -EBUSY;
	int r = holds_move(&d->holds, m, from, to);
	if (r < 0)
		return r;
	desk_event(d);
	queue_moved(d->queue, m->id, to);
	trace(d->w,
		"dispatcher: %" PRIx64 " moves from %" PRIu64 ":%" PRIu64 " to %" PRIu64
		":%" PRIu64,
		m->id, from->segment, from->offset, to->segment, to->offset);
	return 0;
}

static void on_wake(void *arg)
{
	((struct desk *)arg)->turn_due = true;
}

static void on_damage(void *arg, const struct store_segment *s, uint64_t offset)
{
	struct desk *d = arg;

	trace(d->w, "dispatcher: cannot move what is at %" PRIu64 ":%" PRIu64, s->head.sequence,
		offset);
	world_damage(d->w, "a segment");
}

const struct compact_ops desk_compact_ops = {
	.walk = on_walk,
	.is_idle = on_is_idle,
	.copied = on_copied,
	.wake = on_wake,
	.damage = on_damage,
};

void desk_compact(struct desk *d)
{
	struct compact_counts before = *compact_counts(d->compactor);

	compact_run(d->compactor, d->w->clock.monotonic, 60 * USEC_PER_SEC);
	const struct compact_counts *now = compact_counts(d->compactor);
	d->w->count.moved += now->messages - before.messages;
	d->w->count.move_failed += now->failed - before.failed;
}

void desk_moved(void *arg, uint64_t id)
{
	struct desk *d = arg;

	if (!holds_moving(&d->holds, id))
		violation(d->w, "message %" PRIx64 " was not moved", id);
	world_tempt(d->w);
	holds_moved(&d->holds, id);
}
