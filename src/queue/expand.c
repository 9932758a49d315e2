/* Answers of the directory. Expansion happens once for each recipient of the envelope: an address
 * that stands for itself or for one other stays in its place (nothing is written until it is handed
 * out, HANDED carries the address); one that stands for several gets children behind the
 * envelope's recipients and is merged into them; one that stands for nobody is finished. Routes are
 * asked anew before every further attempt, so that a changed configuration reaches waiting mail.
 *
 * A message goes ahead when all its questions are answered, so that recipients with one next hop
 * travel in one transaction. */
#include "queue/queue_internal.h"

#include <stdio.h>

static const struct {
	enum lookup_status status;
	uint16_t code;
	const char *enhanced, *text;
} failures[] = {
	{LOOKUP_UNKNOWN_USER, 550, "5.1.1", "no such user here"},
	{LOOKUP_NOT_LOCAL, 550, "5.7.1", "relaying denied"},
	{LOOKUP_LOOP, 550, "5.4.6", "aliases that point at each other"},
	{LOOKUP_TOO_MANY, 550, "5.3.4", "an alias with too many members"},
};

static void rcpt_say(struct rcpt *r, uint16_t code, struct span enhanced, struct span text)
{
	queue_rcpt_note(r, note_new(code, false, enhanced, text, SPAN_NULL));
}

static void no_memory(struct queue *q, struct mail *m, struct rcpt *r)
{
	rcpt_say(r, 451, SPAN_LIT("4.3.0"), SPAN_LIT("out of memory"));
	queue_rcpt_defer(q, m, r);
}

static void rcpt_status(struct queue *q, struct mail *m, struct rcpt *r, enum lookup_status status)
{
	for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
		if (failures[i].status != status)
			continue;
		rcpt_say(r, failures[i].code, span_str(failures[i].enhanced),
			span_str(failures[i].text));
		r->flags |= RF_EXPANDED; /* as far as it goes: twice the same is told once */
		queue_rcpt_fail(q, m, r);
		return;
	}
	rcpt_say(r, 451, SPAN_LIT("4.3.0"), SPAN_LIT("address tables cannot be read"));
	queue_rcpt_defer(q, m, r);
}

static void rcpt_hop_answer(struct queue *q, struct mail *m, struct rcpt *r, const struct hop *hop)
{
	struct next_hop *next;

	switch (hop->kind) {
	case HOP_DELIVER:
	case HOP_MX:
		next = queue_hop(q, hop);
		if (!next) {
			no_memory(q, m, r);
			return;
		}
		queue_rcpt_hop(q, r, next);
		queue_rcpt_set(q, m, r, RCPT_ROUTED);
		return;
	case HOP_HOLD:
		rcpt_say(r, 0, hop->enhanced, hop->text);
		queue_rcpt_hold(q, m, r);
		return;
	case HOP_FAIL:
		rcpt_say(r, 550, hop->enhanced.len ? hop->enhanced : SPAN_LIT("5.4.4"), hop->text);
		queue_rcpt_fail(q, m, r);
		return;
	case HOP_TEMPORARY:
		break;
	}
	rcpt_say(r, 451, hop->enhanced.len ? hop->enhanced : SPAN_LIT("4.4.4"), hop->text);
	queue_rcpt_defer(q, m, r);
}

static bool has_notice(const struct mail *m, uint32_t origin)
{
	for (uint32_t i = m->n_env; i < m->n_rcpts; i++) {
		if (m->rcpts[i].origin == origin && (m->rcpts[i].flags & RF_NOTICE))
			return true;
	}
	return false;
}

/* RFC 3461 5.2.7.3 (b): the alias is where the message was sent to, and its success is told by an
 * "expanded" report; a child without an address to deliver to carries what is owed. */
static void add_notice(struct queue *q, struct mail *m, uint32_t origin)
{
	struct rcpt *r = queue_mail_add_rcpt(q, m);

	assert(r); /* counted before */
	r->origin = origin;
	r->flags |= RF_NOTICE | RF_EXPANDED;
	queue_rcpt_address(r, rcpt_envelope(m, r));
	queue_rcpt_succeed(q, m, r,
		note_new(0, false, SPAN_LIT("2.0.0"),
			SPAN_LIT("the address stands for several others"), SPAN_NULL));
}

