/* Jobs on their way to deliverers and the mailbox, and what comes back.
 *
 * A job waits in `unsent` until the turn has the ledger in the page cache; then it goes to its
 * process with the segments that it needs, each as a read-only fd, once for each process. From
 * there it belongs to that process until the queue says that the outcome is kept. When the process
 * ends before its outcome, the queue hears whether the final dot had been announced: without it no
 * other server can have taken the message. */
#include "queue/dispatcher_internal.h"
#include "queue/dispatcher_trace.h"

#include "base/log.h"
#include "base/siphash.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* ---- making one ---- */

static struct handed_job *job_new(struct dispatcher *d, uint64_t id, struct span site)
{
	struct handed_job *j = calloc(1, sizeof(*j) + site.len);

	if (!j)
		abort(); /* its HANDED entry is written: recovery names what follows from it */
	j->job = id;
	j->frame = BUF_INIT(CHANNEL_FRAME_MAX);
	j->site_len = (unsigned)site.len;
	if (site.len)
		memcpy(j->site, site.ptr, site.len);
	if (map_put_u64(d->jobs, id, j) < 0)
		abort();
	return j;
}

/* Its process has the outcome behind it, and room for another job. */
static void job_ended(struct handed_job *j)
{
	if (j->peer && !j->ended)
		j->peer->n_jobs--;
	j->ended = true;
}

void job_free_segments(struct handed_job *j)
{
	if (j->segments != j->few)
		free(j->segments);
	j->segments = NULL;
}

void handed_job_free(struct dispatcher *d, struct handed_job *j)
{
	(void)map_remove_u64(d->jobs, j->job);
	if (tracing(d))
		trace_over(d, j->job);
	job_ended(j);
	list_remove(&j->node);
	buf_done(&j->frame);
	job_free_segments(j);
	free(j);
}

/* What the queue does not keep in memory, from the COMMIT; it borrows from the loaded message. */
static void job_facts(const struct message *m, struct job *job)
{
	job->flags = (uint32_t)m->flags;
	job->envid = m->envid;
	job->auth_sender = m->auth_sender;
	job->ret = (uint8_t)m->ret;
	for (uint32_t i = 0; i < job->n_rcpts; i++) {
		if (job->rcpts[i].origin < m->n_rcpts)
			job->rcpts[i].orcpt = m->rcpts[job->rcpts[i].origin].orcpt;
	}
}

static int job_ranges(struct dispatcher *d, struct handed_job *j, const struct record_ref *commit,
	struct job *job)
{
	struct loaded *l;
	int r = message_load(d, job->message, commit, &l);

	if (r < 0)
		return r;
	job_facts(&l->m, job);
	job->ranges = arena_alloc(l->arena, (l->n_ranges + 1) * sizeof(*job->ranges));
	j->segments = l->n_ranges <= ARRAY_LEN(j->few) ? j->few
						       : malloc(l->n_ranges * sizeof(*j->segments));
	if (!job->ranges || !j->segments)
		return -ENOMEM;
	for (uint32_t i = 0; i < l->n_ranges; i++) {
		const struct piece *p = &l->ranges[i];
		job->ranges[i] = (struct job_range){p->segment, p->offset, p->length, false, 0};
		/* What lies in the COMMIT was checked with it; a chunk's octets are the reader's to
		 * check. */
		if (p->record != commit->offset || p->segment != commit->segment) {
			r = message_chunk_crc(d, l, p, &job->ranges[i]);
			if (r < 0)
				return r;
		}
		if (i == 0 || p->segment != l->ranges[i - 1].segment)
			j->segments[j->n_segments++] = p->segment;
	}
	job->n_ranges = l->n_ranges;
	return 0;
}

