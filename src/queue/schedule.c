/* When things are due: the retry schedule, warnings, expiry, and the timers that carry them.
 *
 * Each message has one timer, set to the earliest thing that waits. It may fire early (what it
 * waited for went away); it never fires late: whatever sets a due time calls queue_mail_due, and
 * a fired timer looks at all recipients and is set anew. All is monotonic time; wall time goes in
 * at recovery, clamped, and out into the ledger, so that a step of the clock neither expires nor
 * stalls a message.
 *
 * Held recipients do not age out: an operator's hold outlives the schedule, and what is released
 * or recovered after its time gets QUEUE_GRACE_USEC for at least one more attempt. */
#include "queue/queue_internal.h"

uint64_t queue_retry_last(const struct queue *q)
{
	const struct queue_settings *s = &q->settings;

	return s->n_retry ? s->retry[s->n_retry - 1] : 3600 * USEC_PER_SEC;
}

uint64_t queue_retry_wait(struct queue *q, unsigned attempts)
{
	const struct queue_settings *s = &q->settings;
	unsigned i = attempts ? attempts - 1 : 0;
	uint64_t wait = i < s->n_retry ? s->retry[i] : queue_retry_last(q);

	/* Up to 5 % more, so that what failed together does not come back together. */
	return wait + queue_random(q) % (wait / 20 + 1);
}

/* Saturates at both ends: the message may have arrived before the clock's zero. */
static uint64_t since_born(const struct mail *m, uint64_t span)
{
	int64_t age = (int64_t)MIN(span, (uint64_t)INT64_MAX / 2);
	int64_t at = m->born + age;

	return at < 0 ? 0 : (uint64_t)at;
}

static uint64_t life_of(const struct queue *q, const struct mail *m)
{
	return mail_is_mute(m) ? q->settings.bounce_expire : q->settings.expire;
}

void queue_mail_grace(struct queue *q, struct mail *m)
{
	uint64_t life = life_of(q, m), grace = MIN(life, QUEUE_GRACE_USEC);

	if (since_born(m, life) < q->now + grace)
		m->born = (int64_t)(q->now + grace) - (int64_t)MIN(life, (uint64_t)INT64_MAX / 2);
}

uint64_t queue_expire_at(const struct queue *q, const struct mail *m)
{
	uint64_t at = since_born(m, life_of(q, m));

	/* RFC 2852 4.1.4, by-mode R: what is not delivered by then goes back. */
	return m->deliver_by && (m->by_mode & MESSAGE_BY_RETURN) ? MIN(at, m->deliver_by) : at;
}

void queue_mail_born(struct queue *q, struct mail *m, uint64_t age_max)
{
	uint64_t from = MAX(m->arrival_wall, m->hold_until);
	uint64_t age = q->wall > from ? q->wall - from : 0;

	/* RFC 4865: the time that a message is kept back is not part of its life. */
	m->born =
		(int64_t)q->now + (int64_t)queue_mail_held_back(q, m) - (int64_t)MIN(age, age_max);
	if (m->deliver_by)
		m->deliver_by = q->now + (m->deliver_by > q->wall ? m->deliver_by - q->wall : 0);
	queue_mail_grace(q, m);
}

uint64_t queue_mail_held_back(const struct queue *q, const struct mail *m)
{
	return m->hold_until > q->wall ? MIN(m->hold_until - q->wall, QUEUE_FUTURE_USEC) : 0;
}

/* RFC 2852 4.1.4: with by-mode N, the time that the sender named is when to tell of a delay, and
 * then NEVER alone keeps us from it. */
static bool warns_by_time(const struct mail *m)
{
	return m->deliver_by && (m->by_mode & MESSAGE_BY_NOTIFY);
}

