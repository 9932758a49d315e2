/* Jobs to processes: which one, with which segments, and when.
 *
 * Which deliverer: the same for a site as long as the load is even, so that connections are used
 * again; beyond JOBS_LEAN more jobs than another has, the other. Kinds that touch the mail store go
 * to the mailbox process. Nobody there: the job waits, and counts as in flight. A message that was
 * there when deliverers died goes to a spare process, one job at a time, so that its next death is
 * nobody else's; the supervisor starts that process when it is first asked for.
 *
 * Each process gets a segment once, as a read-only fd of its own, before the first job that needs
 * it; it lets go when the segment is forgotten, or when it has very many. */
#include "queue/dispatcher_internal.h"
#include "queue/dispatcher_trace.h"

#include "base/log.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define JOBS_LEAN 8u

static enum role role_for(enum job_via via)
{
	return via == JOB_SMTP || via == JOB_LMTP ? ROLE_DELIVERER : ROLE_MAILBOX;
}

#define SPARE_ASK_USEC (5 * USEC_PER_SEC)

/* The spare process of that role when it has nothing to do. */
static struct peer *choose_spare(struct dispatcher *d, enum role role)
{
	struct buf b = BUF_INIT(8);

	list_foreach (n, &d->peers) {
		struct peer *p = CONTAINER_OF(n, struct peer, node);
		if (p->role == role && p->index == ROLE_SPARE_INDEX && channel_is_open(p->channel))
			return p->n_jobs == 0 && takes_jobs_now(p) ? p : NULL;
	}
	if (d->spare_asked && loop_now_usec() - d->spare_asked < SPARE_ASK_USEC)
		return NULL;
	d->spare_asked = loop_now_usec();
	wire_put_u8(&b, (uint8_t)role);
	if (b.error || role_send_supervisor(d->process, FRAME_SPARE_WANT, buf_span(&b)) < 0)
		log_text(LOG_LEVEL_WARN, "spare-not-asked", "%s", role_name(role));
	buf_done(&b);
	return NULL;
}

static struct peer *choose(struct dispatcher *d, const struct handed_job *j)
{
	enum role role = role_for(j->via);
	struct peer *least = NULL, *home = NULL;
	uint64_t best = 0;

	if (j->alone)
		return choose_spare(d, role);
	list_foreach (n, &d->peers) {
		struct peer *p = CONTAINER_OF(n, struct peer, node);
		if (p->role != role || p->index == ROLE_SPARE_INDEX || !takes_jobs_now(p))
			continue;
		/* The highest of a hash of both: a process that comes or goes moves only its own.
		 */
		uint64_t weight = (j->site_hash ^ (p->index + 1u)) * UINT64_C(0x9e3779b97f4a7c15);
		weight ^= weight >> 29;
		if (!home || weight > best) {
			home = p;
			best = weight;
		}
		if (!least || p->n_jobs < least->n_jobs)
			least = p;
	}
	return home && home->n_jobs > least->n_jobs + JOBS_LEAN ? least : home;
}

int peer_send_u64(struct peer *p, enum frame_type type, uint64_t value, int fd)
{
	uint64_t le = htole64(value);

	return channel_send(p->channel, (uint16_t)type, span_make(&le, sizeof(le)), &fd, fd >= 0);
}

/* A read-only fd that a process has. */
struct opened {
	uint64_t sequence;
};

static void forget_one(struct peer *p, struct opened *o)
{
	(void)map_remove_u64(p->opened, o->sequence);
	if (peer_send_u64(p, FRAME_SEGMENT_FORGET, o->sequence, -1) < 0)
		log_text(LOG_LEVEL_DEBUG, "forget-not-sent", "segment %llu",
			(unsigned long long)o->sequence);
	free(o);
}

static void forget_all(struct peer *p)
{
	size_t cursor = 0;

	for (struct opened *o; (o = map_next(p->opened, &cursor));)
		forget_one(p, o);
}

