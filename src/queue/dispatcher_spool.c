/* The store and the ledger under the dispatcher: segments for whoever writes, tickets for what must
 * be durable, checkpoints so that the ledger stays small.
 *
 * Segments are asked for by three kinds of writers: our own (slot 0: reports), the ledger, and
 * receivers. */
#include "queue/dispatcher_internal.h"
#include "queue/entries.h"

#include "base/log.h"
#include "base/stats.h"
#include "spool/compact.h"
#include <stdlib.h>
#include <string.h>

/* The ledger is compacted when it holds this many times what the last checkpoint needed. */
#define CHECKPOINT_FACTOR   4u
#define CHECKPOINT_SEGMENTS 2u
#define CHECKPOINT_SLICE    200u
#define CHECKPOINT_PAUSE    (10 * USEC_PER_SEC)
#define LEDGER_PATIENCE	    (2 * USEC_PER_SEC)
#define LEDGER_ENTRY	    5u		/* octets of an entry beside its payload */
#define LEDGER_WAITING_MAX  (15u << 20) /* under the ledger's own bound */

/* ---- the store's calls ---- */

static void give_own(struct dispatcher *d, const struct store_segment *s)
{
	struct disk_file *file = NULL;
	int r = d->seam->ops->open(d->seam->disk, s->name, false, &file);

	if (r < 0) {
		log_text(LOG_LEVEL_ERROR, "segment-not-opened", "%s: %s", s->name, strerror(-r));
		store_release(d->store, s->head.sequence);
		return;
	}
	if (!d->own_first)
		d->own_first = s->head.sequence;
	writer_give_segment(d->writer, file, &s->head);
}

static void on_ready(void *arg, uint16_t slot, struct store_segment *s)
{
	struct dispatcher *d = arg;

	if (slot == SLOT_LEDGER)
		ledger_give(d->ledger, s);
	else if (slot == SLOT_DISPATCHER)
		give_own(d, s);
	else
		receiver_give(d, slot, s);
	loop_defer(&d->turn);
}

static void on_forgotten(void *arg, uint64_t sequence)
{
	struct dispatcher *d = arg;

	message_unload_segment(d, sequence);
	deliverers_forget(d, sequence);
	dispatcher_late(d, (struct late){.kind = LATE_GONE, .a = sequence});
}

static void on_disk_state(void *arg, bool low, uint64_t free_octets)
{
	struct dispatcher *d = arg;
	struct log_line *l = log_begin(
		low ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, low ? "disk-low" : "disk-has-room");

	log_u64(l, "free", free_octets);
	if (low)
		log_str(l, "remedy", "make room on the file system of the data folder");
	log_end(l);
	d->low = low;
	STATS_SET(spool_low_disk, low);
	receivers_accepting(d);
}

static void on_error(void *arg, const char *name, int error)
{
	struct log_line *l = log_begin(LOG_LEVEL_ERROR, "spool-damaged");

	(void)arg;
	log_str(l, "file", name);
	log_errno(l, error);
	log_str(l, "action", "set aside, nothing of it was changed");
	log_end(l);
	STATS_ADD(spool_errors_total, 1);
}

const struct store_ops dispatcher_store_ops = {
	.ready = on_ready,
	.forgotten = on_forgotten,
	.disk_state = on_disk_state,
	.error = on_error,
};

/* ---- our own writer ---- */

static void own_need(void *arg)
{
	struct dispatcher *d = arg;

	store_want(d->store, SLOT_DISPATCHER);
}

static void own_sealed(void *arg, uint64_t sequence, uint64_t end)
{
	struct dispatcher *d = arg;

	(void)end;
	holds_own_ended(&d->holds, sequence);
}

static void own_retired(void *arg, uint64_t sequence, int error)
{
	struct dispatcher *d = arg;

	log_text(LOG_LEVEL_ERROR, "segment-retired", "segment %llu of the dispatcher: %s",
		(unsigned long long)sequence, strerror(-error));
	STATS_ADD(spool_errors_total, 1);
	compact_retired(d->compactor, sequence);
	holds_own_ended(&d->holds, sequence);
}

