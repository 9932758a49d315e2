/* A recipient's state changes. queue_rcpt_set is the one place that moves a recipient from state to
 * state, so that the counts are right by construction; the verbs around it (fail, defer, hold,
 * drop) say the event and mark what the ledger must hear. None of them writes: a step on a message
 * ends with queue_settle, which makes one entry of all that changed. */
#include "queue/queue_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define NOTE_TEXT   1024u
#define NOTE_REMOTE 256u

struct note *note_new(
	uint16_t code, bool remote_said, struct span enhanced, struct span text, struct span remote)
{
	enhanced = span_head(enhanced, UINT8_MAX);
	text = span_head(text, NOTE_TEXT);
	remote = span_head(remote, NOTE_REMOTE);
	size_t octets = enhanced.len + text.len + remote.len;
	struct note *n = malloc(sizeof(*n) + octets);
	if (!n)
		abort();
	*n = (struct note){.refs = 1,
		.code = code,
		.remote_said = remote_said,
		.enhanced_len = (uint8_t)enhanced.len,
		.text_len = (uint16_t)text.len,
		.remote_len = (uint16_t)remote.len};
	char *at = n->octets;
	if (enhanced.len)
		memcpy(at, enhanced.ptr, enhanced.len);
	if (text.len)
		memcpy(at + enhanced.len, text.ptr, text.len);
	if (remote.len)
		memcpy(at + enhanced.len + text.len, remote.ptr, remote.len);
	return n;
}

struct note *note_ref(struct note *n)
{
	if (n)
		n->refs++;
	return n;
}

void note_unref(struct note *n)
{
	if (n && --n->refs == 0)
		free(n);
}

bool note_equal(const struct note *a, const struct note *b)
{
	return a->code == b->code && a->remote_said == b->remote_said &&
	       span_equal(note_enhanced(a), note_enhanced(b)) &&
	       span_equal(note_text(a), note_text(b)) && span_equal(note_remote(a), note_remote(b));
}

struct span note_enhanced(const struct note *n)
{
	return n ? span_make(n->octets, n->enhanced_len) : SPAN_NULL;
}

struct span note_text(const struct note *n)
{
	return n ? span_make(n->octets + n->enhanced_len, n->text_len) : SPAN_NULL;
}

struct span note_remote(const struct note *n)
{
	return n ? span_make(n->octets + n->enhanced_len + n->text_len, n->remote_len) : SPAN_NULL;
}

static bool state_is_pending(unsigned state)
{
	return state == RCPT_EXPANDING || state == RCPT_ROUTING;
}

void queue_rcpt_set(struct queue *q, struct mail *m, struct rcpt *r, enum rcpt_state state)
{
	bool owed = rcpt_owes_report(r);

	assert(!(m->flags & MAIL_GHOST));
	q->by_state[r->state]--;
	q->by_state[state]++;
	if (state_is_pending(r->state))
		m->pending--;
	if (state_is_pending(state))
		m->pending++;
	if (rcpt_is_live(r))
		m->live--;
	r->state = (uint8_t)state;
	if (rcpt_is_live(r))
		m->live++;
	r->flags &= (uint16_t) ~(RF_ASKED | RF_GATED);
	/* One that was told keeps its event's number, so that no other gets it after a checkpoint.
	 */
	if (rcpt_owes_report(r) || (!rcpt_is_live(r) && !owed))
		r->event = 0;
	if (state >= RCPT_HELD)
		r->flags &= (uint16_t) ~(RF_HOLD | RF_DROP);
	if (state >= RCPT_SUCCEEDED)
		queue_rcpt_hop(q, r, NULL);
}

void queue_rcpt_address(struct rcpt *r, struct span address)
{
	if (r->address && span_equal(text_span(r->address), address))
		return;
	if (r->flags & RF_OWN)
		free((char *)(uintptr_t)r->address);
	r->address = text_new(address);
	r->flags |= RF_OWN;
}

void queue_rcpt_hop(struct queue *q, struct rcpt *r, struct next_hop *hop)
{
	if (r->hop)
		queue_hop_unref(q, r->hop);
	r->hop = hop;
}

void queue_rcpt_note(struct rcpt *r, struct note *n)
{
	note_unref(r->note);
	r->note = n;
}

