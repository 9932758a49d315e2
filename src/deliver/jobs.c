/* One slot a job: waiting -> running (on a fiber) -> kept (only its encoded outcome is left) ->
 * forgotten when FRAME_OUTCOME_KEPT comes. All slots stand in one map by job id, so that a job
 * that comes twice is run once.
 *
 * Invariants: every job that was taken ends in exactly one outcome, whatever happens to its
 * fiber; an outcome is forgotten only when the dispatcher has it durable; nothing is sent to a
 * new dispatcher before its first frame (the kept outcomes go first, then FRAME_INFLIGHT).
 *
 * The dispatcher is trusted more than the network, but a frame that does not decode closes its
 * channel all the same. It also limits what it hands out; the bounds here are the second line. */
#include "deliver/jobs.h"
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "deliver/rooms.h"
#include "ipc/frames.h"
#include "ipc/trace.h"
#include "net/channel.h"

/* After the last job: how long a drain waits for the dispatcher to keep the outcomes. */
#define DRAIN_KEEP_USEC (5 * USEC_PER_SEC)
/* After the cancels: no well-written fiber needs it. */
#define DRAIN_CANCEL_USEC (10 * USEC_PER_SEC)
#define DOT_RETRY_USEC	  (50 * USEC_PER_MSEC)
#define DOT_RETRIES	  200u
#define TELL_BACKLOG_MAX  (256u * 1024u)

enum slot_state { SLOT_WAITING, SLOT_RUNNING, SLOT_KEPT };
struct slot {
	struct list node; /* jobs.waiting, .running or .kept */
	struct jobs *jobs;
	uint64_t job;
	enum slot_state state;
	struct delivery d;   /* not in SLOT_KEPT */
	struct fiber *fiber; /* in SLOT_RUNNING */
	struct buf outcome;  /* encoded, in SLOT_KEPT */
	bool sent;
};
struct jobs {
	const struct jobs_ops *ops;
	void *arg;
	struct channel *dispatcher;
	bool greeted; /* the present dispatcher has spoken */
	struct segments segments;
	struct rooms rooms;
	struct map *slots;
	struct list waiting, running, kept;
	struct loop_defer dots_call; /* tells of this turn's dots in one packet */
	struct cond dots;
	uint64_t dots_told; /* calls */
	unsigned n_running, running_max;
	bool draining, drained;
	struct loop_timer drain_timer;
	struct loop_defer drained_call;
};

static void slot_start_next(struct jobs *jobs);
static void drain_check(struct jobs *jobs);

static int send_u64(struct jobs *jobs, enum frame_type type, uint64_t value)
{
	struct buf b = BUF_INIT(64);
	wire_put_u64(&b, value);
	int r = b.error ? b.error
			: channel_send(jobs->dispatcher, (uint16_t)type, buf_span(&b), NULL, 0);
	buf_done(&b);
	return r;
}

static void slot_send(struct slot *s)
{
	struct jobs *jobs = s->jobs;
	s->sent = false;
	if (!jobs->dispatcher || !jobs->greeted)
		return; /* FRAME_INFLIGHT_ASK fetches it */
	int r = channel_send(jobs->dispatcher, FRAME_OUTCOME, buf_span(&s->outcome), NULL, 0);
	s->sent = r >= 0;
	if (r < 0 && r != -ENOBUFS && r != -EPIPE) {
		struct log_line *l = log_begin(LOG_LEVEL_ERROR, "outcome-not-sent");
		log_u64(l, "job", s->job);
		log_errno(l, r);
		log_end(l);
	}
}

static void slot_free(struct slot *s)
{
	list_remove(&s->node);
	map_remove_u64(s->jobs->slots, s->job);
	delivery_done(&s->d);
	buf_done(&s->outcome);
	free(s);
}

