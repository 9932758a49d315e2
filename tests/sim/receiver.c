/* A receiver and its clients, by the rules of session/intake.c: segments come from the dispatcher
 * and are a lease that ends with it; nothing is appended under an ended lease, but syncs that run
 * still give their 250; a segment is reported as ended when no draft here has octets in it; each
 * durable commit is noticed before its 250. */
#include "world.h"

#include "spool/draft.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SESSIONS_MAX   6u
#define RECIPIENTS_MAX 8u
#define BODY_MAX       (300u * 1024u)

enum leased_state { LEASED_OPEN, LEASED_SEALED, LEASED_RETIRED };
struct leased {
	struct list node;
	uint64_t sequence;
	enum leased_state state;
};
struct lease {
	struct list node; /* receiver.ended */
	struct receiver *r;
	struct writer *writer;
	struct list segments, sessions;
	unsigned commits;
	bool ended, flush_due;
};
struct session {
	struct list node; /* lease.sessions */
	struct lease *lease;
	struct draft *draft;
	struct writer_ticket ticket;
	struct record_ref commit;
	struct truth_mail plan; /* what is sent */
	uint64_t sent;
	char sender[TRUTH_NAME], head[200];
	bool committing;
};
struct receiver {
	struct world *w;
	struct seam *seam;
	unsigned index;
	struct link *link, *next_link; /* next: the supervisor's word of a new dispatcher waits */
	struct lease *lease;
	struct list ended;
	bool accepting, closing;
	struct said *held; /* notices while there is no dispatcher */
	size_t n_held;
};

static void say(struct receiver *r, struct said s)
{
	link_say(r->link, r->seam, true, s);
}

/* ---- segments ---- */

static bool in_use(const struct lease *l, uint64_t sequence)
{
	list_foreach (n, &l->sessions)
		if (draft_uses(CONTAINER_OF(n, struct session, node)->draft, sequence))
			return true;
	return false;
}

static void report_one(struct lease *l, struct leased *s)
{
	say(l->r, (struct said){.kind = s->state == LEASED_SEALED ? SAY_SEALED : SAY_RETIRED,
			  .a = s->sequence});
	list_remove(&s->node);
	free(s);
}

static void report_unused(struct lease *l)
{
	if (l->ended)
		return;
	list_foreach_safe (n, tmp, &l->segments) {
		struct leased *s = CONTAINER_OF(n, struct leased, node);
		if (s->state != LEASED_OPEN && !in_use(l, s->sequence))
			report_one(l, s);
	}
}

static void segment_ended(struct lease *l, uint64_t sequence, enum leased_state state)
{
	list_foreach (n, &l->segments) {
		struct leased *s = CONTAINER_OF(n, struct leased, node);
		if (s->sequence == sequence && s->state != LEASED_RETIRED)
			s->state = state;
	}
	trace(l->r->w, "receiver %u: segment %" PRIu64 " %s", l->r->index, sequence,
		state == LEASED_SEALED ? "sealed" : "retired");
	report_unused(l);
}

static void on_need(void *arg)
{
	struct lease *l = arg;

	if (!l->ended && !l->r->closing)
		say(l->r, (struct said){.kind = SAY_WANT});
}

static void on_sealed(void *arg, uint64_t sequence, uint64_t end)
{
	struct lease *l = arg;

	(void)end;
	l->r->w->count.sealed++;
	segment_ended(l, sequence, LEASED_SEALED);
}

static void on_retired(void *arg, uint64_t sequence, int error)
{
	struct lease *l = arg;

	(void)error;
	l->r->w->count.retired++;
	segment_ended(l, sequence, LEASED_RETIRED);
}

static void on_want_flush(void *arg)
{
	((struct lease *)arg)->flush_due = true;
}

static const struct writer_ops writer_ops = {
	.need_segment = on_need,
	.sealed = on_sealed,
	.retired = on_retired,
	.want_flush = on_want_flush,
};

/* ---- sessions ---- */

static void plan_done(struct truth_mail *m)
{
	free(m->addresses);
	m->addresses = NULL;
	m->n_addresses = 0;
}

static void session_free(struct session *s)
{
	struct lease *l = s->lease;

	list_remove(&s->node);
	draft_free(s->draft);
	plan_done(&s->plan);
	free(s);
	report_unused(l);
}

