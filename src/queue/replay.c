/* Recovery: from the ledger's entries and the segments' COMMITs back to the queue (docs/queue.md
 * has the table of what each prefix of the ledger means).
 *
 * Entries come first and build ghosts: messages with recipients and no envelope. A COMMIT then
 * either meets its ghost, or is new to the ledger (live, never handed out), or is done: it has a
 * DONE, or it lies below the known end of its segment in a whole checkpoint that did not mention
 * it. A checkpoint without its END counts for nothing but its entries, which repeat the older ones.
 *
 * Until queue_start nothing is counted, timed or asked; due times are wall time. */
#include "queue/queue_internal.h"

#include <stdlib.h>

void queue_replay_done(struct queue *q)
{
	size_t cursor = 0;

	for (struct queue_segment_state *s; q->known && (s = map_next(q->known, &cursor));)
		free(s);
	map_free(q->known);
	q->known = NULL;
	free(q->replay.segments);
	free(q->replay.marks);
	map_free(q->replay.voided);
	memset(&q->replay, 0, sizeof(q->replay));
}

static void jobs_drop(struct queue *q, struct mail *m)
{
	while (m->jobs) {
		struct handed *h = m->jobs;
		m->jobs = h->next;
		queue_job_free(q, h);
	}
}

static void ghost_drop(struct queue *q, struct mail *m)
{
	(void)table_remove(&q->mails, m->id);
	jobs_drop(q, m);
	queue_mail_free(q, m);
}

static int ghost_of(struct queue *q, uint64_t id, struct mail **ret)
{
	struct mail *m = table_get(&q->mails, id);

	if (!m) {
		int r = mail_new_ghost(id, &m);
		if (r < 0)
			return r;
		r = table_put(&q->mails, id, m);
		if (r < 0) {
			queue_mail_free(q, m);
			return r;
		}
	}
	m->epoch = q->replay.epoch;
	*ret = m;
	return 0;
}

static enum rcpt_state state_of(enum entry_rcpt_state state)
{
	static const enum rcpt_state states[ENTRY_RCPT_STATES] = {
		[ENTRY_PENDING] = RCPT_DEFERRED,
		[ENTRY_HELD] = RCPT_HELD,
		[ENTRY_FAILED] = RCPT_FAILED,
		[ENTRY_DELIVERED] = RCPT_DELIVERED,
		[ENTRY_REPORTED] = RCPT_REPORTED,
		[ENTRY_DROPPED] = RCPT_DROPPED,
		[ENTRY_MERGED] = RCPT_MERGED,
		[ENTRY_SUCCEEDED] = RCPT_SUCCEEDED,
	};

	return states[state];
}

static void rcpt_apply(struct queue *q, struct mail *m, const struct entry_rcpt *e)
{
	while (m->n_rcpts <= e->index)
		(void)queue_mail_add_rcpt(q, m);
	struct rcpt *r = &m->rcpts[e->index];
	r->origin = e->origin;
	r->state = (uint8_t)state_of(e->state);
	r->attempts = e->attempts;
	r->due = e->due_wall_usec;
	r->flags &= RF_OWN;
	r->flags |= (uint16_t)((e->flags & ENTRY_EXPANDED ? RF_EXPANDED : 0) |
			       (e->flags & ENTRY_SUSPECT ? RF_SUSPECT : 0) |
			       (e->flags & ENTRY_HOLD ? RF_HOLD : 0) |
			       (e->flags & ENTRY_DROP ? RF_DROP : 0) |
			       (e->flags & ENTRY_RELAYED ? RF_RELAYED : 0) |
			       (e->flags & ENTRY_NOTICE ? RF_NOTICE : 0));
	if (e->address.len)
		queue_rcpt_address(r, e->address);
	r->event = e->event;
	if (e->state != ENTRY_PENDING && e->state != ENTRY_HELD && e->state != ENTRY_MERGED)
		m->next_event = MAX(m->next_event, e->event + 1);
	if (e->has_note)
		queue_rcpt_note(
			r, note_new(e->code, e->remote_said, e->enhanced, e->text, e->remote));
}

