/* Writing to the ledger, and what waits for it.
 *
 * Entries are appended during the steps of a turn; one ledger_sync at the end of queue_run covers
 * all that asked for it. What must not happen before durability (forgetting, telling a deliverer
 * to forget, writing a report) is an effect in a ring, ordered by ticket.
 *
 * When a sync fails, everything since the last good one may be missing on disk: the memory here is
 * the truth then. Effects wait until a checkpoint that was begun after the failure is durable as a
 * whole (queue_checkpoint_wanted tells the owner). */
#include "queue/queue_internal.h"

#include <stdlib.h>

void queue_entry(struct queue *q, const struct entry *e)
{
	buf_reset(&q->entry);
	entry_put(&q->entry, e);
	if (q->entry.error)
		abort();
	q->ops.ledger(q->arg, (uint8_t)e->type, buf_span(&q->entry));
}

void queue_entry_open(struct queue *q, enum entry_type type, const struct mail *m, uint64_t job)
{
	q->entry_head = (struct entry){.type = type,
		.id = m->id,
		.job = job,
		.flags = m->flags & MAIL_WARNED ? ENTRY_WARNED : 0,
		.crashes = m->crashes,
		.via = m->via ? text_span(m->via) : SPAN_NULL};
	buf_reset(&q->entry);
	entry_put(&q->entry, &q->entry_head);
}

static void entry_flush(struct queue *q, enum entry_type type)
{
	if (q->entry.error)
		abort();
	q->ops.ledger(q->arg, (uint8_t)type, buf_span(&q->entry));
	buf_reset(&q->entry);
}

/* An entry that grows too long is cut. The parts of an OUTCOME but the last are HANDED entries (of
 * the same shape): were it cut by a crash, the job would still count as open, and its recipients be
 * named. */
static void entry_cut(struct queue *q)
{
	enum entry_type type = q->entry_head.type;

	if (q->entry.len < QUEUE_ENTRY_OCTETS)
		return;
	entry_flush(q, type == ENTRY_OUTCOME ? ENTRY_HANDED : type);
	entry_put(&q->entry, &q->entry_head);
}

static enum entry_rcpt_state entry_state(const struct rcpt *r)
{
	switch ((enum rcpt_state)r->state) {
	case RCPT_HELD:
		return ENTRY_HELD;
	case RCPT_FAILED:
		/* Its step is not settled yet (a checkpoint comes in between): it fails again. */
		return r->event ? ENTRY_FAILED : ENTRY_PENDING;
	case RCPT_SUCCEEDED:
		return ENTRY_SUCCEEDED; /* without an event it gets one at recovery */
	case RCPT_DELIVERED:
		return ENTRY_DELIVERED;
	case RCPT_REPORTED:
		return ENTRY_REPORTED;
	case RCPT_DROPPED:
		return ENTRY_DROPPED;
	case RCPT_MERGED:
		return ENTRY_MERGED;
	default:
		return ENTRY_PENDING;
	}
}

void queue_entry_rcpt(struct queue *q, const struct mail *m, const struct rcpt *r)
{
	struct entry_rcpt e = {.index = (uint32_t)(r - m->rcpts),
		.origin = r->origin,
		.state = entry_state(r),
		.attempts = r->attempts};

	entry_cut(q);
	e.flags = (uint8_t)((r->flags & RF_EXPANDED ? ENTRY_EXPANDED : 0) |
			    (r->flags & RF_SUSPECT ? ENTRY_SUSPECT : 0) |
			    (r->flags & RF_HOLD ? ENTRY_HOLD : 0) |
			    (r->flags & RF_DROP ? ENTRY_DROP : 0) |
			    (r->flags & RF_RELAYED ? ENTRY_RELAYED : 0) |
			    (r->flags & RF_NOTICE ? ENTRY_NOTICE : 0));
	if (r->flags & RF_OWN)
		e.address = rcpt_address(r);
	/* Of what was reported, too: its number must not come again, not even when the report
	 * itself has been delivered and forgotten. */
	if (e.state != ENTRY_PENDING && e.state != ENTRY_HELD)
		e.event = r->event;
	if (r->state == RCPT_DEFERRED && !(r->flags & RF_GATED))
		e.due_wall_usec = queue_to_wall(q, r->due);
	if (r->note && rcpt_is_live(r) && q->entry_head.type != ENTRY_HANDED) {
		e.has_note = true;
		e.remote_said = r->note->remote_said;
		e.code = r->note->code;
		e.enhanced = note_enhanced(r->note);
		e.text = note_text(r->note);
		e.remote = note_remote(r->note);
	}
	entry_put_rcpt(&q->entry, &e);
}

