/* From the spool's files to a running queue, in slices, while receivers already get segments:
 *
 *   the ledger, entry by entry; every segment of every slot, COMMIT by COMMIT; then deliverers are
 *   asked what they still have in hand; then the queue starts, takes the notices that came
 *   meanwhile, and the store may recycle.
 *
 * A record that cannot be read is reported with its file and place, and its segment is kept for
 * inspection. A message of which a part is unreadable is held, never delivered in pieces. A record
 * that kills the dispatcher while it is read is skipped and reported (dispatcher_marker.h).
 *
 * Segments may still be in the hands of receivers that outlived the last dispatcher: those are
 * claimed at the start and read once more when they come back (dispatcher_receiver.c). */
#include "queue/dispatcher_internal.h"

#include "base/log.h"
#include "queue/dispatcher_marker.h"
#include "queue/entries.h"
#include "spool/recover.h"
#include "spool/reseal.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLICE_USEC     (20 * USEC_PER_MSEC)
#define MARK_STEP      (UINT64_C(1) << 63) /* no offset of a record: a step through a segment */
#define RECORDS_A_STEP 64u
#define ENTRIES_A_STEP 256u
#define REPORTS_MAX    20u /* lines about damage in one segment */

struct recovery {
	struct dispatcher *d;
	struct marker marker;
	struct arena *arena;
	uint64_t entries, commits, live, slice_end;
	unsigned reported;
	struct cond synced; /* own_sync */
	unsigned syncing;
	int unsynced;	  /* the error of a sync */
	uint8_t boot[16]; /* the last ENTRY_BOOT */
	bool boot_known;
};

/* ---- slices ---- */

SUSPENDS static void breathe(struct recovery *r)
{
	/* loop_now_usec stands still within a turn. */
	if (r->d->seam->monotonic_usec(r->d->seam->clock_arg) < r->slice_end)
		return;
	(void)fiber_yield();
	r->slice_end = r->d->seam->monotonic_usec(r->d->seam->clock_arg) + SLICE_USEC;
}

/* ---- the ledger ---- */

SUSPENDS static int each_entry(void *arg, uint8_t type, struct span payload)
{
	struct recovery *r = arg;
	int e = -ECANCELED;

	/* Receivers want segments meanwhile. The ledger does not change before it is woken, and
	 * what kills us while others run is not this entry's doing. */
	if (r->entries++ % ENTRIES_A_STEP == 0) {
		(void)marker_set(&r->marker, 0, 0);
		breathe(r);
	}
	if (type == ENTRY_BOOT && payload.len == sizeof(r->boot)) {
		memcpy(r->boot, payload.ptr, sizeof(r->boot));
		r->boot_known = true;
	}
	if (marker_set(&r->marker, 0, r->entries))
		e = queue_replay_entry(r->d->queue, type, payload);
	if (e == -ENOMEM)
		return e;
	if (e < 0)
		dispatcher_log_damage("ledger", r->entries, payload.len,
			e == -ECANCELED ? "this entry ended the dispatcher: skipped"
					: "an entry that cannot be read: skipped");
	return 0;
}

SUSPENDS static int recover_ledger(struct recovery *r)
{
	uint64_t damaged = 0;
	int e = ledger_replay(r->d->ledger, each_entry, r, &damaged);

	if (damaged > 0)
		dispatcher_log_damage(
			"ledger", 0, damaged, "octets between entries are unreadable");
	return e;
}

/* ---- segments ---- */

static int replay(struct recovery *r, struct store_segment *s, const struct message *m,
	const struct record_ref *ref, bool damaged)
{
	int e = queue_replay_commit(r->d->queue, m, ref, damaged);

	if (e != 1)
		return e;
	if (damaged) {
		struct log_line *line = log_begin(LOG_LEVEL_ERROR, "spool-damaged");
		log_id(line, "id", m->id);
		log_str(line, "file", s->name);
		log_u64(line, "offset", ref->offset);
		log_str(line, "text", "a message that is not whole: held");
		log_end(line);
	}
	r->live++;
	return holds_take(&r->d->holds, m, ref);
}

static int on_commit(
	void *arg, uint64_t id, const struct record_ref *ref, struct span payload, bool damaged)
{
	struct recovery *r = arg;
	struct store_segment *s = store_find(r->d->store, ref->segment);
	struct message m;

	r->commits++;
	if (!marker_set(&r->marker, ref->segment, ref->offset)) {
		s->damaged = true;
		dispatcher_log_damage(s->name, ref->offset, ref->length,
			"this COMMIT ended the dispatcher: skipped");
		return 0;
	}
	arena_reset(r->arena);
	int e = message_decode(id, payload, r->arena, &m);
	if (e == 0)
		e = replay(r, s, &m, ref, damaged);
	if (e == -ENOMEM)
		return e;
	if (e < 0) {
		s->damaged = true;
		dispatcher_log_damage(
			s->name, ref->offset, ref->length, "a COMMIT that the queue cannot take");
	}
	return 0;
}

