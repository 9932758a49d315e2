/* The store, the ledger and the receivers' segments under the simulated dispatcher: see
 * queue/dispatcher_spool.c and dispatcher_receiver.c, whose rules these are. */
#include "desk.h"

#include "queue/reclaim.h"

#include <inttypes.h>
#include <stdlib.h>

#define CHECKPOINT_SLICE 20u

/* ---- the store's calls ---- */

static void give_own(struct desk *d, const struct store_segment *s)
{
	struct disk_file *file = NULL;

	if (d->seam->ops->open(d->seam->disk, s->name, false, &file) < 0) {
		store_release(d->store, s->head.sequence);
		return;
	}
	if (!d->own_first)
		d->own_first = s->head.sequence;
	writer_give_segment(d->writer, file, &s->head);
}

static struct seam *receiver_seam_of(struct desk *d, const struct peer *p)
{
	struct receiver *r = d->w->receivers[p->index];

	return r && !p->link->peer_left ? receiver_seam(r) : NULL;
}

static void receiver_give(struct desk *d, uint16_t slot, struct store_segment *s)
{
	struct peer *p = desk_peer(d, PEER_RECEIVER, slot - 1u);
	struct seam *theirs =
		p && p->wants && p->n_given < GIVEN_MAX ? receiver_seam_of(d, p) : NULL;

	if (!theirs) {
		/* Empty: it comes back as a spare. */
		store_release(d->store, s->head.sequence);
		return;
	}
	struct said said = {.kind = SAY_GIVE, .head = s->head, .n_files = 1};
	said.files = must(calloc(1, sizeof(*said.files)));
	said.files[0] = (struct said_file){s->head.sequence, sim_disk_share(s->file, theirs)};
	desk_say(d, p, said);
	p->given[p->n_given++] = s->head.sequence;
	p->wants = false;
}

static void on_ready(void *arg, uint16_t slot, struct store_segment *s)
{
	struct desk *d = arg;

	trace(d->w, "dispatcher: segment %" PRIu64 " for slot %u", s->head.sequence, slot);
	if (slot == SLOT_LEDGER)
		ledger_give(d->ledger, s);
	else if (slot == SLOT_DISPATCHER)
		give_own(d, s);
	else
		receiver_give(d, slot, s);
	d->turn_due = true;
}

static void on_forgotten(void *arg, uint64_t sequence)
{
	struct desk *d = arg;

	trace(d->w, "dispatcher: segment %" PRIu64 " is forgotten", sequence);
	d->w->count.recycled++;
	world_tempt(d->w);
	desk_late(d, (struct late){.kind = LATE_GONE, .a = sequence});
}

static void on_disk_state(void *arg, bool low, uint64_t free_octets)
{
	struct desk *d = arg;

	(void)free_octets;
	d->low = low;
	d->w->count.disk_low += low;
	list_foreach (n, &d->peers) {
		struct peer *p = CONTAINER_OF(n, struct peer, node);
		if (p->kind == PEER_RECEIVER)
			desk_say(d, p, (struct said){.kind = SAY_ACCEPTING, .a = !low});
	}
}

static void on_error(void *arg, const char *name, int error)
{
	struct desk *d = arg;

	trace(d->w, "store: %s: %d", name, error);
	world_damage(d->w, "a file");
}

const struct store_ops desk_store_ops = {
	.ready = on_ready,
	.forgotten = on_forgotten,
	.disk_state = on_disk_state,
	.error = on_error,
};

/* ---- our own writer ---- */

static void own_need(void *arg)
{
	store_want(((struct desk *)arg)->store, SLOT_DISPATCHER);
}

static void own_sealed(void *arg, uint64_t sequence, uint64_t end)
{
	(void)end;
	holds_own_ended(&((struct desk *)arg)->holds, sequence);
}

static void own_retired(void *arg, uint64_t sequence, int error)
{
	struct desk *d = arg;

	(void)error;
	compact_retired(d->compactor, sequence);
	holds_own_ended(&d->holds, sequence);
}

static void own_want_flush(void *arg)
{
	((struct desk *)arg)->turn_due = true;
}

