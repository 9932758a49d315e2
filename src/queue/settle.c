/* The end of every step on a message. A step (an outcome, answers of the directory, a timer, a
 * command) changes recipients and marks them; settling then does, in this order:
 *
 * 1. addresses that several recipients expanded to are merged: one copy each;
 * 2. recipients that failed in this step get one event number together: one report;
 * 3. one ledger entry for all that changed, or DONE when nothing is left to do;
 * 4. reports wait until that entry is durable;
 * 5. recipients that may go are grouped by next hop into batches at their sites.
 *
 * The common message needs two entries in its life: HANDED (jobs.c) and DONE. */
#include "queue/queue_internal.h"

#include <stdlib.h>

void queue_dissolve(struct queue *q, struct mail *m)
{
	while (!list_empty(&m->batches)) {
		struct batch *b = CONTAINER_OF(m->batches.next, struct batch, of_mail);
		uint32_t i = b->first;
		for (uint32_t n = b->n; n > 0; n--) {
			struct rcpt *r = &m->rcpts[i];
			i = r->next;
			queue_rcpt_set(q, m, r, RCPT_ROUTED);
			queue_rcpt_touch(q, m, r, false);
		}
		queue_batch_free(q, b);
	}
}

static void rcpt_merge(struct queue *q, struct mail *m, struct rcpt *r)
{
	queue_rcpt_set(q, m, r, RCPT_MERGED);
	r->event = 0;
	queue_rcpt_touch(q, m, r, true);
}

/* Was its address found in this step? Routed again counts too, which is harmless: the addresses of
 * recipients that are through with this differ. */
static bool is_fresh(const struct rcpt *r)
{
	return r->state == RCPT_ROUTED || (rcpt_is_live(r) && (r->flags & RF_DIRTY));
}

static void merge_doubles(struct queue *q, struct mail *m)
{
	m->flags &= (uint16_t)~MAIL_NEW;
	if (m->n_rcpts == 1)
		return;
	struct map *seen = map_new(q->settings.seed);
	if (!seen)
		abort();
	for (int fresh = 0; fresh < 2; fresh++) {
		for (uint32_t i = 0; i < m->n_rcpts; i++) {
			struct rcpt *r = &m->rcpts[i];
			if (!(r->flags & RF_EXPANDED) || r->state == RCPT_MERGED ||
				(r->flags & RF_NOTICE) || is_fresh(r) != (fresh == 1))
				continue;
			int e = map_put(seen, rcpt_address(r), r);
			if (e == -EEXIST && fresh)
				rcpt_merge(q, m, r);
			else if (e == -ENOMEM)
				abort();
		}
	}
	map_free(seen);
}

/* What failed (or succeeded) together is one event; 0: nothing did. */
static uint32_t assign_event(struct queue *q, struct mail *m, enum rcpt_state state)
{
	uint32_t event = 0;

	for (size_t i = 0; i < q->n_touched; i++) {
		struct rcpt *r = &m->rcpts[q->touched[i]];
		if (r->state != state || r->event)
			continue;
		if (!event)
			event = m->next_event++;
		r->event = event;
	}
	return event;
}

static void finish(struct queue *q, struct mail *m)
{
	m->flags |= MAIL_DONE;
	list_remove(&m->ask);
	queue_mail_timer(q, m);
	q->live_mails--;
	queue_entry(q, &(struct entry){.type = ENTRY_DONE, .id = m->id});
	queue_say(q, "done", m, NULL, NULL, SPAN_NULL);
	queue_after(q, EFFECT_FORGET, m->id, 0);
}

/* Children stand before the recipient they came from, whose record tells their number: if a crash
 * takes parts of a cut entry, the alias is asked again (ghost_join), its members never forgotten.
 */
static void write_changes(struct queue *q, struct mail *m, const struct handed *ended)
{
	bool any = ended != NULL;

	for (size_t i = 0; !any && i < q->n_touched; i++)
		any = m->rcpts[q->touched[i]].flags & RF_DIRTY;
	if (!any)
		return;
	queue_entry_open(q, ended ? ENTRY_OUTCOME : ENTRY_STATE, m, ended ? ended->id : 0);
	for (int envelope = 0; envelope < 2; envelope++) {
		for (size_t i = 0; i < q->n_touched; i++) {
			const struct rcpt *r = &m->rcpts[q->touched[i]];
			if ((r->flags & RF_DIRTY) && (q->touched[i] < m->n_env) == (envelope == 1))
				queue_entry_rcpt(q, m, r);
		}
	}
	queue_entry_close(q);
}

static struct batch *batch_new(struct mail *m, struct next_hop *hop)
{
	/* Not a part of the message: what is held or deferred needs none, and that may be very
	 * many.
	 */
	struct batch *b = malloc(sizeof(*b));

	if (!b)
		abort();
	*b = (struct batch){.m = m, .hop = hop};
	return b;
}

static void regroup(struct queue *q, struct mail *m, bool front)
{
	for (size_t i = 0; i < q->n_touched; i++) {
		uint32_t index = q->touched[i];
		struct rcpt *r = &m->rcpts[index];
		if (r->state != RCPT_ROUTED)
			continue;
		struct batch *b = r->hop->open;
		if (!b) {
			b = r->hop->open = batch_new(m, r->hop);
			b->first = index;
		} else {
			m->rcpts[b->last].next = index;
		}
		b->last = index;
		b->n++;
		queue_rcpt_set(q, m, r, RCPT_READY);
	}
	for (size_t i = 0; i < q->n_touched; i++) {
		const struct rcpt *r = &m->rcpts[q->touched[i]];
		if (r->state != RCPT_READY || !r->hop->open)
			continue;
		queue_batch_add(q, r->hop->open, front || (m->flags & MAIL_FRONT));
		r->hop->open = NULL;
	}
	m->flags &= (uint16_t)~MAIL_FRONT;
}

void queue_untouch(struct queue *q, struct mail *m)
{
	for (size_t i = 0; i < q->n_touched; i++)
		m->rcpts[q->touched[i]].flags &= (uint16_t)~RF_TOUCHED;
	q->n_touched = 0;
}

void queue_settle(struct queue *q, struct mail *m, const struct handed *ended, bool front)
{
	uint32_t failed = assign_event(q, m, RCPT_FAILED);
	uint32_t succeeded = assign_event(q, m, RCPT_SUCCEEDED);
	if (m->live == 0 && !(m->flags & MAIL_DONE))
		finish(q, m);
	else if (m->live > 0)
		write_changes(q, m, ended);
	if (failed)
		queue_after(q, EFFECT_REPORT, m->id, failed);
	if (succeeded)
		queue_after(q, EFFECT_REPORT, m->id, succeeded);
	regroup(q, m, front);
	for (size_t i = 0; i < q->n_touched; i++)
		m->rcpts[q->touched[i]].flags &= (uint16_t)~RF_DIRTY;
	queue_untouch(q, m);
}

void queue_settle_all(struct queue *q, struct mail *m, bool front)
{
	if (m->flags & MAIL_NEW)
		merge_doubles(q, m);
	for (uint32_t i = 0; i < m->n_rcpts; i++) {
		struct rcpt *r = &m->rcpts[i];
		if (r->state == RCPT_ROUTED || (r->flags & RF_DIRTY))
			queue_rcpt_touch(q, m, r, false);
	}
	queue_settle(q, m, NULL, front);
}