/* What cannot be read cannot be sent: each recipient is deferred, with the reason. */
static void job_unreadable(struct dispatcher *d, const struct job *job, int error)
{
	struct outcome o = {.job = job->job,
		.message = job->message,
		.n_rcpts = job->n_rcpts,
		.damaged = error == -EBADMSG};
	struct late l = {.kind = LATE_OUTCOME, .payload = BUF_INIT(CHANNEL_FRAME_MAX)};
	struct log_line *line = log_begin(LOG_LEVEL_ERROR, "spool-damaged");

	log_id(line, "id", job->message);
	log_errno(line, error);
	log_str(line, "action", "its delivery is put off");
	log_end(line);
	o.rcpts = calloc(job->n_rcpts, sizeof(*o.rcpts));
	if (!o.rcpts)
		abort();
	for (uint32_t i = 0; i < job->n_rcpts; i++)
		o.rcpts[i] = (struct outcome_rcpt){.index = job->rcpts[i].index,
			.result = OUTCOME_DEFERRED,
			.enhanced = SPAN_LIT("4.3.0"),
			.text = SPAN_LIT("its octets in the spool cannot be read")};
	outcome_encode(&o, &l.payload);
	free(o.rcpts);
	if (l.payload.error)
		abort();
	dispatcher_late(d, l);
}

void dispatcher_deliver(void *arg, const struct job *given, const struct record_ref *commit)
{
	struct dispatcher *d = arg;
	struct job job = *given;
	struct handed_job *j = job_new(d, job.job, job.site);

	j->message = job.message;
	j->arrival_wall_usec = job.arrival_wall_usec;
	j->handed_wall_usec = loop_wall_usec();
	j->via = job.via;
	j->alone = job.alone;
	job.traced = tracing(d) && trace_job(d, &job);
	j->site_hash = siphash((struct siphash_key){0}, job.site);
	int r = job_ranges(d, j, commit, &job);
	if (r == 0) {
		struct buf *b = dispatcher_scratch(d);
		job_encode(&job, b);
		r = b->error;
		if (r == 0 && buf_reserve(&j->frame, b->len)) /* once, and no larger */
			buf_put(&j->frame, buf_span(b));
		r = r ? r : j->frame.error;
	}
	if (r < 0) {
		j->ended = true;
		job_unreadable(d, &job, r);
		return;
	}
	list_push_back(&d->unsent, &j->node);
	loop_defer(&d->turn);
}

/* ---- what comes back ---- */

/* Trying again would read the same octets, giving up would lose what an operator may still restore
 * (queue show, then release or drop). */
static void hold_damaged(struct dispatcher *d, uint64_t message)
{
	struct admin_request hold = {.verb = ADMIN_QUEUE_HOLD, .ids = &message, .n_ids = 1};
	struct log_line *l = log_begin(LOG_LEVEL_ERROR, "spool-damaged");

	log_id(l, "id", message);
	log_str(l, "action", "held: its octets are not what was accepted");
	log_end(l);
	(void)queue_command(d->queue, &hold);
}

void dispatcher_outcome_kept(void *arg, uint64_t job)
{
	struct dispatcher *d = arg;
	struct handed_job *j = map_get_u64(d->jobs, job);
	struct peer *p = j ? j->peer : d->speaker;

	if (p && peer_send_u64(p, FRAME_OUTCOME_KEPT, job, -1) < 0)
		log_text(LOG_LEVEL_DEBUG, "kept-not-sent", "job %llu", (unsigned long long)job);
	if (j)
		handed_job_free(d, j);
	loop_defer(&d->turn);
}

void dispatcher_outcome(struct dispatcher *d, struct peer *from, struct span payload)
{
	struct outcome o;
	int r = outcome_decode(payload, d->outcome_arena, &o);

	if (r == 0) {
		struct handed_job *j = map_get_u64(d->jobs, o.job);
		if (j)
			job_ended(j);
		d->about_job = j;
		d->about_outcome = &o;
		d->speaker = from;
		transcripts_add(&d->transcripts, o.message, loop_wall_usec(), o.transcript);
		if (tracing(d))
			trace_outcome(d, &o);
		queue_outcome(d->queue, &o);
		if (o.damaged)
			hold_damaged(d, o.message);
		d->about_job = NULL;
		d->about_outcome = NULL;
		d->speaker = NULL;
	} else {
		log_text(LOG_LEVEL_ERROR, "outcome-unreadable", "%s", strerror(-r));
	}
	arena_reset(d->outcome_arena);
}