void queue_entry_close(struct queue *q)
{
	entry_flush(q, q->entry_head.type);
}

void queue_after(struct queue *q, enum effect_kind kind, uint64_t a, uint32_t event)
{
	struct effects *e = &q->effects;

	if (e->n == e->cap) {
		size_t cap = 0;
		struct effect *ring = queue_grow(NULL, &cap, e->cap * 2 + 64, sizeof(*ring));
		for (size_t i = 0; i < e->n; i++)
			ring[i] = e->ring[(e->first + i) % e->cap];
		free(e->ring);
		*e = (struct effects){ring, 0, e->n, cap};
	}
	e->ring[(e->first + e->n) % e->cap] = (struct effect){q->ticket + 1, a, event, kind};
	e->n++;
	q->want_sync = true;
}

static void effect_kept(struct queue *q, uint64_t job)
{
	struct handed *h = map_get_u64(q->jobs, job);

	if (h)
		queue_job_free(q, h);
	q->ops.outcome_kept(q->arg, job);
}

static void effect_forget(struct queue *q, uint64_t id)
{
	struct mail *m = table_remove(&q->mails, id);

	if (!m)
		return;
	/* Nobody gives notice of what was moved: its own segment was given back before. */
	if (!(m->flags & MAIL_MOVED))
		queue_done_add(q, id);
	q->ops.forget(q->arg, id, &m->commit);
	for (uint32_t i = 0; i < m->n_rcpts; i++)
		q->by_state[m->rcpts[i].state]--;
	q->timers--;
	queue_mail_free(q, m);
}

static void effect_report(struct queue *q, uint64_t id, uint32_t event)
{
	struct mail *m = table_get(&q->mails, id);

	if (m && event) {
		queue_report_owed(q, m, event);
		return;
	}
	/* Recovered: all that it owes, by its timer. */
	for (uint32_t i = 0; m && i < m->n_rcpts; i++) {
		if (!rcpt_owes_report(&m->rcpts[i]) || m->rcpts[i].due != QUEUE_REPORT_OWED)
			continue;
		m->rcpts[i].due = q->now;
		queue_mail_due(q, m, q->now);
	}
}

/* An operator's retry of deferred recipients is durable: without that a power failure could hide
 * that they were handed out before their time (see queue_start). */
static void effect_ungate(struct queue *q, uint64_t id)
{
	struct mail *m = table_get(&q->mails, id);
	bool ask = false;

	for (uint32_t i = 0; m && i < m->n_rcpts; i++) {
		struct rcpt *r = &m->rcpts[i];
		if (r->state != RCPT_DEFERRED || !(r->flags & RF_GATED))
			continue;
		queue_rcpt_set(q, m, r, r->flags & RF_EXPANDED ? RCPT_ROUTING : RCPT_EXPANDING);
		ask = true;
	}
	if (ask)
		queue_ask(q, m);
}

void queue_ledger_durable(struct queue *q, uint64_t ticket, int result)
{
	struct effects *e = &q->effects;

	if (result < 0) {
		q->broken = true;
		q->checkpoint.tainted = q->checkpoint.active;
		q->checkpoint.end_ticket = 0;
		return;
	}
	q->durable = MAX(q->durable, ticket);
	if (q->broken) {
		if (!q->checkpoint.end_ticket || ticket < q->checkpoint.end_ticket)
			return;
		q->broken = false;
	}
	while (e->n && e->ring[e->first].ticket <= ticket) {
		struct effect now = e->ring[e->first];
		e->first = (e->first + 1) % e->cap;
		e->n--;
		switch (now.kind) {
		case EFFECT_KEPT:
			effect_kept(q, now.a);
			break;
		case EFFECT_FORGET:
			effect_forget(q, now.a);
			break;
		case EFFECT_REPORT:
			effect_report(q, now.a, now.event);
			break;
		case EFFECT_UNGATE:
			effect_ungate(q, now.a);
			break;
		case EFFECT_MOVED:
			if (q->ops.moved)
				q->ops.moved(q->arg, now.a);
			break;
		}
	}
}