static int job_replay(struct queue *q, struct mail *m, const struct entry *e, uint32_t n)
{
	struct handed *old = map_get_u64(q->jobs, e->job);
	uint32_t had = old && old->m == m ? old->n : 0;
	struct handed *h = malloc(sizeof(*h) + (had + n) * sizeof(h->rcpts[0]));
	struct wire w = e->rcpts;
	struct entry_rcpt r;

	if (!h)
		return -ENOMEM;
	*h = (struct handed){.id = e->job, .message = m->id, .m = m, .n = had};
	if (had)
		memcpy(h->rcpts, old->rcpts, had * sizeof(h->rcpts[0]));
	while (entry_next_rcpt(&w, &r))
		h->rcpts[h->n++] = r.index;
	queue_job_close(q, e->job);
	h->next = m->jobs;
	m->jobs = h;
	q->next_job = MAX(q->next_job, e->job + 1);
	int put = map_put_u64(q->jobs, h->id, h);
	if (put < 0) {
		m->jobs = h->next;
		free(h);
	}
	return put;
}

void queue_job_close(struct queue *q, uint64_t job)
{
	struct handed *h = map_get_u64(q->jobs, job);

	if (!h)
		return;
	for (struct handed **at = h->m ? &h->m->jobs : NULL; at && *at; at = &(*at)->next) {
		if (*at != h)
			continue;
		*at = h->next;
		break;
	}
	queue_job_free(q, h);
}

/* Recipients are checked before any is applied. */
static int rcpts_check(const struct entry *e, uint32_t *ret_n)
{
	struct wire w = e->rcpts;
	struct entry_rcpt r;
	uint32_t n = 0;

	for (; entry_next_rcpt(&w, &r); n++) {
		if (r.index >= QUEUE_RCPTS_MAX || r.origin >= QUEUE_RCPTS_MAX)
			return -EBADMSG;
	}
	*ret_n = n;
	return w.error;
}

static int replay_rcpts(struct queue *q, const struct entry *e)
{
	struct wire w = e->rcpts;
	struct entry_rcpt rcpt;
	struct mail *m;
	uint32_t n;

	int r = rcpts_check(e, &n);
	if (r < 0)
		return r;
	r = ghost_of(q, e->id, &m);
	if (r < 0)
		return r;
	if (e->type == ENTRY_HANDED)
		r = job_replay(q, m, e, n);
	else if (e->type == ENTRY_OUTCOME)
		queue_job_close(q, e->job);
	if (r < 0)
		return r;
	while (entry_next_rcpt(&w, &rcpt))
		rcpt_apply(q, m, &rcpt);
	if (e->type != ENTRY_STATE)
		return 0;
	m->flags |= e->flags & ENTRY_WARNED ? MAIL_WARNED : 0;
	m->crashes = e->crashes;
	free(m->via);
	m->via = e->via.len ? text_new(e->via) : NULL;
	return 0;
}

static void event_written(struct mail *m, uint64_t event)
{
	if (event == EVENT_DELAY)
		m->flags |= MAIL_WARNED;
	if (event < UINT32_MAX)
		m->next_event = MAX(m->next_event, (uint32_t)event + 1);
	for (uint32_t i = 0; i < m->n_rcpts; i++) {
		struct rcpt *r = &m->rcpts[i];
		if (r->state == RCPT_FAILED && r->event == event)
			r->state = RCPT_REPORTED;
		if (r->state == RCPT_SUCCEEDED && r->event == event)
			r->state = RCPT_DELIVERED;
	}
}

static int replay_bounced(struct queue *q, const struct entry *e)
{
	struct mail *m;
	int r = ghost_of(q, e->id, &m);

	if (r < 0)
		return r;
	event_written(m, e->event);
	return 0;
}

/* Where the COMMIT stands now. It is the same message in both places, so that recovery takes the
 * first that it meets; but its own segment may be gone, and nothing is noted for that one. */