static int open_segment(struct dispatcher *d, struct peer *p, uint64_t sequence)
{
	const struct store_segment *s = store_find(d->store, sequence);

	if (map_get_u64(p->opened, sequence))
		return 0;
	if (!s)
		return -ENOENT;
	if (map_count(p->opened) >= OPEN_SEGMENTS_MAX)
		forget_all(p);
	CLEANUP(fd_closep)
	int fd = openat(role_fd(d->process, "spool"), s->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	struct opened *o = malloc(sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->sequence = sequence;
	int r = peer_send_u64(p, FRAME_SEGMENT_OPEN, sequence, fd);
	if (r == 0)
		r = map_put_u64(p->opened, sequence, o);
	if (r < 0)
		free(o);
	return r;
}

static int job_send(struct dispatcher *d, struct peer *p, struct handed_job *j)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < j->n_segments; i++)
		r = open_segment(d, p, j->segments[i]);
	if (r == 0)
		r = channel_send(p->channel, FRAME_JOB, buf_span(&j->frame), NULL, 0);
	if (r < 0)
		return r;
	list_remove(&j->node);
	j->peer = p;
	p->n_jobs++;
	list_push_back(&p->jobs, &j->node);
	buf_done(&j->frame);
	job_free_segments(j);
	if (tracing(d))
		trace_sent(d, j, p);
	return 0;
}

void jobs_send(struct dispatcher *d)
{
	/* A job that was named possible-duplicate goes only when its line is out. */
	if (!list_empty(&d->unsent) && d->warned) {
		log_flush();
		d->warned = false;
	}
	list_foreach_safe (n, tmp, &d->unsent) {
		struct handed_job *j = CONTAINER_OF(n, struct handed_job, node);
		struct peer *p = choose(d, j);
		int r = p ? job_send(d, p, j) : 0;
		if (r < 0 && r != -ENOBUFS && r != -EPIPE)
			log_text(LOG_LEVEL_ERROR, "job-not-sent", "%s[%u]: %s", role_name(p->role),
				p->index, strerror(-r));
	}
}

unsigned jobs_room(const struct dispatcher *d)
{
	bool anybody = false;

	if (d->drain.on || d->book.failed)
		return 0;
	list_foreach (n, &d->peers) {
		const struct peer *p = CONTAINER_OF(n, struct peer, node);
		anybody = anybody || takes_jobs_now(p);
	}
	size_t n = map_count(d->jobs);
	return !anybody || n >= JOBS_IN_FLIGHT_MAX
		       ? 0
		       : (unsigned)MIN(JOBS_IN_FLIGHT_MAX - n, (size_t)JOBS_PER_TURN);
}

void dispatcher_cancel(void *arg, uint64_t job)
{
	struct dispatcher *d = arg;
	const struct handed_job *j = map_get_u64(d->jobs, job);

	/* Lost with a full channel: the job runs as if the operator had come a little later. */
	if (j && j->peer && peer_send_u64(j->peer, FRAME_JOB_CANCEL, job, -1) < 0)
		log_text(LOG_LEVEL_DEBUG, "cancel-not-sent", "job %llu", (unsigned long long)job);
}

void jobs_cancel_all(struct dispatcher *d)
{
	list_foreach_safe (n, tmp, &d->unsent) {
		struct handed_job *j = CONTAINER_OF(n, struct handed_job, node);
		dispatcher_late(d, (struct late){.kind = LATE_UNSENT, .a = j->job});
		handed_job_free(d, j);
	}
	list_foreach (n, &d->peers) {
		const struct peer *p = CONTAINER_OF(n, struct peer, node);
		list_foreach (jn, &p->jobs)
			dispatcher_cancel(d, CONTAINER_OF(jn, struct handed_job, node)->job);
	}
}

void deliverers_forget(struct dispatcher *d, uint64_t sequence)
{
	list_foreach (n, &d->peers) {
		struct peer *p = CONTAINER_OF(n, struct peer, node);
		struct opened *o = map_get_u64(p->opened, sequence);
		if (o)
			forget_one(p, o);
	}
}

void peer_forget_segments(struct peer *p)
{
	size_t cursor = 0;

	for (struct opened *o; (o = map_next(p->opened, &cursor));) {
		(void)map_remove_u64(p->opened, o->sequence);
		free(o);
	}
}