const struct writer_ops desk_writer_ops = {
	.need_segment = own_need,
	.sealed = own_sealed,
	.retired = own_retired,
	.want_flush = own_want_flush,
};

/* ---- the ledger ---- */

void desk_ledger(void *arg, uint8_t type, struct span payload)
{
	struct desk *d = arg;
	int r = ledger_append(d->ledger, type, payload);

	if (r == -EMSGSIZE || r == -ENOMEM)
		desk_die(d, "the ledger lost an entry");
	if (r < 0)
		d->ledger_failed = true;
}

bool desk_ledger_write(struct desk *d)
{
	d->ledger_failed = ledger_write(d->ledger) < 0;
	d->w->count.ledger_errors += d->ledger_failed;
	return !d->ledger_failed;
}

struct sync_ticket {
	struct writer_ticket t;
	struct desk *d;
	uint64_t ticket;
};

static void on_synced(struct writer_ticket *t, int result)
{
	struct sync_ticket *s = CONTAINER_OF(t, struct sync_ticket, t);
	struct desk *d = s->d;

	if (!d->closing) {
		trace(d->w, "dispatcher: ledger ticket %" PRIu64 ": %d", s->ticket, result);
		d->w->count.sync_errors += result < 0;
		desk_event(d);
		queue_ledger_durable(d->queue, s->ticket, result);
	}
	free(s);
}

void desk_ledger_sync(void *arg, uint64_t ticket)
{
	struct desk *d = arg;
	struct sync_ticket *s = must(calloc(1, sizeof(*s)));

	*s = (struct sync_ticket){.t.done = on_synced, .d = d, .ticket = ticket};
	ledger_sync(d->ledger, &s->t);
}

