/* From replay to work. Wall times become monotonic ones, clamped so that a clock that is wrong by
 * years neither expires a message nor makes it wait longer than the schedule; every delivery that
 * may have happened without the ledger knowing is named `possible-duplicate`, once:
 *
 * - a recipient of a HANDED job without OUTCOME, unless a living deliverer still has the job;
 * - after a different boot, whatever was due: HANDED entries are not synced before the job leaves,
 *   so that the power failure may have taken them. What was held, or not due for a while, cannot
 *   have been handed out: what an operator releases waits for its entry to be durable. */
#include "queue/queue_internal.h"

#include <stdlib.h>

/* Wall clocks of two boots may differ by this much without anybody having stepped them. */
#define BOOT_SKEW_USEC (120 * USEC_PER_SEC)
/* Jobs that a power failure took are not numbered again. */
#define BOOT_JOB_GAP (UINT64_C(1) << 20)

void queue_job_alive(struct queue *q, uint64_t job)
{
	struct handed *h = map_get_u64(q->jobs, job);

	assert(!q->started);
	if (h)
		h->alive = true;
}

static bool may_be_tried(const struct rcpt *r)
{
	return r->state == RCPT_EXPANDING || r->state == RCPT_DEFERRED || r->state == RCPT_HELD;
}

/* RF_DIRTY marks what is to be named, and makes settling write it down: the next start is of the
 * same boot, and must know it still. */
static void job_start(struct queue *q, struct mail *m, struct handed *h)
{
	for (uint32_t k = 0; k < h->n; k++) {
		struct rcpt *r = h->rcpts[k] < m->n_rcpts ? &m->rcpts[h->rcpts[k]] : NULL;
		if (!r || !may_be_tried(r))
			continue;
		if (h->alive) {
			r->state = RCPT_IN_FLIGHT;
			r->flight = (uint32_t)h->id;
		} else {
			r->flags |= RF_SUSPECT | RF_DIRTY;
		}
	}
	if (!h->alive)
		queue_job_close(q, h->id);
}

static void jobs_start(struct queue *q, struct mail *m)
{
	for (int alive = 1; alive >= 0; alive--) {
		for (struct handed *h = m->jobs, *next; h; h = next) {
			next = h->next;
			if (h->alive == (alive == 1))
				job_start(q, m, h);
		}
	}
}

static void rcpt_damaged(struct rcpt *r)
{
	queue_rcpt_note(r, note_new(0, false, SPAN_LIT("5.3.0"),
				   SPAN_LIT("its octets in the spool are damaged"), SPAN_NULL));
	r->state = RCPT_HELD;
}

static void rcpt_start(struct queue *q, struct mail *m, struct rcpt *r)
{
	if (r->state == RCPT_EXPANDING && queue_mail_held_back(q, m)) {
		r->state = RCPT_DEFERRED;
		r->due = m->hold_until;
	}
	uint64_t longest =
		m->hold_until && !r->attempts ? QUEUE_FUTURE_USEC : queue_retry_last(q) / 20 * 21;
	uint64_t ahead = r->due > q->wall ? r->due - q->wall : 0;
	bool due = r->state == RCPT_EXPANDING || r->state == RCPT_DEFERRED;

	if (!q->replay.same_boot && due && ahead <= BOOT_SKEW_USEC)
		r->flags |= RF_SUSPECT | RF_DIRTY;
	if ((m->flags & MAIL_DAMAGED) && due)
		rcpt_damaged(r);
	else if (rcpt_owes_report(r))
		r->due = r->event ? QUEUE_REPORT_OWED : USEC_INFINITY;
	else if (due && ahead)
		r->due = q->now + MIN(ahead, longest);
	else if (due)
		r->state = r->flags & RF_EXPANDED ? RCPT_ROUTING : RCPT_EXPANDING;
}

static void rcpt_count(struct queue *q, struct mail *m, struct rcpt *r)
{
	q->by_state[r->state]++;
	m->live += rcpt_is_live(r);
	m->pending += r->state == RCPT_EXPANDING || r->state == RCPT_ROUTING;
	if (m->flags & MAIL_DAMAGED && r->state == RCPT_HELD)
		queue_say(q, "held", m, r, r->note, SPAN_NULL);
	if ((r->flags & RF_DIRTY) && r->state != RCPT_IN_FLIGHT)
		queue_say(q, "possible-duplicate", m, r, NULL, SPAN_NULL);
	if (r->state >= RCPT_HELD)
		r->flags &= (uint16_t) ~(RF_HOLD | RF_DROP);
}

static void mail_start(struct queue *q, struct mail *m)
{
	bool failed = false;

	jobs_start(q, m);
	m->flags &= (uint16_t)~MAIL_GHOST;
	queue_mail_born(q, m, (uint64_t)INT64_MAX / 4);
	q->live_mails++;
	for (uint32_t i = 0; i < m->n_rcpts; i++) {
		struct rcpt *r = &m->rcpts[i];
		rcpt_start(q, m, r);
		rcpt_count(q, m, r);
		failed = failed || rcpt_owes_report(r);
		if (rcpt_owes_report(r) && !r->event)
			r->flags |= RF_DIRTY; /* it gets its event when this is settled */
		/* An operator's word that came while it was in flight. */
		if (rcpt_is_waiting(r) && (r->flags & (RF_HOLD | RF_DROP)))
			queue_rcpt_again(q, m, r);
	}
	if (failed)
		queue_after(q, EFFECT_REPORT, m->id, 0);
	queue_settle_all(q, m, false);
	if (m->pending)
		queue_ask(q, m);
	queue_mail_timer(q, m);
}

/* The ledger speaks of it, no segment has it. */
static void ghost_end(struct queue *q, struct mail *m)
{
	if (m->epoch >= q->replay.whole_epoch)
		queue_say(q, "failed", m, NULL, NULL, SPAN_LIT("no COMMIT in the spool"));
	while (m->jobs)
		queue_job_close(q, m->jobs->id);
	(void)table_remove(&q->mails, m->id);
	queue_mail_free(q, m);
}

int queue_start(struct queue *q, uint64_t now, uint64_t wall, bool same_boot)
{
	uint64_t id = 0;

	assert(!q->started);
	q->now = now;
	q->wall = wall;
	q->replay.same_boot = same_boot;
	if (!same_boot)
		q->next_job += BOOT_JOB_GAP;
	queue_replay_marks(q);
	q->want_sync = !same_boot; /* the suspects, before anybody takes note of the new boot */
	q->started = true;
	for (struct mail *m; (m = table_from(&q->mails, id, &id)); id++) {
		if (mail_texts(m))
			mail_start(q, m);
		else
			ghost_end(q, m);
	}
	if (same_boot && q->live_mails) {
		q->jobs_after = q->ticket + 1;
		q->want_sync = true;
	}
	queue_done_trim(q, false);
	queue_replay_done(q);
	return 0;
}