/* From waiting or running to kept: the outcome is encoded, all else is let go. */
static void slot_finish(struct slot *s)
{
	struct jobs *jobs = s->jobs;
	list_remove(&s->node);
	if (s->d.told && !s->d.transcript.error)
		s->d.outcome.transcript = buf_span(&s->d.transcript);
	outcome_encode(&s->d.outcome, &s->outcome);
	if (s->outcome.error) { /* no memory for the texts: the bare results are what counts */
		buf_done(&s->outcome);
		for (uint32_t i = 0; i < s->d.outcome.n_rcpts; i++)
			s->d.outcome.rcpts[i].text = SPAN_NULL;
		s->d.outcome.transcript = SPAN_NULL;
		outcome_encode(&s->d.outcome, &s->outcome);
	}
	delivery_done(&s->d);
	s->state = SLOT_KEPT;
	s->fiber = NULL;
	list_push_back(&jobs->kept, &s->node);
	if (s->outcome.error)
		abort(); /* a few octets a recipient: the supervisor restarts what is that starved
			  */
	slot_send(s);
}

static void slot_run(void *arg)
{
	struct slot *s = arg;
	struct jobs *jobs = s->jobs;
	if (delivery_readable(&s->d))
		jobs->ops->deliver(jobs->arg, &s->d);
	else
		delivery_set_all(&s->d, delivery_result(&s->d, OUTCOME_DEFERRED, 0, "4.3.0",
						"a segment of the message was not handed over"));
	slot_finish(s);
	jobs->n_running--;
	slot_start_next(jobs);
	drain_check(jobs);
}

static void slot_give_back(struct slot *s, const char *why)
{
	delivery_set_all(&s->d, delivery_result(&s->d, OUTCOME_NOT_TRIED, 0, "4.3.2", "%s", why));
	slot_finish(s);
}

static void slot_start_next(struct jobs *jobs)
{
	while (!list_empty(&jobs->waiting) && jobs->n_running < jobs->running_max) {
		struct slot *s = CONTAINER_OF(jobs->waiting.next, struct slot, node);
		int r = fiber_spawn(slot_run, s, &s->fiber);
		if (r < 0 && jobs->n_running > 0)
			return; /* the next one that ends tries again */
		if (r < 0) {
			delivery_set_all(&s->d, delivery_result(&s->d, OUTCOME_DEFERRED, 0, "4.3.2",
							"no memory for a session"));
			slot_finish(s);
			continue;
		}
		list_remove(&s->node);
		list_push_back(&jobs->running, &s->node);
		s->state = SLOT_RUNNING;
		jobs->n_running++;
	}
}

/* ---- frames ---- */

static int on_segment_open(struct jobs *jobs, struct frame *f)
{
	struct wire w = wire_reader(f->payload);
	uint64_t sequence = wire_get_u64(&w);
	if (w.error || f->n_fds != 1)
		return -EBADMSG;
	int fd = f->fds[0];
	f->fds[0] = -1;
	int r = segments_add(&jobs->segments, sequence, fd);
	if (r < 0) { /* jobs that need it are deferred; no reason to drop the dispatcher */
		struct log_line *l = log_begin(LOG_LEVEL_ERROR, "segment-not-opened");
		log_u64(l, "segment", sequence);
		log_errno(l, r);
		log_end(l);
	}
	return 0;
}

/* Over the bound: answered, not kept; should the answer be lost, the dispatcher asks again. */
static void refuse_job(struct jobs *jobs, struct delivery *d)
{
	struct buf b = BUF_INIT(CHANNEL_FRAME_MAX);
	delivery_set_all(d, delivery_result(d, OUTCOME_DEFERRED, 0, "4.3.2", "too many jobs"));
	outcome_encode(&d->outcome, &b);
	int r = b.error ? b.error
			: channel_send(jobs->dispatcher, FRAME_OUTCOME, buf_span(&b), NULL, 0);
	struct log_line *l = log_begin(LOG_LEVEL_ERROR, "jobs-overflow");
	log_u64(l, "job", d->job.job);
	if (r < 0)
		log_errno(l, r);
	log_end(l);
	buf_done(&b);
	delivery_done(d);
}