static int replay_moved(struct queue *q, const struct entry *e)
{
	struct mail *m;
	int r = ghost_of(q, e->id, &m);

	if (r < 0)
		return r;
	m->commit = (struct record_ref){e->sequence, e->offset, e->length};
	m->flags |= MAIL_MOVED;
	return 0;
}

static int replay_void(struct queue *q, uint64_t id)
{
	if (!q->replay.voided && !(q->replay.voided = map_new(q->settings.seed)))
		return -ENOMEM;
	int r = map_put_u64(q->replay.voided, id, q);
	if (r < 0 && r != -EEXIST)
		return r;
	queue_done_add(q, id);
	return 0;
}

static void replay_end(struct queue *q)
{
	q->replay.whole_epoch = q->replay.epoch;
	for (size_t i = 0; i < q->replay.n_segments; i++) {
		const struct queue_segment_state *from = &q->replay.segments[i];
		struct queue_segment_state *s = map_get_u64(q->known, from->sequence);
		if (!s) {
			s = malloc(sizeof(*s));
			if (!s || map_put_u64(q->known, from->sequence, s) < 0)
				abort();
		}
		*s = *from;
	}
	q->replay.n_segments = 0;
}

static void replay_segment(struct queue *q, const struct entry *e)
{
	q->replay.segments = queue_grow(q->replay.segments, &q->replay.cap_segments,
		q->replay.n_segments + 1, sizeof(*q->replay.segments));
	q->replay.segments[q->replay.n_segments++] =
		(struct queue_segment_state){e->sequence, e->known_end};
}

int queue_replay_entry(struct queue *q, uint8_t type, struct span payload)
{
	struct entry e;
	struct mail *m;

	assert(!q->started);
	if (type == ENTRY_BOOT)
		return 0;
	int r = entry_get(type, payload, &e);
	if (r < 0)
		return r;
	switch (e.type) {
	case ENTRY_HANDED:
	case ENTRY_OUTCOME:
	case ENTRY_STATE:
		return queue_done_has(q, e.id) ? 0 : replay_rcpts(q, &e);
	case ENTRY_BOUNCED:
		return queue_done_has(q, e.id) ? 0 : replay_bounced(q, &e);
	case ENTRY_MOVED:
		return queue_done_has(q, e.id) ? 0 : replay_moved(q, &e);
	case ENTRY_DONE:
		m = table_get(&q->mails, e.id);
		if (m)
			ghost_drop(q, m);
		queue_done_add(q, e.id);
		return 0;
	case ENTRY_VOID:
		return replay_void(q, e.id);
	case ENTRY_BEGIN:
		q->next_job = MAX(q->next_job, e.job);
		q->replay.epoch++;
		q->replay.n_segments = 0;
		return 0;
	case ENTRY_SEGMENT:
		replay_segment(q, &e);
		return 0;
	case ENTRY_END:
		replay_end(q);
		return 0;
	case ENTRY_BOOT:
		break;
	}
	return -EBADMSG;
}

/* A power failure may have kept the record that an alias was replaced by its children and lost
 * some of theirs: then it is asked again; children that are known are not doubled (settle.c). */
static void children_check(struct queue *q, struct mail *m)
{
	uint32_t *known = queue_scratch(q, m->n_env * sizeof(*known));

	memset(known, 0, m->n_env * sizeof(*known));
	for (uint32_t i = m->n_env; i < m->n_rcpts; i++) {
		const struct rcpt *r = &m->rcpts[i];
		if (r->address && r->origin < m->n_env)
			known[r->origin]++;
	}
	for (uint32_t i = 0; i < m->n_env; i++) {
		struct rcpt *r = &m->rcpts[i];
		if (r->state != RCPT_MERGED || known[i] >= r->event)
			continue;
		r->state = RCPT_EXPANDING;
		r->flags &= (uint16_t)~RF_EXPANDED;
	}
}

