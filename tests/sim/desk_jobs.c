/* Jobs between the simulated dispatcher and the deliverers: queue/dispatcher_jobs.c with frames of
 * the world. */
#include "desk.h"

#include <inttypes.h>
#include <stdlib.h>

static struct handed_out *job_new(struct desk *d, uint64_t id)
{
	struct handed_out *j = must(calloc(1, sizeof(*j)));

	j->job = id;
	j->frame = BUF_INIT(1u << 20);
	if (map_put_u64(d->jobs, id, j) < 0)
		violation(d->w, "job %" PRIu64 " is handed out twice", id);
	return j;
}

void desk_job_free(struct desk *d, struct handed_out *j)
{
	(void)map_remove_u64(d->jobs, j->job);
	list_remove(&j->node);
	buf_done(&j->frame);
	free(j->segments);
	free(j);
}

/* What cannot be read cannot be sent. */
static void job_unreadable(struct desk *d, const struct job *job)
{
	struct outcome o = {
		.job = job->job, .message = job->message, .n_rcpts = job->n_rcpts, .damaged = true};
	struct late l = {.kind = LATE_OUTCOME, .payload = BUF_INIT(1u << 20)};

	world_damage(d->w, "a message that cannot be read");
	o.rcpts = must(calloc(job->n_rcpts, sizeof(*o.rcpts)));
	for (uint32_t i = 0; i < job->n_rcpts; i++)
		o.rcpts[i] = (struct outcome_rcpt){.index = job->rcpts[i].index,
			.result = OUTCOME_DEFERRED,
			.enhanced = SPAN_LIT("4.3.0")};
	outcome_encode(&o, &l.payload);
	free(o.rcpts);
	desk_late(d, l);
}

static int chunk_crc(struct desk *d, const struct piece *p, struct job_range *range)
{
	const struct store_segment *s = store_find(d->store, p->segment);
	uint8_t header[RECORD_HEADER];
	struct record rec;
	size_t got = 0;

	if (!s)
		return -ENOENT;
	int r = d->seam->ops->read(s->file, p->record, header, sizeof(header), &got);
	if (r == 0)
		r = record_decode(&s->head.generation, p->record, header, &rec);
	if (r < 0)
		return r;
	range->checked = p->offset == p->record + RECORD_HEADER && p->length == rec.length;
	range->crc = rec.payload_crc;
	return 0;
}

static int job_ranges(
	struct desk *d, struct handed_out *j, const struct record_ref *commit, struct job *job)
{
	struct piece *pieces;
	struct message m;
	uint32_t n;
	int r = desk_load(d, job->message, commit, &m);

	if (r == 0)
		r = message_ranges(&m, buf_span(&d->payload), commit, d->arena, &pieces, &n);
	if (r < 0)
		return r;
	job->ranges = must(arena_alloc(d->arena, (n + 1) * sizeof(*job->ranges)));
	j->segments = must(malloc((n + 1) * sizeof(*j->segments)));
	for (uint32_t i = 0; i < n; i++) {
		job->ranges[i] = (struct job_range){.segment = pieces[i].segment,
			.offset = pieces[i].offset,
			.length = pieces[i].length};
		if (pieces[i].record != commit->offset || pieces[i].segment != commit->segment)
			r = chunk_crc(d, &pieces[i], &job->ranges[i]);
		if (r < 0)
			return r;
		if (i == 0 || pieces[i].segment != pieces[i - 1].segment)
			j->segments[j->n_segments++] = pieces[i].segment;
	}
	job->n_ranges = n;
	return 0;
}

void desk_deliver(void *arg, const struct job *given, const struct record_ref *commit)
{
	struct desk *d = arg;
	struct job job = *given;
	struct handed_out *j = job_new(d, job.job);

	if (job_ranges(d, j, commit, &job) < 0) {
		j->ended = true;
		job_unreadable(d, &job);
		return;
	}
	job_encode(&job, &j->frame);
	list_push_back(&d->unsent, &j->node);
	d->turn_due = true;
}

static struct peer *choose(struct desk *d)
{
	struct peer *chosen = NULL;
	uint64_t n = 0;

	list_foreach (it, &d->peers) {
		struct peer *p = CONTAINER_OF(it, struct peer, node);
		if (p->kind == PEER_DELIVERER && !p->link->peer_left && below(d->w, ++n) == 0)
			chosen = p;
	}
	return chosen;
}

static void job_send(struct desk *d, struct peer *p, struct handed_out *j)
{
	struct seam *theirs = deliverer_seam(d->w->deliverers[p->index]);
	struct said s = {.kind = SAY_JOB, .payload = j->frame, .n_files = j->n_segments};

	s.files = must(calloc(j->n_segments + 1, sizeof(*s.files)));
	for (unsigned i = 0; i < j->n_segments; i++) {
		const struct store_segment *seg = store_find(d->store, j->segments[i]);
		if (!seg)
			violation(d->w, "job %" PRIu64 " needs segment %" PRIu64 ", which is gone",
				j->job, j->segments[i]);
		s.files[i] = (struct said_file){j->segments[i], sim_disk_share(seg->file, theirs)};
	}
	j->frame = BUF_INIT(1u << 20);
	list_remove(&j->node);
	j->peer = p;
	list_push_back(&p->jobs, &j->node);
	desk_say(d, p, s);
}