static int on_job(struct jobs *jobs, struct span payload)
{
	struct delivery d;
	int r = delivery_init(&d, payload, &jobs->segments);
	if (r < 0)
		return r;
	struct slot *s = map_get_u64(jobs->slots, d.job.job);
	if (s) { /* handed out twice: it is run once, and its outcome told again */
		delivery_done(&d);
		if (s->state == SLOT_KEPT)
			slot_send(s);
		return 0;
	}
	s = map_count(jobs->slots) < JOBS_MAX ? calloc(1, sizeof(*s)) : NULL;
	if (!s || map_put_u64(jobs->slots, d.job.job, s) < 0) {
		free(s);
		refuse_job(jobs, &d);
		return 0;
	}
	s->jobs = jobs;
	s->job = d.job.job;
	s->d = d;
	s->d.jobs = jobs;
	s->d.rooms = &jobs->rooms;
	s->outcome = BUF_INIT(CHANNEL_FRAME_MAX);
	list_push_back(&jobs->waiting, &s->node);
	if (jobs->draining)
		slot_give_back(s, "shutting down");
	else
		slot_start_next(jobs);
	return 0;
}

static void on_job_cancel(struct jobs *jobs, uint64_t job)
{
	struct slot *s = map_get_u64(jobs->slots, job);
	if (s && s->state == SLOT_WAITING)
		slot_give_back(s, "taken back");
	else if (s && s->state == SLOT_RUNNING)
		s->d.unwanted = true; /* looked at before a transaction begins */
}

static void on_outcome_kept(struct jobs *jobs, uint64_t job)
{
	struct slot *s = map_get_u64(jobs->slots, job);
	if (s && s->state == SLOT_KEPT)
		slot_free(s);
	drain_check(jobs);
}

static int on_inflight_ask(struct jobs *jobs)
{
	struct buf b = BUF_INIT(CHANNEL_FRAME_MAX);
	list_foreach (n, &jobs->kept)
		slot_send(CONTAINER_OF(n, struct slot, node));
	list_foreach (n, &jobs->running)
		wire_put_u64(&b, CONTAINER_OF(n, struct slot, node)->job);
	list_foreach (n, &jobs->waiting)
		wire_put_u64(&b, CONTAINER_OF(n, struct slot, node)->job);
	int r = b.error ? b.error
			: channel_send(jobs->dispatcher, FRAME_INFLIGHT, buf_span(&b), NULL, 0);
	buf_done(&b);
	if (r >= 0 && jobs->draining)
		r = channel_send(jobs->dispatcher, FRAME_NO_MORE_JOBS, SPAN_NULL, NULL, 0);
	/* The new dispatcher has not heard of dots that were sent in its absence. */
	list_foreach (n, &jobs->running) {
		struct slot *s = CONTAINER_OF(n, struct slot, node);
		if (r >= 0 && s->d.dotted)
			r = send_u64(jobs, FRAME_JOB_DOT, s->job);
	}
	return r;
}

static int on_frame(void *arg, struct frame *f)
{
	struct jobs *jobs = arg;
	struct wire w = wire_reader(f->payload);
	uint64_t id = 0;
	jobs->greeted = true;
	switch (f->type) {
	case FRAME_SEGMENT_OPEN:
		return on_segment_open(jobs, f);
	case FRAME_JOB:
		return on_job(jobs, f->payload);
	case FRAME_INFLIGHT_ASK:
		return on_inflight_ask(jobs);
	case FRAME_SEGMENT_FORGET:
	case FRAME_JOB_CANCEL:
	case FRAME_OUTCOME_KEPT:
		id = wire_get_u64(&w);
		if (w.error)
			return w.error;
		if (f->type == FRAME_SEGMENT_FORGET)
			segments_forget(&jobs->segments, id);
		else if (f->type == FRAME_JOB_CANCEL)
			on_job_cancel(jobs, id);
		else
			on_outcome_kept(jobs, id);
		return 0;
	default:
		return -EBADMSG;
	}
}

