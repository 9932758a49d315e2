/* Compaction under the simulated dispatcher: queue/dispatcher_compact.c with the world's counters.
 */
#include "desk.h"

#include <inttypes.h>
#include <stdlib.h>

static void each(void *arg, uint64_t id, const struct record_ref *commit, uint64_t size, bool idle)
{
	struct desk *d = arg;
	const struct message_span *s = map_get_u64(d->spans, id);

	if (!s)
		violation(d->w, "message %" PRIx64 " lives in no segment", id);
	compact_see(d->compactor, id, commit, size, idle && !map_get_u64(d->moved, id), s->segments,
		s->n);
}

static bool on_walk(void *arg, uint64_t *cursor, unsigned max)
{
	struct desk *d = arg;

	return queue_walk(d->queue, cursor, MIN(max, 50u), each, d);
}

static bool on_is_idle(void *arg, uint64_t id, const struct record_ref *commit)
{
	struct desk *d = arg;

	return queue_is_idle(d->queue, id, commit) && !map_get_u64(d->moved, id);
}

static int on_copied(void *arg, const struct record_ref *from, const struct record_ref *to,
	const struct message *m)
{
	struct desk *d = arg;

	if (!on_is_idle(d, m->id, from))
		return -EBUSY;
	if (map_put_u64(d->moved, m->id, map_remove_u64(d->spans, m->id)) < 0)
		abort();
	int r = desk_ref(d, m, to);
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

void desk_span_release(struct desk *d, struct message_span *s)
{
	for (uint32_t i = 0; s && i < s->n; i++)
		store_unref(d->store, s->segments[i]);
	free(s);
}

void desk_moved(void *arg, uint64_t id)
{
	struct desk *d = arg;
	struct message_span *s = map_remove_u64(d->moved, id);

	if (!s)
		violation(d->w, "message %" PRIx64 " was not moved", id);
	world_tempt(d->w);
	desk_span_release(d, s);
}