/* The message takes over what the ledger knew of it. */
static void ghost_join(struct queue *q, struct mail *ghost, struct mail *m)
{
	for (uint32_t i = 0; i < ghost->n_rcpts; i++) {
		while (m->n_rcpts <= i)
			(void)queue_mail_add_rcpt(q, m);
		struct rcpt *r = &m->rcpts[i], old = *r;
		*r = ghost->rcpts[i];
		ghost->rcpts[i] = (struct rcpt){0};
		r->envelope = old.envelope;
		r->origin = i < m->n_env || r->origin >= m->n_env ? old.origin : r->origin;
		r->notify = i < m->n_env || r->origin >= m->n_env
				    ? old.notify
				    : rcpt_child_notify(m->rcpts[r->origin].notify);
		if (!(r->flags & RF_OWN))
			r->address = old.address;
		/* A child of which no entry survived: whoever it came from is asked again. */
		if (!r->address)
			r->state = RCPT_MERGED;
	}
	children_check(q, m);
	m->jobs = TAKE(ghost->jobs);
	for (struct handed *h = m->jobs; h; h = h->next)
		h->m = m;
	m->via = TAKE(ghost->via);
	m->flags |= ghost->flags & (MAIL_WARNED | MAIL_MOVED);
	m->crashes = ghost->crashes;
	m->next_event = ghost->next_event;
	(void)table_remove(&q->mails, ghost->id);
	queue_mail_free(q, ghost);
}

static bool is_known_done(const struct queue *q, const struct record_ref *commit)
{
	const struct queue_segment_state *s = map_get_u64(q->known, commit->segment);

	return s && commit->offset < s->known_end;
}

/* A report's COMMIT settles its event. Below the known end of a whole checkpoint it need not: what
 * it told stands there, and one that was voided is forgotten by then. */
static void mark_written(struct queue *q, const struct message *m)
{
	q->replay.marks = queue_grow(q->replay.marks, &q->replay.cap_marks, q->replay.n_marks + 1,
		sizeof(*q->replay.marks));
	q->replay.marks[q->replay.n_marks++] = (struct replay_mark){m->id, m->parent, m->event};
}

/* Compaction left the message in two places; a good one is better than a damaged one. */
static int second_copy(struct mail *m, const struct record_ref *commit, bool damaged)
{
	if (damaged || !(m->flags & MAIL_DAMAGED))
		return 0;
	m->flags &= (uint16_t)~MAIL_DAMAGED;
	m->commit = *commit;
	return 1;
}

int queue_replay_commit(
	struct queue *q, const struct message *m, const struct record_ref *commit, bool damaged)
{
	struct mail *mail;

	assert(!q->started);
	if (m->parent && m->event && !is_known_done(q, commit))
		mark_written(q, m);
	queue_done_seen(q, m->id);
	if (queue_done_has(q, m->id))
		return 0;
	struct mail *ghost = table_get(&q->mails, m->id);
	if (ghost && mail_texts(ghost))
		return second_copy(ghost, commit, damaged);
	if (ghost && ghost->epoch < q->replay.whole_epoch) {
		ghost_drop(q, ghost);
		ghost = NULL;
	}
	if (!ghost && is_known_done(q, commit)) {
		queue_done_add(q, m->id);
		return 0;
	}
	if (heap_reserve(&q->heap, q->timers + 1) < 0)
		return -ENOMEM;
	int r = mail_new(m, commit, &mail);
	if (r < 0)
		return r;
	mail->flags |= (uint16_t)(MAIL_GHOST | (damaged ? MAIL_DAMAGED : 0));
	if (ghost)
		ghost_join(q, ghost, mail);
	if (table_put(&q->mails, m->id, mail) < 0)
		abort();
	q->timers++;
	return 1;
}

void queue_replay_marks(struct queue *q)
{
	for (size_t i = 0; i < q->replay.n_marks; i++) {
		const struct replay_mark *mark = &q->replay.marks[i];
		struct mail *m = table_get(&q->mails, mark->message);
		bool voided = q->replay.voided && map_get_u64(q->replay.voided, mark->report);
		if (!m || !mail_texts(m) || voided)
			continue;
		event_written(m, mark->event);
		queue_entry(q, &(struct entry){.type = ENTRY_BOUNCED,
				       .id = m->id,
				       .event = (uint32_t)mark->event});
	}
}