static void on_close(void *arg, int error)
{
	struct jobs *jobs = arg;
	struct log_line *l = log_begin(
		error == -EBADMSG ? LOG_LEVEL_ERROR : LOG_LEVEL_DEBUG, "dispatcher-channel-closed");
	log_errno(l, error);
	log_end(l);
	channel_free(TAKE(jobs->dispatcher));
	drain_check(jobs);
}

static void on_drained(void *arg)
{
	struct jobs *jobs = arg;
	list_foreach (n, &jobs->kept) {
		struct slot *s = CONTAINER_OF(n, struct slot, node);
		if (!s->sent)
			slot_send(s);
	}
}

static const struct channel_ops dispatcher_ops = {
	.on_frame = on_frame, .on_close = on_close, .on_drained = on_drained};

void jobs_set_dispatcher(struct jobs *jobs, int fd)
{
	channel_free(TAKE(jobs->dispatcher));
	jobs->greeted = false;
	/* It opens again what it needs; running jobs hold their own references. */
	segments_forget_all(&jobs->segments);
	int r = channel_new(fd, &dispatcher_ops, jobs, &jobs->dispatcher);
	if (r < 0) {
		jobs->dispatcher = NULL;
		log_text(LOG_LEVEL_ERROR, "dispatcher-channel-failed", "error %d", -r);
	}
}

static void call_dots(struct loop_defer *defer)
{
	struct jobs *jobs = CONTAINER_OF(defer, struct jobs, dots_call);
	jobs->dots_told++;
	if (jobs->dispatcher)
		channel_flush(jobs->dispatcher);
	cond_broadcast(&jobs->dots);
}

/* The frame must be on its way before the dot is. Jobs come many in a packet, so do their dots in a
 * turn: they share one, too. */
SUSPENDS static int tell_dot(struct jobs *jobs)
{
	uint64_t told = jobs->dots_told;
	int r = 0;
	if (jobs->n_running == 1) {
		channel_flush(jobs->dispatcher);
		return 0;
	}
	loop_defer(&jobs->dots_call);
	while (r >= 0 && jobs->dots_told == told)
		r = cond_wait(&jobs->dots, USEC_INFINITY);
	return r;
}

int jobs_mark_dot(struct delivery *d)
{
	struct jobs *jobs = d->jobs;
	d->dotted = true;
	if (!jobs)
		return 0;
	for (unsigned i = 0; i < DOT_RETRIES; i++) {
		/* Without a dispatcher the next one learns it from FRAME_INFLIGHT_ASK, and treats
		 * what it finds handed out as suspect anyway. */
		if (!jobs->dispatcher || !jobs->greeted)
			return 0;
		int r = send_u64(jobs, FRAME_JOB_DOT, d->job.job);
		if (r == -EPIPE)
			return 0;
		if (r != -ENOBUFS)
			return r < 0 ? r : tell_dot(jobs);
		r = fiber_sleep(DOT_RETRY_USEC);
		if (r < 0)
			return r;
	}
	return -ENOBUFS;
}

/* ---- telling who traces ---- */

void jobs_tell(struct delivery *d, char kind, struct span text)
{
	struct jobs *jobs = d->jobs;
	struct buf b = BUF_INIT(1024), line = BUF_INIT(512);
	if (!jobs || !jobs->dispatcher || !jobs->greeted)
		return;
	trace_line(loop_wall_usec(), kind, text, &line);
	wire_put_u64(&b, d->job.job);
	wire_put_u32(&b, d->untold);
	wire_put_span(&b, buf_span(&line));
	/* Mail is worth more: a line that finds the channel full is counted, and left out. */
	if (b.error || channel_backlog(jobs->dispatcher) > TELL_BACKLOG_MAX ||
		channel_send(jobs->dispatcher, FRAME_TRACE, buf_span(&b), NULL, 0) < 0)
		d->untold++;
	else
		d->untold = 0;
	buf_done(&line);
	buf_done(&b);
}

/* ---- life ---- */

static void call_drained(struct loop_defer *defer)
{
	struct jobs *jobs = CONTAINER_OF(defer, struct jobs, drained_call);
	jobs->ops->drained(jobs->arg);
}

