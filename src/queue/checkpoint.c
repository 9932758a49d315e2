/* Checkpoints: the whole live state as entries, so that older ledger segments can be dropped. They
 * are written in slices between ordinary entries, while messages change.
 *
 * BEGIN, SEGMENT for each live segment, then every live message in order of id (its STATE, and a
 * HANDED for each job in flight), then END. Entries are absolute for each recipient and the later
 * one wins, so that a change before or after a message's slice is right in both readings: with the
 * old ledger before it (a crash before END) and without (after END). END makes the rule good that
 * what lies below a segment's known end and was not mentioned since BEGIN is done. */
#include "queue/queue_internal.h"

bool queue_checkpoint_wanted(const struct queue *q)
{
	return q->broken && !q->checkpoint.end_ticket &&
	       (!q->checkpoint.active || q->checkpoint.tainted);
}

void queue_checkpoint_begin(
	struct queue *q, const struct queue_segment_state *segments, size_t n_segments)
{
	q->checkpoint.active = true;
	q->checkpoint.tainted = false;
	q->checkpoint.next_id = 0;
	q->checkpoint.end_ticket = q->checkpoint.barrier = 0;
	queue_entry(q, &(struct entry){.type = ENTRY_BEGIN, .job = q->next_job});
	for (size_t i = 0; i < n_segments; i++)
		queue_entry(q, &(struct entry){.type = ENTRY_SEGMENT,
				       .sequence = segments[i].sequence,
				       .known_end = segments[i].known_end});
}

static bool is_blank(const struct rcpt *r)
{
	return r->state == RCPT_EXPANDING && !r->attempts && !r->note && !(r->flags & ~RF_ASKED);
}

static void write_mail(struct queue *q, const struct mail *m)
{
	queue_entry_open(q, ENTRY_STATE, m, 0);
	for (int envelope = 0; envelope < 2; envelope++) {
		uint32_t end = envelope ? m->n_env : m->n_rcpts;
		for (uint32_t i = envelope ? 0 : m->n_env; i < end; i++) {
			if (!is_blank(&m->rcpts[i]))
				queue_entry_rcpt(q, m, &m->rcpts[i]);
		}
	}
	queue_entry_close(q);
	if (m->flags & MAIL_MOVED)
		queue_write_moved(q, m);
	for (const struct handed *h = m->jobs; h; h = h->next) {
		queue_entry_open(q, ENTRY_HANDED, m, h->id);
		for (uint32_t k = 0; k < h->n; k++) {
			/* An older job's recipients may be elsewhere by now. */
			const struct rcpt *r = &m->rcpts[h->rcpts[k]];
			if (r->state == RCPT_IN_FLIGHT && r->flight == (uint32_t)h->id)
				queue_entry_rcpt(q, m, r);
		}
		queue_entry_close(q);
	}
}

/* END speaks for everything since BEGIN, so that must be durable before it: a power failure could
 * keep END and lose entries before it. */
static bool checkpoint_end(struct queue *q)
{
	if (!q->checkpoint.barrier) {
		q->checkpoint.barrier = ++q->ticket;
		q->ops.ledger_sync(q->arg, q->checkpoint.barrier);
	}
	if (q->durable < q->checkpoint.barrier && !q->checkpoint.tainted)
		return false;
	q->checkpoint.active = false;
	if (q->checkpoint.tainted)
		return true; /* without an END it counts for nothing; another is wanted */
	queue_entry(q, &(struct entry){.type = ENTRY_END});
	if (q->broken)
		q->checkpoint.end_ticket = q->ticket + 1;
	q->want_sync = true;
	return true;
}

bool queue_checkpoint_slice(struct queue *q, unsigned max)
{
	struct mail *m;
	uint64_t id;

	assert(q->checkpoint.active);
	while ((m = table_from(&q->mails, q->checkpoint.next_id, &id))) {
		if (max-- == 0)
			return true;
		q->checkpoint.next_id = id + 1;
		if (!(m->flags & MAIL_DONE))
			write_mail(q, m);
	}
	return !checkpoint_end(q);
}