static void on_damage(void *arg, const struct store_segment *s, uint64_t offset, uint64_t octets)
{
	struct recovery *r = arg;

	if (r->reported++ < REPORTS_MAX)
		dispatcher_log_damage(s->name, offset, octets, "octets that should be a record");
}

static void log_counts(const struct store_segment *s, const struct recover_counts *c)
{
	if (!c->dropped && !c->gaps && !c->refused && !c->damaged)
		return;
	struct log_line *l = log_begin(LOG_LEVEL_WARN, "segment-recovered");
	log_str(l, "file", s->name);
	log_u64(l, "commits", c->commits);
	log_u64(l, "unsynced", c->dropped);
	log_u64(l, "gaps", c->gaps);
	log_u64(l, "refused", c->refused);
	log_u64(l, "damaged", c->damaged);
	log_end(l);
}

static void sealed(void *arg, const char *name, int result)
{
	(void)arg;
	if (result < 0)
		log_text(LOG_LEVEL_WARN, "segment-not-sealed", "%s: %s", name, strerror(-result));
}

/* So that the next start need not read all of it again. Not what a receiver still holds. */
static void seal(struct dispatcher *d, struct store_segment *s, const struct recover_cursor *c)
{
	uint64_t end;

	if (s->state == SEGMENT_SEALED && s->live > 0 && recover_may_seal(c, &end))
		reseal_begin(d->store, s, end, buf_span(&c->commits), sealed, d);
}

SUSPENDS static int recover_segment(struct recovery *r, struct store_segment *s)
{
	static const struct recover_ops ops = {.commit = on_commit, .damage = on_damage};
	struct recover_cursor c;
	uint64_t sequence = s->head.sequence, step = 0;
	int e = recover_begin(&c, r->d->seam, r->d->store, s, 0, &ops, r);

	if (e < 0)
		return e;
	r->reported = 0;
	do {
		if (!marker_set(&r->marker, sequence, ++step | MARK_STEP)) {
			s->damaged = true;
			dispatcher_log_damage(s->name, 0, 0,
				"reading it ended the dispatcher: the rest is skipped");
			break;
		}
		e = recover_step(&c, RECORDS_A_STEP);
		breathe(r);
	} while (e > 0);
	log_counts(s, &c.counts);
	if (e == 0)
		seal(r->d, s, &c);
	recover_done(&c);
	if (e < 0 && e != -ENOMEM) {
		s->damaged = true;
		dispatcher_log_damage(s->name, 0, 0, strerror(-e));
		e = 0;
	}
	return e;
}

static bool is_given(const struct dispatcher *d, const struct store_segment *s)
{
	if (s->head.slot == SLOT_DISPATCHER)
		return d->own_first && s->head.sequence >= d->own_first;
	list_foreach (n, &d->peers) {
		const struct peer *p = CONTAINER_OF(n, struct peer, node);
		for (unsigned i = 0; i < p->n_given; i++)
			if (p->given[i] == s->head.sequence)
				return true;
	}
	return false;
}

/* What is there before anybody gets a new segment; the store lets none of them go until the end of
 * recovery, so that sequences stay good across a wait. */
struct old_segments {
	uint64_t *sequences;
	size_t n;
};

static void list_slot(struct dispatcher *d, uint16_t slot, struct old_segments *ret)
{
	for (struct store_segment *s = NULL; (s = store_next(d->store, slot, s));)
		if (!is_given(d, s) && s->state != SEGMENT_SPARE && s->state != SEGMENT_PREPARING)
			ret->sequences[ret->n++] = s->head.sequence;
}

static int list_old(struct dispatcher *d, struct old_segments *ret)
{
	uint32_t cursor = 0;
	uint16_t slot;

	ret->n = 0;
	ret->sequences = calloc(store_count(d->store) + 1, sizeof(*ret->sequences));
	if (!ret->sequences)
		return -ENOMEM;
	/* Our own first: of a message that was moved, the copy counts (dispatcher_compact.c). */
	list_slot(d, SLOT_DISPATCHER, ret);
	while (store_next_slot(d->store, &cursor, &slot))
		if (slot != SLOT_LEDGER && slot != SLOT_DISPATCHER)
			list_slot(d, slot, ret);
	return 0;
}