int jobs_new(const struct jobs_ops *ops, void *arg, unsigned running_max, struct jobs **ret_jobs)
{
	struct jobs *jobs = calloc(1, sizeof(*jobs));
	if (!jobs)
		return -ENOMEM;
	jobs->ops = ops;
	jobs->arg = arg;
	jobs->running_max = running_max;
	list_init(&jobs->waiting);
	list_init(&jobs->running);
	list_init(&jobs->kept);
	jobs->drained_call.fn = call_drained;
	jobs->dots_call.fn = call_dots;
	cond_init(&jobs->dots);
	jobs->slots = map_new(0);
	if (!jobs->slots || segments_init(&jobs->segments) < 0) {
		map_free(jobs->slots);
		free(jobs);
		return -ENOMEM;
	}
	*ret_jobs = jobs;
	return 0;
}

void jobs_free(struct jobs *jobs)
{
	if (!jobs)
		return;
	assert(jobs->n_running == 0);
	loop_timer_cancel(&jobs->drain_timer);
	loop_defer_cancel(&jobs->drained_call);
	loop_defer_cancel(&jobs->dots_call);
	channel_free(jobs->dispatcher);
	while (!list_empty(&jobs->waiting))
		slot_free(CONTAINER_OF(jobs->waiting.next, struct slot, node));
	while (!list_empty(&jobs->kept))
		slot_free(CONTAINER_OF(jobs->kept.next, struct slot, node));
	map_free(jobs->slots);
	segments_done(&jobs->segments);
	rooms_done(&jobs->rooms);
	free(jobs);
}

unsigned jobs_running(const struct jobs *jobs)
{
	return jobs->n_running;
}

static void drain_done(struct jobs *jobs)
{
	if (jobs->drained)
		return;
	jobs->drained = true;
	loop_timer_cancel(&jobs->drain_timer);
	if (jobs->dispatcher)
		channel_flush(jobs->dispatcher);
	loop_defer(&jobs->drained_call); /* not inside of a fiber or a channel's callback */
}

static void on_drain_timer(struct loop_timer *t)
{
	struct jobs *jobs = CONTAINER_OF(t, struct jobs, drain_timer);
	if (jobs->n_running == 0) {
		drain_done(jobs);
		return;
	}
	list_foreach (n, &jobs->running)
		fiber_cancel(CONTAINER_OF(n, struct slot, node)->fiber);
	/* What waits in the offload pool ends by itself: look again until it has. */
	if (loop_timer_set(t, loop_now_usec() + DRAIN_CANCEL_USEC) < 0)
		abort(); /* cannot end in order: the supervisor notices */
}

static void drain_check(struct jobs *jobs)
{
	if (!jobs->draining || jobs->drained || jobs->n_running > 0)
		return;
	if (list_empty(&jobs->kept) || !jobs->dispatcher) {
		drain_done(jobs);
		return;
	}
	uint64_t until = loop_now_usec() + DRAIN_KEEP_USEC;
	if (jobs->drain_timer.heap_index == 0 || jobs->drain_timer.deadline_usec > until) {
		if (loop_timer_set(&jobs->drain_timer, until) < 0)
			drain_done(jobs);
	}
}

void jobs_drain(struct jobs *jobs, uint64_t grace_usec)
{
	if (jobs->draining)
		return;
	jobs->draining = true;
	/* Unheard, it costs the dispatcher what is given back. */
	if (jobs->dispatcher)
		(void)!channel_send(jobs->dispatcher, FRAME_NO_MORE_JOBS, SPAN_NULL, NULL, 0);
	while (!list_empty(&jobs->waiting))
		slot_give_back(
			CONTAINER_OF(jobs->waiting.next, struct slot, node), "shutting down");
	jobs->drain_timer.fn = on_drain_timer;
	if (jobs->n_running > 0 &&
		loop_timer_set(&jobs->drain_timer, loop_now_usec() + grace_usec) < 0)
		on_drain_timer(&jobs->drain_timer);
	drain_check(jobs);
}