static void add_children(
	struct queue *q, struct mail *m, uint32_t origin, const struct expand_answer *a)
{
	char detail[48];
	bool notice = rcpt_wants(m, &m->rcpts[origin], NOTIFY_SUCCESS);
	uint16_t suspect = m->rcpts[origin].flags & RF_SUSPECT;

	(void)snprintf(detail, sizeof(detail), "children=%u", a->n_children);
	queue_say(q, "expanded", m, &m->rcpts[origin], NULL, span_str(detail));
	for (uint32_t i = 0; i < a->n_children; i++) {
		struct rcpt *r = queue_mail_add_rcpt(q, m);
		assert(r); /* counted before */
		r->origin = origin;
		r->notify = rcpt_child_notify(m->rcpts[origin].notify);
		r->flags |= (uint16_t)(RF_EXPANDED | RF_DIRTY | suspect);
		queue_rcpt_address(r, a->children[i].address);
		if (suspect)
			queue_say(q, "possible-duplicate", m, r, NULL, SPAN_NULL);
		rcpt_hop_answer(q, m, r, &a->children[i].hop);
	}
	if (notice && !has_notice(m, origin))
		add_notice(q, m, origin);
	struct rcpt *r = &m->rcpts[origin];
	r->flags |= RF_EXPANDED | RF_DIRTY;
	queue_rcpt_set(q, m, r, RCPT_MERGED);
	r->event = a->n_children + notice; /* recovery counts them */
}

static void rcpt_replace(struct queue *q, struct mail *m, struct rcpt *r, struct span address)
{
	if (span_equal(address, rcpt_address(r)))
		return;
	queue_say(q, "expanded", m, r, NULL, SPAN_LIT("children=1"));
	queue_rcpt_address(r, address);
	if (r->flags & RF_SUSPECT)
		queue_say(q, "possible-duplicate", m, r, NULL, SPAN_NULL);
}

static void rcpt_expanded(
	struct queue *q, struct mail *m, struct rcpt *r, const struct expand_answer *a)
{
	if (a->status != LOOKUP_OK) {
		rcpt_status(q, m, r, a->status);
	} else if (a->n_children == 0) {
		r->flags |= RF_EXPANDED;
		queue_rcpt_drop(q, m, r, SPAN_LIT("expands to nobody"));
	} else if (a->n_children == 1) {
		r->flags |= RF_EXPANDED;
		rcpt_replace(q, m, r, a->children[0].address);
		rcpt_hop_answer(q, m, r, &a->children[0].hop);
	} else if (a->n_children >= QUEUE_RCPTS_MAX - m->n_rcpts) {
		rcpt_status(q, m, r, LOOKUP_TOO_MANY);
	} else {
		add_children(q, m, (uint32_t)(r - m->rcpts), a);
	}
}

static void answer_end(struct queue *q, struct mail *m)
{
	queue_untouch(q, m);
	if (m->pending == 0)
		queue_settle_all(q, m, false);
}

void queue_expanded(struct queue *q, const struct expand_answer *a)
{
	struct mail *m;
	struct rcpt *r = queue_ask_take(q, a->token, false, &m);

	if (!r)
		return;
	m->flags |= MAIL_NEW;
	rcpt_expanded(q, m, r, a);
	answer_end(q, m);
}

void queue_routed(struct queue *q, const struct expand_answer *a)
{
	struct mail *m;
	struct rcpt *r = queue_ask_take(q, a->token, true, &m);

	if (!r)
		return;
	if (a->status != LOOKUP_OK || a->n_children != 1)
		rcpt_status(q, m, r, a->status == LOOKUP_OK ? LOOKUP_TEMPORARY : a->status);
	else
		rcpt_hop_answer(q, m, r, &a->children[0].hop);
	answer_end(q, m);
}