SUSPENDS static int recover_segments(struct recovery *r)
{
	struct old_segments old = {0};
	int e = list_old(r->d, &old);

	for (size_t i = 0; e == 0 && i < old.n; i++) {
		struct store_segment *s = store_find(r->d->store, old.sequences[i]);
		if (s)
			e = recover_segment(r, s);
	}
	free(old.sequences);
	return e;
}

/* ---- what was written by ourselves in an earlier life ---- */

struct own_sync {
	struct disk_op op;
	struct recovery *r;
	uint64_t sequence;
};

static void own_synced(struct disk_op *op, int result)
{
	struct own_sync *o = CONTAINER_OF(op, struct own_sync, op);
	struct recovery *r = o->r;
	const struct store_segment *s = store_find(r->d->store, o->sequence);

	if (result < 0) {
		r->unsynced = result;
		dispatcher_log_damage(s ? s->name : "ledger", 0, 0, strerror(-result));
	}
	r->syncing--;
	cond_broadcast(&r->synced);
	free(o);
}

SUSPENDS static void sync_own(struct recovery *r)
{
	static const uint16_t slots[] = {SLOT_DISPATCHER, SLOT_LEDGER};

	cond_init(&r->synced);
	for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
		struct store_segment *s = NULL;
		while ((s = store_next(r->d->store, slots[i], s))) {
			struct own_sync *o = NULL;
			if (s->state != SEGMENT_SEALED)
				continue; /* of this life */
			o = calloc(1, sizeof(*o));
			if (!o)
				abort();
			*o = (struct own_sync){
				.op.done = own_synced, .r = r, .sequence = s->head.sequence};
			r->syncing++;
			r->d->seam->ops->sync(s->file, &o->op);
		}
	}
	/* The operations point here: no other end than theirs. */
	while (r->syncing > 0)
		if (cond_wait(&r->synced, USEC_INFINITY) < 0)
			(void)fiber_yield();
}

/* ---- the start ---- */

SUSPENDS static void ask_deliverers(struct dispatcher *d)
{
	uint64_t until = loop_now_usec() + INFLIGHT_WAIT_USEC;

	d->replayed = true;
	deliverers_ask(d);
	while (!deliverers_answered(d))
		if (cond_wait(&d->answers, until) < 0)
			break;
}

/* Has the queue been started in this life of the kernel, with all its suspects noted (they stand
 * before the note of the boot)? Otherwise the last entries may be missing, perhaps all of them:
 * only a spool that never had a ledger has none to miss. */
static bool same_boot(struct recovery *r)
{
	static const uint8_t unknown[sizeof(r->boot)];
	struct store_segment *s = NULL;

	if (r->boot_known)
		return memcmp(r->boot, r->d->seam->boot_id, sizeof(r->boot)) == 0 &&
		       memcmp(r->boot, unknown, sizeof(r->boot)) != 0;
	while ((s = store_next(r->d->store, SLOT_LEDGER, s)))
		if (s->state == SEGMENT_SEALED)
			return false;
	return true;
}

static void start(struct recovery *r, bool same)
{
	struct dispatcher *d = r->d;
	int e = queue_start(d->queue, loop_now_usec(), loop_wall_usec(), same);

	if (e < 0)
		abort();
	if (!same || !r->boot_known)
		dispatcher_ledger_boot(d);
	d->started = true;
	if (r->unsynced < 0)
		queue_ledger_durable(d->queue, 0, r->unsynced);
	dispatcher_take_held(d);
	store_recovered(d->store);
	d->recycling = true;
	loop_defer(&d->turn);
	struct log_line *l = log_begin(LOG_LEVEL_INFO, "recovered");
	log_u64(l, "messages", r->live);
	log_u64(l, "commits", r->commits);
	log_u64(l, "entries", r->entries);
	log_str(l, "boot", same ? "same" : "new");
	log_end(l);
}

void dispatcher_recover(void *arg)
{
	struct dispatcher *d = arg;
	struct recovery r = {.d = d, .arena = arena_new(MESSAGE_ARENA_MAX)};

	if (!r.arena)
		abort();
	marker_open(&r.marker, role_fd(d->process, "spool"));
	int e = recover_ledger(&r);
	bool same = same_boot(&r);
	dispatcher_ledger_wake(d);
	if (e == 0)
		e = recover_segments(&r);
	arena_free(r.arena);
	marker_close(&r.marker);
	if (e < 0) {
		/* Starting with half a queue would lose the other half. */
		role_failed(d->process, "cannot read the spool: %s", strerror(-e));
		log_text(LOG_LEVEL_ERROR, "recovery-failed", "%s", strerror(-e));
		log_flush();
		_exit(70);
	}
	sync_own(&r);
	ask_deliverers(d);
	start(&r, same);
}