static void own_want_flush(void *arg)
{
	struct dispatcher *d = arg;

	loop_defer(&d->turn);
}

static const struct writer_ops own_writer_ops = {
	.need_segment = own_need,
	.sealed = own_sealed,
	.retired = own_retired,
	.want_flush = own_want_flush,
};

int dispatcher_spool_open(struct dispatcher *d)
{
	const struct config *c = role_config(d->process);
	const struct store_limits limits = {
		.segment_size = c->spool.segment_size,
		.reserve = c->spool.reserve,
	};

	int r = seam_posix_new(role_fd(d->process, "spool"), &d->seam);
	if (r == 0)
		r = store_open(d->seam, &limits, &dispatcher_store_ops, d, &d->store);
	if (r == 0)
		r = holds_init(&d->holds, d->store, 0);
	if (r == 0)
		r = ledger_new(d->seam, d->store, &d->ledger);
	if (r == 0)
		r = writer_new(d->seam, SLOT_DISPATCHER, &own_writer_ops, d, &d->writer);
	if (r == 0)
		r = dispatcher_compact_new(d);
	return r;
}

/* ---- the ledger ---- */

/* A ledger without room for a moment (its next segment is being made) is no news. */
static void ledger_state(struct dispatcher *d, int r)
{
	uint64_t now = loop_now_usec();

	if (r == 0) {
		d->book.unwritten = 0;
		d->book.failed = false;
	} else if (!d->book.failed) {
		d->book.failed = true;
		d->book.failed_since = now;
	}
	bool stuck = d->book.failed && now - d->book.failed_since > LEDGER_PATIENCE;
	if (stuck == d->book.stuck)
		return;
	d->book.stuck = stuck;
	if (stuck)
		log_text(LOG_LEVEL_ERROR, "ledger-stuck",
			"%s: no mail is taken or delivered until this works again", strerror(-r));
	else
		log_text(LOG_LEVEL_INFO, "ledger-written", "the ledger takes entries again");
	receivers_accepting(d);
}

void dispatcher_ledger(void *arg, uint8_t type, struct span payload)
{
	struct dispatcher *d = arg;
	int r = ledger_append(d->ledger, type, payload);

	d->book.unwritten += payload.len + LEDGER_ENTRY;
	if (d->book.checkpointing)
		d->book.written += payload.len + LEDGER_ENTRY;
	/* Lost to the ledger, while the queue goes by it: a new life reads what is true. */
	if (r == -EMSGSIZE || r == -ENOMEM || (r < 0 && d->book.unwritten > LEDGER_WAITING_MAX)) {
		log_text(LOG_LEVEL_ERROR, "ledger-lost", "%s: starting again from the spool",
			strerror(-r));
		log_flush();
		abort();
	}
	if (r < 0)
		ledger_state(d, r);
}

bool dispatcher_ledger_write(struct dispatcher *d)
{
	int r = ledger_write(d->ledger);

	ledger_state(d, r);
	return r == 0;
}

static void sync_due(struct dispatcher *d);

static void on_synced(struct writer_ticket *t, int result)
{
	struct dispatcher *d = CONTAINER_OF(t, struct dispatcher, sync.ticket);

	if (result < 0) {
		log_text(LOG_LEVEL_ERROR, "ledger-unsynced", "%s", strerror(-result));
		STATS_ADD(spool_errors_total, 1);
	} else {
		STATS_ADD(spool_commits_total, 1);
	}
	d->sync.running = false;
	dispatcher_event(d);
	queue_ledger_durable(d->queue, d->sync.covers, result);
	sync_due(d);
}

static void sync_begin(struct dispatcher *d)
{
	d->sync.running = true;
	d->sync.covers = d->sync.wanted;
	d->sync.began = loop_now_usec();
	d->sync.ticket.done = on_synced;
	ledger_sync(d->ledger, &d->sync.ticket);
}