bool queue_rcpt_warns(const struct mail *m, const struct rcpt *r)
{
	if (!rcpt_is_waiting(r) && r->state != RCPT_IN_FLIGHT)
		return false;
	if (warns_by_time(m))
		return !(r->notify & NOTIFY_NEVER);
	return rcpt_wants(m, r, NOTIFY_DELAY);
}

static uint64_t warn_at(const struct queue *q, const struct mail *m)
{
	uint64_t at = warns_by_time(m)	 ? m->deliver_by
		      : q->settings.warn ? since_born(m, q->settings.warn)
					 : USEC_INFINITY;

	if (mail_is_mute(m) || (m->flags & (MAIL_WARNED | MAIL_WARNING)))
		return USEC_INFINITY;
	return MAX(at, q->warn_again);
}

uint64_t queue_to_wall(const struct queue *q, uint64_t mono)
{
	if (mono == USEC_INFINITY)
		return 0;
	return mono >= q->now ? q->wall + (mono - q->now) : q->wall - MIN(q->wall, q->now - mono);
}

static uint64_t mail_next(const struct queue *q, const struct mail *m)
{
	uint64_t due = USEC_INFINITY;
	bool waiting = false, warns = false;

	for (uint32_t i = 0; i < m->n_rcpts; i++) {
		const struct rcpt *r = &m->rcpts[i];
		if (r->state == RCPT_DEFERRED || rcpt_owes_report(r))
			due = MIN(due, r->due);
		waiting = waiting || rcpt_is_waiting(r);
		warns = warns || queue_rcpt_warns(m, r);
	}
	if (waiting)
		due = MIN(due, queue_expire_at(q, m));
	if (warns && q->now < queue_expire_at(q, m))
		due = MIN(due, warn_at(q, m));
	return due;
}

void queue_mail_timer(struct queue *q, struct mail *m)
{
	bool done = m->flags & MAIL_DONE;

	heap_set(&q->heap, &m->timer, done ? USEC_INFINITY : mail_next(q, m));
}

void queue_mail_due(struct queue *q, struct mail *m, uint64_t due)
{
	if (!m->timer.place || due < m->timer.due)
		heap_set(&q->heap, &m->timer, due);
}

static void mail_expire(struct queue *q, struct mail *m)
{
	queue_dissolve(q, m);
	for (uint32_t i = 0; i < m->n_rcpts; i++) {
		if (rcpt_is_waiting(&m->rcpts[i]))
			queue_rcpt_expire(q, m, &m->rcpts[i]);
	}
}

/* What is due of the message's recipients: attempts, and reports that could not be written. */
static void mail_wake(struct queue *q, struct mail *m)
{
	bool ask = false;

	for (uint32_t i = 0; i < m->n_rcpts; i++) {
		struct rcpt *r = &m->rcpts[i];
		if (r->state == RCPT_DEFERRED && r->due <= q->now) {
			queue_rcpt_set(
				q, m, r, r->flags & RF_EXPANDED ? RCPT_ROUTING : RCPT_EXPANDING);
			ask = true;
		} else if (rcpt_owes_report(r) && r->due <= q->now) {
			queue_report_owed(q, m, r->event);
		}
	}
	if (ask)
		queue_ask(q, m);
}

static void mail_fire(struct queue *q, struct mail *m)
{
	if (q->now >= queue_expire_at(q, m))
		mail_expire(q, m);
	else if (q->now >= warn_at(q, m))
		queue_report_delay(q, m);
	mail_wake(q, m);
	queue_settle_all(q, m, false);
	queue_mail_timer(q, m);
}

void queue_timers_run(struct queue *q)
{
	for (unsigned i = 0; i < QUEUE_TIMERS_A_RUN; i++) {
		struct timer *t = heap_first(&q->heap);
		if (!t || t->due > q->now)
			return;
		if (t->kind == TIMER_MAIL)
			mail_fire(q, CONTAINER_OF(t, struct mail, timer));
		else
			queue_site_probe(q, CONTAINER_OF(t, struct site, timer));
	}
}