void desk_jobs_send(struct desk *d)
{
	list_foreach_safe (n, tmp, &d->unsent) {
		struct peer *p = choose(d);
		if (!p || sim_seam_is_dead(d->seam))
			return;
		job_send(d, p, CONTAINER_OF(n, struct handed_out, node));
	}
}

unsigned desk_jobs_room(const struct desk *d)
{
	size_t n = map_count(d->jobs);
	bool anybody = false;

	list_foreach (it, &d->peers) {
		const struct peer *p = CONTAINER_OF(it, struct peer, node);
		anybody = anybody || (p->kind == PEER_DELIVERER && !p->link->peer_left);
	}
	return !anybody || d->ledger_failed || n >= JOBS_MAX ? 0 : (unsigned)(JOBS_MAX - n);
}

void desk_cancel(void *arg, uint64_t job)
{
	struct desk *d = arg;
	const struct handed_out *j = map_get_u64(d->jobs, job);

	d->w->count.cancels++;
	if (j && j->peer)
		desk_say(d, j->peer, (struct said){.kind = SAY_CANCEL, .a = job});
}

void desk_outcome_kept(void *arg, uint64_t job)
{
	struct desk *d = arg;
	struct handed_out *j = map_get_u64(d->jobs, job);
	struct peer *p = j ? j->peer : d->speaker;

	if (p)
		desk_say(d, p, (struct said){.kind = SAY_KEPT, .a = job});
	if (j)
		desk_job_free(d, j);
	d->turn_due = true;
}

void desk_outcome(struct desk *d, struct peer *from, struct span payload)
{
	struct outcome o;

	arena_reset(d->arena);
	if (outcome_decode(payload, d->arena, &o) < 0)
		violation(d->w, "an outcome that does not decode");
	struct handed_out *j = map_get_u64(d->jobs, o.job);
	if (j)
		j->ended = true;
	d->speaker = from;
	queue_outcome(d->queue, &o);
	if (o.damaged) {
		struct admin_request hold = {
			.verb = ADMIN_QUEUE_HOLD, .ids = &o.message, .n_ids = 1};
		truth_damaged(d->w->truth, o.message);
		(void)queue_command(d->queue, &hold);
	}
	d->speaker = NULL;
}

/* The job that a frame of p speaks of; one that only p knows of is entered. */
static struct handed_out *job_of(struct peer *p, uint64_t id)
{
	struct handed_out *j = map_get_u64(p->d->jobs, id);

	if (j)
		return j->peer == p ? j : NULL;
	j = job_new(p->d, id);
	j->peer = p;
	list_push_back(&p->jobs, &j->node);
	return j;
}

static void on_outcome(struct peer *p, struct said *s)
{
	struct desk *d = p->d;
	struct handed_out *j = map_get_u64(d->jobs, s->a);

	if (j && j->peer != p)
		return;
	if (d->phase == DESK_STARTED) {
		desk_event(d);
		desk_outcome(d, p, buf_span(&s->payload));
		return;
	}
	job_of(p, s->a)->ended = true;
	if (d->phase == DESK_ASK)
		queue_job_alive(d->queue, s->a);
	desk_late(d, (struct late){.kind = LATE_OUTCOME, .peer = p, .payload = s->payload});
	s->payload = (struct buf){0};
}

static void on_inflight(struct peer *p, struct span payload)
{
	struct desk *d = p->d;
	uint64_t id;

	for (; payload.len >= sizeof(id); payload = span_from(payload, sizeof(id))) {
		memcpy(&id, payload.ptr, sizeof(id));
		(void)job_of(p, id);
		if (d->phase == DESK_ASK)
			queue_job_alive(d->queue, id);
	}
	p->answered = true;
}

void desk_deliverer_frame(struct peer *p, struct said *s)
{
	struct handed_out *j;

	if (s->kind == SAY_OUTCOME) {
		on_outcome(p, s);
	} else if (s->kind == SAY_INFLIGHT) {
		on_inflight(p, buf_span(&s->payload));
	} else {
		j = map_get_u64(p->d->jobs, s->a);
		if (j && j->peer == p)
			j->dot = true;
	}
}

void desk_deliverer_gone(struct peer *p)
{
	struct desk *d = p->d;

	while (!list_empty(&p->jobs)) {
		struct handed_out *j = CONTAINER_OF(p->jobs.next, struct handed_out, node);
		list_remove(&j->node);
		j->peer = NULL;
		if (j->ended)
			continue; /* until it is kept */
		desk_late(d, (struct late){.kind = LATE_LOST,
				     .a = j->job,
				     .b = j->dot || d->phase != DESK_STARTED});
		desk_job_free(d, j);
	}
}