/* The job that a frame of p speaks of; one that only p knows of is entered. */
static struct handed_job *job_of(struct peer *p, uint64_t id)
{
	struct handed_job *j = map_get_u64(p->d->jobs, id);

	if (j)
		return j->peer == p ? j : NULL;
	j = job_new(p->d, id, SPAN_NULL);
	j->peer = p;
	p->n_jobs++;
	list_push_back(&p->jobs, &j->node);
	return j;
}

static int on_outcome(struct peer *p, struct span payload)
{
	struct dispatcher *d = p->d;
	struct wire w = wire_reader(payload);
	uint64_t id = wire_get_u64(&w);
	struct handed_job *j = map_get_u64(d->jobs, id);

	if (w.error)
		return w.error;
	if (j && j->peer != p)
		return 0; /* not its job */
	if (d->started) {
		dispatcher_event(d);
		dispatcher_outcome(d, p, payload);
		return 0;
	}
	/* It ended while there was no dispatcher. */
	j = job_of(p, id);
	job_ended(j);
	struct late l = {.kind = LATE_OUTCOME, .peer = p, .payload = BUF_INIT(CHANNEL_FRAME_MAX)};
	buf_put(&l.payload, payload);
	if (l.payload.error)
		return l.payload.error;
	if (d->replayed)
		queue_job_alive(d->queue, id);
	dispatcher_late(d, l);
	return 0;
}

static int on_inflight(struct peer *p, struct span payload)
{
	struct dispatcher *d = p->d;
	struct wire w = wire_reader(payload);

	while (w.rest.len > 0) {
		uint64_t id = wire_get_u64(&w);
		if (w.error)
			return w.error;
		(void)job_of(p, id);
		if (d->replayed && !d->started)
			queue_job_alive(d->queue, id);
	}
	p->answered = true;
	cond_broadcast(&d->answers);
	return 0;
}

int deliverer_frame(struct peer *p, struct frame *f)
{
	struct wire w = wire_reader(f->payload);

	switch (f->type) {
	case FRAME_OUTCOME:
		return on_outcome(p, f->payload);
	case FRAME_INFLIGHT:
		return on_inflight(p, f->payload);
	case FRAME_JOB_DOT: {
		struct handed_job *j = map_get_u64(p->d->jobs, wire_get_u64(&w));
		if (j && j->peer == p)
			j->dot = true;
		return w.error;
	}
	case FRAME_TRACE:
		return trace_frame(p, f->payload);
	case FRAME_NO_MORE_JOBS:
		p->draining = true;
		return 0;
	default:
		return -EPROTO;
	}
}

/* ---- coming and going ---- */

static void ask(struct peer *p)
{
	if (channel_send(p->channel, FRAME_INFLIGHT_ASK, SPAN_NULL, NULL, 0) < 0)
		p->answered = true;
}

void deliverer_attached(struct peer *p)
{
	if (p->d->replayed)
		ask(p);
	loop_defer(&p->d->turn);
}

void deliverers_ask(struct dispatcher *d)
{
	list_foreach (n, &d->peers) {
		struct peer *p = CONTAINER_OF(n, struct peer, node);
		if (takes_jobs(p))
			ask(p);
	}
}

bool deliverers_answered(const struct dispatcher *d)
{
	list_foreach (n, &d->peers) {
		const struct peer *p = CONTAINER_OF(n, struct peer, node);
		if (takes_jobs(p) && !p->answered)
			return false;
	}
	return true;
}

void deliverer_gone(struct peer *p)
{
	struct dispatcher *d = p->d;

	while (!list_empty(&p->jobs)) {
		struct handed_job *j = CONTAINER_OF(p->jobs.next, struct handed_job, node);
		list_remove(&j->node);
		j->peer = NULL;
		if (j->ended)
			continue; /* until it is kept */
		dispatcher_late(d,
			(struct late){.kind = LATE_LOST, .a = j->job, .b = j->dot || !d->started});
		handed_job_free(d, j);
	}
	peer_forget_segments(p);
	cond_broadcast(&d->answers);
}