/* The first letter says what the directory makes of an address, see peers.c. */
static void plan_recipients(struct world *w, struct truth_mail *m, unsigned n)
{
	static const char kinds[] = "uuuuuuuuuullldhttfn";
	char name[TRUTH_NAME];

	for (unsigned i = 0; i < n; i++) {
		char kind = kinds[below(w, sizeof(kinds) - 1)];
		unsigned site = (unsigned)below(w, SITES), other = (site + 1) % SITES;
		(void)snprintf(
			name, sizeof(name), "%c%" PRIu64 ".%u@s%u", kind, m->serial, i, site);
		bool stands_for_itself = !strchr("ldn", kind);
		int at = truth_address_add(m, name, -1, stands_for_itself);
		if (kind == 'l') {
			(void)snprintf(
				name, sizeof(name), "x%" PRIu64 ".%u@s%u", m->serial, i, site);
			truth_address_add(m, name, at, true);
			(void)snprintf(
				name, sizeof(name), "y%" PRIu64 ".%u@s%u", m->serial, i, other);
			truth_address_add(m, name, at, true);
		} else if (kind == 'd') {
			(void)snprintf(name, sizeof(name), "z%" PRIu64 "@s0", m->serial);
			truth_address_add(m, name, at, true);
		}
	}
}

static uint64_t plan_size(struct world *w)
{
	if (w->large && chance(w, 500))
		return below(w, BODY_MAX);
	switch (below(w, 10)) {
	case 0:
		return below(w, BODY_MAX);
	case 1:
	case 2:
		return below(w, 128 * 1024);
	case 3:
	case 4:
		return below(w, 32 * 1024);
	case 5:
		return 0;
	default:
		return below(w, 2048);
	}
}

static void plan(struct session *s)
{
	struct world *w = s->lease->r->w;
	struct truth_mail *m = &s->plan;

	*m = (struct truth_mail){.serial = ++w->serial, .body_len = plan_size(w)};
	m->null_sender = chance(w, 100);
	if (!m->null_sender)
		(void)snprintf(s->sender, sizeof(s->sender), "r%" PRIu64 "@s%u", m->serial,
			(unsigned)below(w, SITES));
	if (chance(w, 700) || m->body_len == 0)
		(void)snprintf(s->head, sizeof(s->head),
			"Received: from client by receiver %u\r\n"
			"\tid %" PRIu64 "\r\n",
			s->lease->r->index, m->serial);
	plan_recipients(w, m, 1 + (unsigned)below(w, chance(w, 300) ? RECIPIENTS_MAX : 2));
}

bool receiver_submit(struct receiver *r)
{
	struct lease *l = r->lease;
	struct world *w = r->w;
	unsigned n = 0;

	if (!l || !r->accepting || r->closing)
		return false;
	list_foreach (it, &l->sessions)
		n++;
	if (n >= SESSIONS_MAX)
		return false;
	struct session *s = must(calloc(1, sizeof(*s)));
	s->lease = l;
	if (draft_new(l->writer, &s->draft) < 0) {
		free(s);
		w->count.refused++;
		return false;
	}
	list_push_back(&l->sessions, &s->node);
	plan(s);
	w->count.submitted++;
	trace(w,
		"receiver %u: MAIL serial %" PRIu64 " id %" PRIx64 ", %" PRIu64 " octets, %u names",
		r->index, s->plan.serial, draft_id(s->draft), s->plan.body_len,
		s->plan.n_addresses);
	return true;
}

static void notice(struct receiver *r, uint64_t id, const struct record_ref *ref)
{
	struct said s = {.kind = SAY_COMMITTED, .a = id, .ref = *ref};

	if (r->link) {
		say(r, s);
		return;
	}
	r->held = must(realloc(r->held, (r->n_held + 1) * sizeof(*r->held)));
	r->held[r->n_held++] = s;
}

static void on_committed(struct writer_ticket *t, int result)
{
	struct session *s = CONTAINER_OF(t, struct session, ticket);
	struct receiver *r = s->lease->r;
	uint64_t id = draft_id(s->draft);

	s->lease->commits--;
	if (result == 0) {
		notice(r, id, &s->commit);
		/* The 250 is on its way, or the process has died before it. */
		if (sim_seam_touch(r->seam)) {
			truth_accepted(r->w->truth, truth_find(r->w->truth, id));
			trace(r->w, "receiver %u: 250 for %" PRIx64, r->index, id);
			world_tempt(r->w);
		}
	} else {
		trace(r->w, "receiver %u: %" PRIx64 " ends with %d", r->index, id, result);
	}
	session_free(s);
}

/* From the plan to what the world knows, before a COMMIT may stand anywhere. */
static void make_known(struct session *s)
{
	struct truth_mail *m = truth_add(s->lease->r->w->truth, draft_id(s->draft), s->plan.serial);

	m->null_sender = s->plan.null_sender;
	m->body_len = s->plan.body_len;
	m->head_len = strlen(s->head);
	m->head = must(malloc(m->head_len + 1));
	memcpy(m->head, s->head, m->head_len + 1);
	m->addresses = TAKE(s->plan.addresses);
	m->n_addresses = s->plan.n_addresses;
	s->plan.n_addresses = 0;
}