/* One sync serves all tickets that came while the last one ran, and since it began. */
static void sync_due(struct dispatcher *d)
{
	if (d->sync.running || d->sync.wanted == d->sync.covers)
		return;
	uint64_t from = d->sync.began + LEDGER_PACE_USEC;
	/* A timer that cannot be set is no reason to wait for ever. */
	if (d->sync.began == 0 || loop_now_usec() >= from ||
		loop_timer_set(&d->sync.timer, from) < 0)
		sync_begin(d);
}

static void on_sync_due(struct loop_timer *t)
{
	sync_due(CONTAINER_OF(t, struct dispatcher, sync.timer));
}

void dispatcher_ledger_sync(void *arg, uint64_t ticket)
{
	struct dispatcher *d = arg;

	d->sync.wanted = ticket;
	d->sync.timer.fn = on_sync_due;
	sync_due(d);
}

void dispatcher_ledger_boot(struct dispatcher *d)
{
	dispatcher_ledger(d, ENTRY_BOOT, span_make(d->seam->boot_id, sizeof(d->seam->boot_id)));
}

/* ---- checkpoints ---- */

static bool checkpoint_due(const struct dispatcher *d)
{
	uint64_t least = CHECKPOINT_SEGMENTS * role_config(d->process)->spool.segment_size;

	if (d->book.failed || store_has_claimed(d->store) || compact_is_committing(d->compactor) ||
		loop_now_usec() < d->book.next_checkpoint)
		return false;
	return queue_checkpoint_wanted(d->queue) ||
	       ledger_octets(d->ledger) > MAX(least, CHECKPOINT_FACTOR * d->book.live);
}

/* Whatever of a segment lies below its known end has been given to the queue. */
static void checkpoint_begin(struct dispatcher *d)
{
	struct queue_segment_state *states = NULL;
	size_t n = 0, cap = store_count(d->store) + 1;
	uint32_t cursor = 0;
	uint16_t slot;

	d->book.next_checkpoint = loop_now_usec() + CHECKPOINT_PAUSE;
	states = calloc(cap, sizeof(*states));
	/* -EBUSY: the last one is still being synced. */
	if (!states || ledger_checkpoint_begin(d->ledger) < 0) {
		free(states);
		return;
	}
	while (store_next_slot(d->store, &cursor, &slot)) {
		struct store_segment *s = NULL;
		while (slot != SLOT_LEDGER && n < cap && (s = store_next(d->store, slot, s)))
			if (s->state == SEGMENT_OPEN || s->state == SEGMENT_SEALED)
				states[n++] = (struct queue_segment_state){
					s->head.sequence, s->known_end};
	}
	d->book.checkpointing = true;
	d->book.written = 0;
	queue_checkpoint_begin(d->queue, states, n);
	dispatcher_ledger_boot(d);
	free(states);
}

void dispatcher_checkpoint(struct dispatcher *d)
{
	if (!d->book.checkpointing && checkpoint_due(d))
		checkpoint_begin(d);
	if (!d->book.checkpointing)
		return;
	if (queue_checkpoint_slice(d->queue, CHECKPOINT_SLICE)) {
		loop_defer(&d->turn);
		return;
	}
	d->book.checkpointing = false;
	d->book.live = d->book.written;
	ledger_checkpoint_end(d->ledger);
	struct log_line *l = log_begin(LOG_LEVEL_DEBUG, "checkpoint");
	log_u64(l, "octets", d->book.written);
	log_end(l);
}

static void on_first(struct writer_ticket *t, int result)
{
	(void)t;
	(void)result;
}

/* The ledger makes its first segment when something is asked of it: now rather than with the first
 * job. */
void dispatcher_ledger_wake(struct dispatcher *d)
{
	d->book.first.done = on_first;
	ledger_sync(d->ledger, &d->book.first);
}