static void checkpoint_begin(struct desk *d)
{
	size_t n = 0, cap = store_count(d->store) + 1;
	struct queue_segment_state *states = must(calloc(cap, sizeof(*states)));
	uint32_t cursor = 0;
	uint16_t slot;

	if (ledger_checkpoint_begin(d->ledger) < 0) {
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
	d->checkpointing = true;
	d->checkpoint_wanted = false;
	queue_checkpoint_begin(d->queue, states, n);
	desk_ledger(d, ENTRY_BOOT, span_make(d->seam->boot_id, sizeof(d->boot)));
	trace(d->w, "dispatcher: checkpoint of %zu segments begins", n);
	free(states);
}

void desk_checkpoint_run(struct desk *d)
{
	if (!d->checkpointing && !d->ledger_failed && !store_has_claimed(d->store) &&
		!compact_is_committing(d->compactor) &&
		(d->checkpoint_wanted || queue_checkpoint_wanted(d->queue)))
		checkpoint_begin(d);
	if (!d->checkpointing)
		return;
	if (queue_checkpoint_slice(d->queue, CHECKPOINT_SLICE)) {
		d->turn_due = true;
		return;
	}
	d->checkpointing = false;
	d->w->count.checkpoints++;
	world_tempt(d->w);
	ledger_checkpoint_end(d->ledger);
}

/* ---- commits ---- */

static bool segment_stays(const struct desk *d, const struct store_segment *s)
{
	return !d->recycling || s->state == SEGMENT_OPEN || s->live > 0;
}

void desk_take(struct desk *d, const struct held_notice *n)
{
	struct store_segment *s = store_find(d->store, n->ref.segment);
	struct message m;

	int r = s && s->head.slot == n->slot && segment_stays(d, s) ? 0 : -ENOENT;
	if (r == -ENOENT && queue_knows(d->queue, n->id))
		return;
	if (r == 0)
		r = desk_load(d, n->id, &n->ref, &m);
	if (r == 0)
		r = recover_check_commit(d->store, s, &m);
	for (uint32_t i = 0; r == 0 && i < m.n_pieces; i++) {
		const struct store_segment *p =
			m.pieces[i].is_inline ? s : store_find(d->store, m.pieces[i].piece.segment);
		if (n->slot != SLOT_DISPATCHER && (!p || !segment_stays(d, p)))
			r = -EPERM;
	}
	if (r == 0) {
		desk_event(d);
		r = queue_committed(d->queue, &m, &n->ref);
	}
	trace(d->w, "dispatcher: notice of %" PRIx64 " at %" PRIu64 ":%" PRIu64 ": %d", n->id,
		n->ref.segment, n->ref.offset, r);
	if (r == 1)
		r = holds_take(&d->holds, &m, &n->ref);
	if (r == -EIO) { /* its next life finds it */
		desk_die(d, "a COMMIT cannot be read");
		return;
	}
	if (r >= 0) {
		store_known(d->store, &n->ref);
		return;
	}
	world_damage(d->w, "a notice");
	if (s && s->head.slot == n->slot)
		s->damaged = true;
}

void desk_notice(struct desk *d, const struct held_notice *n)
{
	if (d->phase == DESK_STARTED) {
		desk_take(d, n);
		return;
	}
	d->notices = must(realloc(d->notices, (d->n_notices + 1) * sizeof(*d->notices)));
	d->notices[d->n_notices++] = *n;
}

/* ---- segments back ---- */

static void on_found(void *arg, uint16_t slot, uint64_t id, const struct record_ref *ref)
{
	struct desk *d = arg;

	d->w->count.late_commits++;
	desk_notice(d, &(struct held_notice){slot, id, *ref});
}

static void rescan_damage(
	void *arg, const struct store_segment *s, uint64_t offset, uint64_t octets)
{
	struct desk *d = arg;

	trace(d->w, "rescan: segment %" PRIu64 " is damaged at %" PRIu64 ", %" PRIu64 " octets",
		s->head.sequence, offset, octets);
	world_damage(d->w, "a segment");
}

static void on_failed(void *arg, const struct store_segment *s, int error)
{
	struct desk *d = arg;

	trace(d->w, "segment %" PRIu64 " cannot be synced: %d", s->head.sequence, error);
	world_damage(d->w, "a segment that cannot be synced");
}

static void on_released(void *arg, uint64_t sequence)
{
	struct desk *d = arg;

	trace(d->w, "dispatcher: segment %" PRIu64 " is reclaimed", sequence);
	d->w->count.reclaimed++;
}

static bool is_given(void *arg, uint64_t sequence)
{
	const struct desk *d = arg;

	list_foreach (n, &d->peers) {
		const struct peer *p = CONTAINER_OF(n, struct peer, node);
		for (unsigned i = 0; i < p->n_given; i++)
			if (p->given[i] == sequence)
				return true;
	}
	return false;
}

static bool has_started(void *arg)
{
	return ((const struct desk *)arg)->phase == DESK_STARTED;
}

static bool has_ended(void *arg)
{
	return ((const struct desk *)arg)->closing;
}

void desk_reclaim(struct desk *d, uint16_t slot)
{
	static const struct reclaim_ops ops = {
		.is_given = is_given,
		.started = has_started,
		.ended = has_ended,
		.found = on_found,
		.damage = rescan_damage,
		.failed = on_failed,
		.released = on_released,
	};

	reclaim_slot(d->seam, d->store, slot, &ops, d);
}

void desk_claim(struct desk *d)
{
	list_foreach (n, &d->peers) {
		const struct peer *p = CONTAINER_OF(n, struct peer, node);
		struct store_segment *s = NULL;
		while (p->kind == PEER_RECEIVER &&
			(s = store_next(d->store, (uint16_t)(p->index + 1), s)))
			store_claim(d->store, s->head.sequence);
	}
}

static void on_segment_back(struct peer *p, uint64_t sequence)
{
	struct store_segment *s = store_find(p->d->store, sequence);

	for (unsigned i = 0; s && i < p->n_given; i++) {
		if (p->given[i] != sequence)
			continue;
		p->given[i] = p->given[--p->n_given];
		store_release(p->d->store, sequence);
		return;
	}
}

void desk_receiver_frame(struct peer *p, const struct said *s)
{
	uint16_t slot = (uint16_t)(p->index + 1);

	if (!p->spoke) {
		p->spoke = true;
		desk_reclaim(p->d, slot);
	}
	if (s->kind == SAY_WANT) {
		p->wants = true;
		store_want(p->d->store, slot);
	} else if (s->kind == SAY_COMMITTED) {
		desk_notice(p->d, &(struct held_notice){slot, s->a, s->ref});
	} else {
		on_segment_back(p, s->a);
	}
}