static bool lost_octets(const struct session *s)
{
	list_foreach (n, &s->lease->segments) {
		const struct leased *l = CONTAINER_OF(n, struct leased, node);
		if (l->state == LEASED_RETIRED && draft_uses(s->draft, l->sequence))
			return true;
	}
	return false;
}

static int commit(struct session *s)
{
	struct receiver *r = s->lease->r;
	struct message_rcpt rcpts[RECIPIENTS_MAX];
	struct message m = {.arrival_wall_usec = r->w->clock.wall,
		.reverse_path = span_str(s->sender),
		.client = SPAN_LIT("127.0.0.1"),
		.helo = SPAN_LIT("client"),
		.protocol = SPAN_LIT("ESMTP"),
		.rcpts = rcpts};

	if (lost_octets(s))
		return -EIO;
	int e = s->head[0] ? draft_prepend(s->draft, span_str(s->head)) : 0;
	if (e < 0)
		return e;
	make_known(s);
	const struct truth_mail *t = truth_find(r->w->truth, draft_id(s->draft));
	for (unsigned i = 0; i < t->n_addresses; i++)
		if (t->addresses[i].parent < 0)
			rcpts[m.n_rcpts++] =
				(struct message_rcpt){.address = span_str(t->addresses[i].name)};
	s->ticket.done = on_committed;
	e = draft_commit(s->draft, &m, &s->ticket, &s->commit);
	if (e < 0)
		return e;
	s->committing = true;
	s->lease->commits++;
	for (uint32_t i = 0; i < m.n_pieces; i++) {
		if (m.pieces[i].is_inline || m.pieces[i].piece.segment == s->commit.segment)
			continue;
		r->w->count.spanning++;
		break;
	}
	trace(r->w, "receiver %u: COMMIT of %" PRIx64 " at %" PRIu64 ":%" PRIu64, r->index,
		draft_id(s->draft), s->commit.segment, s->commit.offset);
	return 0;
}

static int send_part(struct session *s)
{
	char part[2048];
	uint64_t left = s->plan.body_len - s->sent;
	uint64_t now = MIN(left, 1 + below(s->lease->r->w, 128 * 1024));

	while (now > 0) {
		size_t n = (size_t)MIN(now, (uint64_t)sizeof(part));
		truth_content(s->plan.serial, s->sent, part, n);
		int e = draft_append(s->draft, span_make(part, n));
		if (e < 0)
			return e;
		s->sent += n;
		now -= n;
	}
	return 0;
}

static struct session *choose(struct receiver *r)
{
	struct session *chosen = NULL;
	uint64_t n = 0;

	if (r->lease)
		list_foreach (it, &r->lease->sessions) {
			struct session *s = CONTAINER_OF(it, struct session, node);
			if (!s->committing && below(r->w, ++n) == 0)
				chosen = s;
		}
	return chosen;
}

bool receiver_session(struct receiver *r)
{
	struct session *s = choose(r);
	int e;

	if (!s)
		return false;
	if (chance(r->w, 10)) /* the client goes away */
		e = -EPIPE;
	else if (s->sent < s->plan.body_len)
		e = send_part(s);
	else
		e = commit(s);
	if (e == 0)
		return true;
	trace(r->w, "receiver %u: serial %" PRIu64 " is refused, %d", r->index, s->plan.serial, e);
	r->w->count.refused++;
	session_free(s);
	return true;
}

/* ---- leases ---- */

static void lease_free(struct lease *l)
{
	list_remove(&l->node);
	list_foreach_safe (n, tmp, &l->segments) {
		list_remove(n);
		free(CONTAINER_OF(n, struct leased, node));
	}
	free(l);
}

static void lease_end(struct receiver *r)
{
	struct lease *l = TAKE(r->lease);

	if (!l)
		return;
	l->ended = true;
	if (l->writer)
		writer_end(l->writer);
	list_push_back(&r->ended, &l->node);
	/* 451: nothing is appended any more. */
	list_foreach_safe (n, tmp, &l->sessions) {
		struct session *s = CONTAINER_OF(n, struct session, node);
		if (!s->committing)
			session_free(s);
	}
}

static void give_back(struct lease *l)
{
	list_foreach_safe (n, tmp, &l->segments) {
		struct leased *s = CONTAINER_OF(n, struct leased, node);
		if (s->state == LEASED_OPEN)
			s->state = LEASED_RETIRED;
		report_one(l, s);
	}
}

void receiver_after(struct receiver *r)
{
	list_foreach_safe (n, tmp, &r->ended) {
		struct lease *l = CONTAINER_OF(n, struct lease, node);
		if (l->commits > 0)
			continue;
		writer_free(TAKE(l->writer));
		if (r->link)
			give_back(l);
		if (list_empty(&l->segments) && list_empty(&l->sessions))
			lease_free(l);
	}
}

