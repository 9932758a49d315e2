/* Compaction (spool/compact.h) under the dispatcher: shows it what is queued, and keeps the books
 * of what it has copied.
 *
 * When a copy is durable the message gets references on its segments and the queue goes by it at
 * once; the references on the old ones stay (holds_move) until the ledger's word of it is durable,
 * so that no power failure finds the message in neither place. compact_run comes behind the events
 * of the turn: reports that were written before a copy are taken before it, as known_end wants it.
 */
#include "queue/dispatcher_internal.h"

#include "base/log.h"
#include "base/stats.h"
#include "spool/compact.h"
#include <stdlib.h>

static void each(void *arg, uint64_t id, const struct record_ref *commit, uint64_t size, bool idle)
{
	struct dispatcher *d = arg;
	uint32_t n;
	const uint64_t *segments = holds_segments(&d->holds, id, commit, &n);

	compact_see(
		d->compactor, id, commit, size, idle && !holds_moving(&d->holds, id), segments, n);
}

static bool on_walk(void *arg, uint64_t *cursor, unsigned max)
{
	struct dispatcher *d = arg;

	return queue_walk(d->queue, cursor, max, each, d);
}

static bool on_is_idle(void *arg, uint64_t id, const struct record_ref *commit)
{
	struct dispatcher *d = arg;

	return queue_is_idle(d->queue, id, commit) && !holds_moving(&d->holds, id);
}

static int on_copied(void *arg, const struct record_ref *from, const struct record_ref *to,
	const struct message *m)
{
	struct dispatcher *d = arg;

	/* Handed out or finished while it was copied. */
	if (!on_is_idle(d, m->id, from))
		return -EBUSY;
	int r = holds_move(&d->holds, m, from, to);
	if (r < 0)
		return r;
	dispatcher_event(d);
	queue_moved(d->queue, m->id, to);
	return 0;
}

static void on_wake(void *arg)
{
	struct dispatcher *d = arg;

	loop_defer(&d->turn);
}

static void on_damage(void *arg, const struct store_segment *s, uint64_t offset)
{
	(void)arg;
	dispatcher_log_damage(s->name, offset, 0, "a message that cannot be moved: kept as it is");
}

static const struct compact_ops ops = {
	.walk = on_walk,
	.is_idle = on_is_idle,
	.copied = on_copied,
	.wake = on_wake,
	.damage = on_damage,
};

int dispatcher_compact_new(struct dispatcher *d)
{
	return compact_new(d->seam, d->store, d->writer, &ops, d, &d->compactor);
}

static void count(struct dispatcher *d)
{
	const struct compact_counts *c = compact_counts(d->compactor);

	if (c->messages == d->compacted)
		return;
	struct log_line *l = log_begin(LOG_LEVEL_DEBUG, "compacted");
	log_u64(l, "messages", c->messages - d->compacted);
	log_end(l);
	d->compacted = c->messages;
	STATS_SET(spool_moved_total, c->messages);
}

void dispatcher_compact(struct dispatcher *d)
{
	if (d->drain.on)
		return;
	compact_run(d->compactor, loop_now_usec(), role_config(d->process)->spool.compact);
	count(d);
}

void dispatcher_moved(void *arg, uint64_t id)
{
	struct dispatcher *d = arg;

	holds_moved(&d->holds, id);
}

void dispatcher_forget(void *arg, uint64_t id, const struct record_ref *commit)
{
	struct dispatcher *d = arg;

	holds_release(&d->holds, id, commit);
}
