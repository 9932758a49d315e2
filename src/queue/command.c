/* The operator's commands: retry, hold, release, drop. Each acts on the recipients that the request
 * matches, in flight or not: a hold or drop of what is in flight takes effect when its flight ends
 * without delivery (RFC 5321 has no way to call a message back).
 *
 * What retry and release make due before its time is gated: it is handed out only when the ledger
 * knows, durably, so that recovery after a power failure may rely on what the ledger says was not
 * due (start.c). */
#include "queue/queue_internal.h"

#include <stdlib.h>

struct step {
	struct queue *q;
	struct mail *m;
	const struct admin_request *request;
	bool acted, gated;
};

static void gate(struct step *t, struct rcpt *r)
{
	r->flags |= RF_GATED;
	queue_rcpt_touch(t->q, t->m, r, true);
	t->acted = t->gated = true;
}

static void rcpt_retry(struct step *t, struct rcpt *r)
{
	if (r->state == RCPT_DEFERRED) {
		gate(t, r);
	} else if (r->state == RCPT_ROUTED) {
		/* Ready until queue_dissolve: back to the head of its line. */
		if (r->hop->site->down)
			queue_site_try(t->q, r->hop->site);
		t->m->flags |= t->request->all ? 0 : MAIL_FRONT;
		t->acted = true;
	} else if (rcpt_owes_report(r) && r->due < QUEUE_REPORT_OWED) {
		r->due = t->q->now;
		t->acted = true;
	}
}

static void in_flight(struct step *t, struct rcpt *r, uint16_t flag)
{
	struct queue *q = t->q;

	r->flags |= flag;
	queue_rcpt_touch(q, t->m, r, true);
	t->acted = true;
	for (const struct handed *h = t->m->jobs; h && q->ops.cancel; h = h->next) {
		if ((uint32_t)h->id == r->flight)
			q->ops.cancel(q->arg, h->id);
	}
}

static void rcpt_hold(struct step *t, struct rcpt *r)
{
	if (r->state == RCPT_IN_FLIGHT) {
		in_flight(t, r, RF_HOLD);
	} else if (rcpt_is_waiting(r)) {
		queue_rcpt_hold(t->q, t->m, r);
		t->acted = true;
	}
}

static void rcpt_release(struct step *t, struct rcpt *r)
{
	if (r->state == RCPT_IN_FLIGHT && (r->flags & RF_HOLD)) {
		r->flags &= (uint16_t)~RF_HOLD;
		queue_rcpt_touch(t->q, t->m, r, true);
		t->acted = true;
	} else if (r->state == RCPT_HELD) {
		queue_rcpt_set(t->q, t->m, r, RCPT_DEFERRED);
		r->due = USEC_INFINITY;
		queue_say(t->q, "released", t->m, r, NULL, t->request->via);
		gate(t, r);
	}
}

static void rcpt_drop(struct step *t, struct rcpt *r)
{
	if (r->state == RCPT_IN_FLIGHT) {
		in_flight(t, r, RF_DROP);
	} else if (rcpt_is_live(r)) {
		queue_rcpt_drop(t->q, t->m, r, SPAN_LIT("by the operator"));
		t->acted = true;
	}
}

static void rcpt_command(struct step *t, struct rcpt *r)
{
	switch (t->request->verb) {
	case ADMIN_QUEUE_RETRY:
		rcpt_retry(t, r);
		break;
	case ADMIN_QUEUE_HOLD:
		rcpt_hold(t, r);
		break;
	case ADMIN_QUEUE_RELEASE:
		rcpt_release(t, r);
		break;
	case ADMIN_QUEUE_DROP:
		rcpt_drop(t, r);
		break;
	default:
		break;
	}
}

/* Which recipients are meant is decided before any changes: ready ones are taken out of their
 * batches, and the request may have named their state. */
static void choose(const struct step *t, bool *chosen)
{
	for (uint32_t i = 0; i < t->m->n_rcpts; i++)
		chosen[i] = rcpt_is_live(&t->m->rcpts[i]) &&
			    queue_match_rcpt(t->m, &t->m->rcpts[i], t->request);
}

static void release_facts(struct step *t)
{
	struct mail *m = t->m;

	m->crashes = 0;
	queue_mail_grace(t->q, m);
	if (!t->request->via.len)
		return;
	free(m->via);
	m->via = text_new(t->request->via);
}

static bool mail_command(struct queue *q, struct mail *m, const struct admin_request *request)
{
	struct step t = {.q = q, .m = m, .request = request};

	if (!queue_match_mail(m, request))
		return false;
	bool *chosen = queue_scratch(q, m->n_rcpts * sizeof(*chosen));
	choose(&t, chosen);
	queue_dissolve(q, m);
	for (uint32_t i = 0; i < m->n_rcpts; i++) {
		if (chosen[i])
			rcpt_command(&t, &m->rcpts[i]);
	}
	if (t.acted && request->verb == ADMIN_QUEUE_RELEASE)
		release_facts(&t);
	queue_settle_all(q, m, false);
	queue_mail_timer(q, m);
	if (t.gated)
		queue_after(q, EFFECT_UNGATE, m->id, 0);
	if (t.acted)
		q->want_sync = true;
	return t.acted;
}

/* retry --all: sites too, whether or not something is ready there. */
static void sites_try(struct queue *q)
{
	size_t cursor = 0;

	for (struct site *s; (s = map_next(q->sites, &cursor));)
		queue_site_try(q, s);
}

bool queue_command_slice(struct queue *q, const struct admin_request *r, uint64_t *cursor,
	unsigned max, uint64_t *count)
{
	assert(q->started);
	if (!queue_request_is_open(r))
		return false;
	for (unsigned looks = 0; looks < max; looks++) {
		bool over;
		struct mail *m = queue_request_next(q, r, cursor, &over);
		if (over) {
			if (r->verb == ADMIN_QUEUE_RETRY && r->all)
				sites_try(q);
			return false;
		}
		*count += m && mail_command(q, m, r);
	}
	return true;
}

uint64_t queue_command(struct queue *q, const struct admin_request *r)
{
	uint64_t cursor = 0, count = 0;

	while (queue_command_slice(q, r, &cursor, UINT32_MAX, &count))
		;
	return count;
}