bool receiver_flush(struct receiver *r)
{
	bool any = false;

	list_foreach (n, &r->ended) {
		struct lease *l = CONTAINER_OF(n, struct lease, node);
		any = any || l->flush_due;
		if (l->flush_due && l->writer)
			writer_flush(l->writer);
		l->flush_due = false;
	}
	if (r->lease && r->lease->flush_due) {
		r->lease->flush_due = false;
		writer_flush(r->lease->writer);
		any = true;
	}
	return any;
}

/* ---- the dispatcher ---- */

void receiver_attach(struct receiver *r, struct link *l)
{
	if (r->next_link)
		link_leave(r->next_link, false);
	r->next_link = l;
}

static void attach(struct receiver *r, struct link *l)
{
	struct lease *lease = must(calloc(1, sizeof(*lease)));

	if (r->link)
		link_leave(TAKE(r->link), false);
	lease_end(r);
	r->link = l;
	r->accepting = true;
	lease->r = r;
	list_init(&lease->segments);
	list_init(&lease->sessions);
	for (size_t i = 0; i < r->n_held; i++)
		say(r, r->held[i]);
	r->n_held = 0;
	r->lease = lease;
	int e = writer_new(r->seam, (uint16_t)(r->index + 1), &writer_ops, lease, &lease->writer);
	if (e < 0)
		abort();
	trace(r->w, "receiver %u: attached", r->index);
}

static void on_give(struct receiver *r, struct said *s)
{
	struct leased *l = must(calloc(1, sizeof(*l)));

	l->sequence = s->head.sequence;
	list_push_back(&r->lease->segments, &l->node);
	trace(r->w, "receiver %u: has segment %" PRIu64, r->index, l->sequence);
	writer_give_segment(r->lease->writer, TAKE(s->files[0].file), &s->head);
}

bool receiver_hear(struct receiver *r)
{
	struct said *s;

	if (r->next_link && (!r->link || chance(r->w, 300))) {
		attach(r, TAKE(r->next_link));
		return true;
	}
	s = r->link ? link_hear(&r->link->down) : NULL;
	if (!s && r->link && r->link->dispatcher_left) {
		trace(r->w, "receiver %u: the dispatcher is gone", r->index);
		link_leave(TAKE(r->link), false);
		lease_end(r);
		return true;
	}
	if (!s)
		return false;
	if (s->kind == SAY_GIVE)
		on_give(r, s);
	else
		r->accepting = s->a != 0;
	said_free(s);
	return true;
}

/* ---- life ---- */

struct receiver *receiver_new(struct world *w, unsigned index)
{
	struct receiver *r = must(calloc(1, sizeof(*r)));

	r->w = w;
	r->index = index;
	r->seam = sim_seam_new(w->disk, &w->clock);
	r->accepting = true;
	list_init(&r->ended);
	return r;
}

static void lease_kill(struct lease *l)
{
	list_foreach_safe (n, tmp, &l->sessions) {
		struct session *s = CONTAINER_OF(n, struct session, node);
		if (!s->committing)
			session_free(s);
	}
	writer_free(TAKE(l->writer)); /* tickets end with -ECANCELED, and their sessions */
	lease_free(l);
}

void receiver_free(struct receiver *r)
{
	if (!r)
		return;
	sim_seam_kill(r->seam);
	lease_end(r);
	list_foreach_safe (n, tmp, &r->ended)
		lease_kill(CONTAINER_OF(n, struct lease, node));
	if (r->link)
		link_leave(r->link, false);
	if (r->next_link)
		link_leave(r->next_link, false);
	sim_seam_free(r->seam);
	free(r->held);
	free(r);
}

void receiver_drain(struct receiver *r)
{
	r->closing = true;
	trace(r->w, "receiver %u: drains", r->index);
}

bool receiver_is_drained(struct receiver *r)
{
	if (!r->closing)
		return false;
	if (r->lease) {
		/* Nothing to seal is no harm. */
		writer_close_segment(r->lease->writer);
		writer_flush(r->lease->writer);
		if (!list_empty(&r->lease->sessions) || !writer_idle(r->lease->writer))
			return false;
		list_foreach (n, &r->lease->segments)
			if (CONTAINER_OF(n, struct leased, node)->state != LEASED_OPEN)
				return false;
	}
	return list_empty(&r->ended);
}

struct seam *receiver_seam(struct receiver *r)
{
	return r->seam;
}

bool receiver_has_old_lease(const struct receiver *r)
{
	return !list_empty(&r->ended) || r->next_link || (r->link && r->link->dispatcher_left);
}

bool receiver_is_quiet(const struct receiver *r)
{
	if (receiver_has_old_lease(r) || !r->link || !list_empty(&r->link->down))
		return false;
	return r->lease && list_empty(&r->lease->sessions) && !r->lease->flush_due;
}