void queue_rcpt_touch(struct queue *q, struct mail *m, struct rcpt *r, bool dirty)
{
	if (dirty)
		r->flags |= RF_DIRTY;
	if (r->flags & RF_TOUCHED)
		return;
	r->flags |= RF_TOUCHED;
	q->touched = queue_grow(q->touched, &q->cap_touched, q->n_touched + 1, sizeof(*q->touched));
	q->touched[q->n_touched++] = (uint32_t)(r - m->rcpts);
}

void queue_rcpt_fail(struct queue *q, struct mail *m, struct rcpt *r)
{
	queue_rcpt_set(q, m, r, RCPT_FAILED);
	r->due = USEC_INFINITY;
	queue_say(q, "failed", m, r, r->note, SPAN_NULL);
	queue_rcpt_touch(q, m, r, true);
	if (rcpt_wants(m, r, NOTIFY_FAILURE))
		return;
	/* RFC 5321 4.5.5, 6.1: a message without a reverse path is never answered; RFC 3461 5.2.6:
	 * nor where NOTIFY says no. */
	queue_rcpt_set(q, m, r, RCPT_DROPPED);
	queue_say(q, "bounced", m, r, r->note, SPAN_LIT("no-report"));
}

void queue_rcpt_succeed(struct queue *q, struct mail *m, struct rcpt *r, struct note *n)
{
	queue_rcpt_note(r, n);
	queue_rcpt_set(q, m, r, RCPT_SUCCEEDED);
	r->due = USEC_INFINITY;
	queue_rcpt_touch(q, m, r, true);
}

void queue_rcpt_expire(struct queue *q, struct mail *m, struct rcpt *r)
{
	struct span text = note_text(r->note);
	bool said = r->note && r->note->remote_said;

	if (!text.len)
		text = SPAN_LIT("delivery time expired");
	queue_rcpt_note(r, note_new(r->note ? r->note->code : 0, said, SPAN_LIT("5.4.7"), text,
				   note_remote(r->note)));
	queue_say(q, "expired", m, r, r->note, SPAN_NULL);
	queue_rcpt_fail(q, m, r);
}

void queue_rcpt_defer(struct queue *q, struct mail *m, struct rcpt *r)
{
	char detail[64];

	if (r->attempts < UINT16_MAX)
		r->attempts++;
	if (q->now >= queue_expire_at(q, m)) {
		queue_rcpt_expire(q, m, r);
		return;
	}
	uint64_t wait = queue_retry_wait(q, r->attempts);
	queue_rcpt_set(q, m, r, RCPT_DEFERRED);
	r->due = q->now + wait;
	queue_mail_due(q, m, r->due);
	(void)snprintf(detail, sizeof(detail), "attempts=%u next=%llu.%03us", r->attempts,
		(unsigned long long)(wait / USEC_PER_SEC),
		(unsigned)(wait % USEC_PER_SEC / USEC_PER_MSEC));
	queue_say(q, "deferred", m, r, r->note, span_str(detail));
	queue_rcpt_touch(q, m, r, true);
}

void queue_rcpt_hold(struct queue *q, struct mail *m, struct rcpt *r)
{
	queue_rcpt_set(q, m, r, RCPT_HELD);
	queue_say(q, "held", m, r, r->note, SPAN_NULL);
	queue_rcpt_touch(q, m, r, true);
}

void queue_rcpt_drop(struct queue *q, struct mail *m, struct rcpt *r, struct span detail)
{
	queue_rcpt_set(q, m, r, RCPT_DROPPED);
	queue_say(q, "dropped", m, r, r->note, detail);
	queue_rcpt_touch(q, m, r, true);
}

void queue_rcpt_again(struct queue *q, struct mail *m, struct rcpt *r)
{
	if (r->flags & RF_DROP) {
		queue_rcpt_drop(q, m, r, SPAN_NULL);
	} else if (r->flags & RF_HOLD) {
		queue_rcpt_hold(q, m, r);
	} else if (r->hop) {
		queue_rcpt_set(q, m, r, RCPT_ROUTED);
		queue_rcpt_touch(q, m, r, false);
		queue_mail_due(q, m, queue_expire_at(q, m)); /* it passed by while in flight */
	} else {
		queue_rcpt_set(q, m, r, r->flags & RF_EXPANDED ? RCPT_ROUTING : RCPT_EXPANDING);
		queue_ask(q, m);
	}
}
