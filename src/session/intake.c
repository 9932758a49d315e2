/* The writer, its segments, and the dispatcher behind a channel.
 *
 * Two rules keep mail safe across two processes that may die at any time:
 *
 * 1. A segment is reported as ended (SEALED, RETIRED) only when no draft here has octets in it and
 *    every COMMIT in it has been noticed: the report lets the dispatcher recycle it. So a slow
 *    20 MiB body keeps the segments of its chunks, and only those.
 * 2. What one dispatcher gave (a lease) ends with it. A new dispatcher reads all segments afresh
 *    and may give them out again, so from the moment that the old channel closes nothing more is
 *    appended under its lease: drafts that began under it fail with 451, commits that stand in the
 *    file already complete and are noticed to the new dispatcher, which removes doubles by id.
 *    When the old writer has come to rest, all its segments are given back on the new channel
 *    (RETIRED with errno 0). We ask the new dispatcher for segments of its own.
 *
 * Notices that no dispatcher took are held within a bound; beyond it, and when a dispatcher dies
 * with notices unread, nothing is lost: recovery finds every COMMIT in the segments. */
#include "session/intake.h"
#include "base/log.h"
#include "base/stats.h"
#include "ipc/frames.h"
#include "net/channel.h"
#include "session/lease.h"
#include "session/limits.h"

#include <stdlib.h>

static void intake_send(struct intake *i, enum frame_type type, struct span payload)
{
	/* A frame that is lost to a full or dying channel is made up for by recovery; a channel
	 * that is full for long stops new mail first (DISPATCHER_BACKLOG_MAX). */
	if (i->channel && channel_send(i->channel, (uint16_t)type, payload, NULL, 0) == -ENOBUFS)
		log_text(LOG_LEVEL_WARN, "dispatcher-backlog", "%zu octets wait",
			channel_backlog(i->channel));
}

static void report_segment(struct intake *i, const struct leased_segment *s)
{
	struct buf b = BUF_INIT(64);

	wire_put_u64(&b, s->sequence);
	if (s->state == LEASED_SEALED)
		wire_put_u64(&b, s->end);
	else
		wire_put_u32(&b, (uint32_t)-s->error);
	if (b.error == 0)
		intake_send(i,
			s->state == LEASED_SEALED ? FRAME_SEGMENT_SEALED : FRAME_SEGMENT_RETIRED,
			buf_span(&b));
	buf_done(&b);
}

/* ---- the writer's events ---- */

static void lease_need_segment(void *arg)
{
	struct lease *l = arg;

	if (!l->ended && !l->intake->closing)
		intake_send(l->intake, FRAME_SEGMENT_WANT, SPAN_NULL);
}

static void segment_ended(
	struct lease *l, uint64_t sequence, enum leased_state state, uint64_t end, int error)
{
	list_foreach (it, &l->segments) {
		struct leased_segment *s = CONTAINER_OF(it, struct leased_segment, node);
		if (s->sequence == sequence && s->state != LEASED_RETIRED) {
			s->state = state;
			s->end = end;
			s->error = error;
		}
	}
	intake_count(l->intake);
	lease_report_segments(l);
}

static void lease_sealed(void *arg, uint64_t sequence, uint64_t end)
{
	segment_ended(arg, sequence, LEASED_SEALED, end, 0);
}

static void lease_retired(void *arg, uint64_t sequence, int error)
{
	struct log_line *line = log_begin(LOG_LEVEL_ERROR, "segment-retired");

	log_u64(line, "segment", sequence);
	log_errno(line, error);
	log_end(line);
	segment_ended(arg, sequence, LEASED_RETIRED, 0, error);
}

static void lease_flush(struct loop_defer *d)
{
	struct lease *l = CONTAINER_OF(d, struct lease, flush);

	if (l->writer)
		writer_flush(l->writer);
}

static void lease_want_flush(void *arg)
{
	struct lease *l = arg;

	loop_defer(&l->flush);
}

static const struct writer_ops lease_writer_ops = {
	.need_segment = lease_need_segment,
	.sealed = lease_sealed,
	.retired = lease_retired,
	.want_flush = lease_want_flush,
};

/* Ended and kept by drafts only; the oldest such segment comes out. */
static unsigned pinned_segments(const struct lease *l, uint64_t *ret_oldest)
{
	unsigned n = 0;

	*ret_oldest = UINT64_MAX;
	list_foreach (it, &l->segments) {
		const struct leased_segment *s = CONTAINER_OF(it, struct leased_segment, node);
		if (s->state == LEASED_OPEN)
			continue;
		n++;
		*ret_oldest = MIN(*ret_oldest, s->sequence);
	}
	return n;
}

static void report_unused(struct lease *l)
{
	list_foreach_safe (it, tmp, &l->segments) {
		struct leased_segment *s = CONTAINER_OF(it, struct leased_segment, node);
		if (s->state == LEASED_OPEN || lease_segment_in_use(l, s->sequence))
			continue;
		report_segment(l->intake, s);
		list_remove(&s->node);
		free(s);
	}
}

void lease_report_segments(struct lease *l)
{
	uint64_t oldest;

	if (l->ended)
		return; /* all at once, by the reaper */
	report_unused(l);
	if (pinned_segments(l, &oldest) <= SEGMENTS_PINNED_MAX)
		return;
	lease_overtake(l, oldest);
	report_unused(l);
}

/* ---- leases ---- */

static int lease_new(struct intake *i, struct lease **ret_lease)
{
	struct lease *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->intake = i;
	list_init(&l->segments);
	list_init(&l->drafts);
	l->flush.fn = lease_flush;
	*ret_lease = l;
	return 0;
}

static void lease_free(struct lease *l)
{
	if (!l)
		return;
	assert(list_empty(&l->drafts));
	list_remove(&l->node);
	loop_defer_cancel(&l->flush);
	writer_free(l->writer);
	list_foreach_safe (it, tmp, &l->segments) {
		list_remove(it);
		free(CONTAINER_OF(it, struct leased_segment, node));
	}
	free(l);
}

static void lease_end(struct intake *i)
{
	struct lease *l = TAKE(i->lease);

	if (!l)
		return;
	l->ended = true;
	if (l->writer)
		writer_end(l->writer);
	list_push_back(&i->ended, &l->node);
	cond_broadcast(&i->room); /* who waits for room under it must not wait any longer */
	loop_defer(&i->reaper);
}

void lease_changed(struct lease *l)
{
	if (l->ended)
		loop_defer(&l->intake->reaper);
}

/* Gives an ended lease's segments back, to the dispatcher that is there now. */
static void lease_give_back(struct lease *l)
{
	list_foreach_safe (it, tmp, &l->segments) {
		struct leased_segment *s = CONTAINER_OF(it, struct leased_segment, node);
		if (s->state == LEASED_OPEN)
			s->state = LEASED_RETIRED;
		report_segment(l->intake, s);
		list_remove(&s->node);
		free(s);
	}
}

/* At the end of a turn, never from inside the writer's own callbacks. */
static void intake_reap(struct loop_defer *d)
{
	struct intake *i = CONTAINER_OF(d, struct intake, reaper);

	list_foreach_safe (it, tmp, &i->ended) {
		struct lease *l = CONTAINER_OF(it, struct lease, node);
		if (l->commits > 0)
			continue;
		if (l->writer) {
			i->ended_syncs += writer_counts(l->writer)->syncs;
			i->ended_errors += writer_counts(l->writer)->errors;
			writer_free(TAKE(l->writer));
		}
		if (i->channel)
			lease_give_back(l);
		if (list_empty(&l->segments) && l->refs == 0)
			lease_free(l);
	}
}

void intake_count(struct intake *i)
{
	if (!i->lease)
		return;
	const struct writer_counts *c = writer_counts(i->lease->writer);
	STATS_SET(spool_syncs_total, i->ended_syncs + c->syncs);
	STATS_SET(spool_errors_total, i->ended_errors + c->errors);
}

/* ---- the dispatcher's frames ---- */

static int on_segment_give(struct intake *i, struct frame *f)
{
	struct segment_give g;
	struct disk_file *file = NULL;

	int r = segment_give_decode(f->payload, &g);
	if (r < 0)
		return r;
	if (f->n_fds != 1)
		return -EPROTO;
	struct leased_segment *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	r = i->seam->ops->adopt(i->seam->disk, f->fds[0], &file);
	f->fds[0] = -1;
	if (r < 0) {
		free(s);
		return r;
	}
	struct segment_head head = {
		.sequence = g.sequence,
		.slot = g.slot,
		.size = g.size,
		.created_wall_usec = g.created_wall_usec,
	};
	memcpy(head.generation.octets, g.generation, sizeof(head.generation.octets));
	memcpy(head.boot_id, g.boot_id, sizeof(head.boot_id));
	s->sequence = g.sequence;
	list_push_back(&i->lease->segments, &s->node);
	writer_give_segment(i->lease->writer, file, &head);
	cond_broadcast(&i->room);
	return 0;
}

static int on_accepting(struct intake *i, struct span payload)
{
	struct wire w = wire_reader(payload);
	bool accepting = wire_get_u8(&w) != 0;
	struct span reason = wire_get_span(&w);

	if (w.error < 0)
		return w.error;
	if (accepting == i->accepting)
		return 0;
	i->accepting = accepting;
	struct log_line *line = log_begin(accepting ? LOG_LEVEL_INFO : LOG_LEVEL_WARN,
		accepting ? "intake-open" : "intake-closed");
	log_span(line, "reason", reason);
	log_end(line);
	cond_broadcast(&i->room);
	return 0;
}

static int intake_on_frame(void *arg, struct frame *f)
{
	struct intake *i = arg;

	switch (f->type) {
	case FRAME_SEGMENT_GIVE:
		return on_segment_give(i, f);
	case FRAME_ACCEPTING:
		return on_accepting(i, f->payload);
	default:
		return -EPROTO;
	}
}

static void intake_on_close(void *arg, int error)
{
	struct intake *i = arg;

	(void)error; /* the supervisor says why a process died */
	channel_free(TAKE(i->channel));
	lease_end(i);
}

static const struct channel_ops intake_channel_ops = {
	.on_frame = intake_on_frame,
	.on_close = intake_on_close,
};

/* ---- the interface ---- */

int intake_new(const struct seam *seam, uint16_t slot, struct intake **ret_intake)
{
	struct intake *i = calloc(1, sizeof(*i));

	if (!i)
		return -ENOMEM;
	i->seam = seam;
	i->slot = slot;
	i->accepting = true;
	i->reaper.fn = intake_reap;
	i->held = BUF_INIT(NOTICES_HELD_MAX);
	i->notice = BUF_INIT(NOTICE_OCTETS_MAX);
	list_init(&i->ended);
	cond_init(&i->room);
	*ret_intake = i;
	return 0;
}

void intake_free(struct intake *i)
{
	if (!i)
		return;
	channel_free(i->channel);
	lease_free(i->lease);
	list_foreach_safe (it, tmp, &i->ended)
		lease_free(CONTAINER_OF(it, struct lease, node));
	loop_defer_cancel(&i->reaper);
	buf_done(&i->held);
	buf_done(&i->notice);
	free(i);
}

int intake_attach(struct intake *i, int fd)
{
	struct channel *channel = NULL;
	struct lease *lease = NULL;

	int r = channel_new(fd, &intake_channel_ops, i, &channel);
	if (r < 0)
		return r;
	r = lease_new(i, &lease);
	if (r < 0) {
		channel_free(channel);
		return r;
	}
	channel_free(i->channel);
	lease_end(i);
	i->channel = channel;
	i->lease = lease;
	i->accepting = true;
	if (i->held.len > 0 && i->held.error == 0)
		intake_send(i, FRAME_COMMITTED, buf_span(&i->held));
	buf_reset(&i->held);
	r = writer_new(i->seam, i->slot, &lease_writer_ops, lease, &lease->writer);
	if (r < 0) {
		i->lease = NULL;
		lease_free(lease);
		channel_free(TAKE(i->channel));
		return r;
	}
	/* A writer asks for its first segment when one is missed. */
	uint64_t unused;
	r = writer_new_id(lease->writer, &unused);
	assert(r == -ENOSPC);
	loop_defer(&i->reaper);
	cond_broadcast(&i->room);
	return 0;
}

void intake_notice(struct intake *i, const struct commit_notice *n)
{
	struct buf *b = &i->notice;

	buf_reset(b);
	commit_notice_encode(n, b);
	if (b->error < 0)
		return; /* found again by recovery */
	if (i->channel)
		intake_send(i, FRAME_COMMITTED, buf_span(b));
	else if (i->held.len + b->len <= NOTICES_HELD_MAX)
		buf_put(&i->held, buf_span(b));
}

int lease_wait_room(struct lease *l, uint64_t octets, uint64_t deadline_usec)
{
	while (!l->ended) {
		if (writer_can_append(l->writer, octets))
			return 0;
		int r = cond_wait(&l->intake->room, deadline_usec);
		if (r < 0)
			return r == -ETIMEDOUT ? -ENOSPC : r;
	}
	return -ESTALE;
}

struct verdict intake_check(struct intake *i)
{
	uint64_t deadline = loop_now_usec() + INTAKE_WAIT_USEC;

	for (;;) {
		if (!i->accepting)
			return VERDICT(452, "4.3.1", "Insufficient system storage");
		if (i->channel && channel_backlog(i->channel) > DISPATCHER_BACKLOG_MAX)
			return VERDICT(451, "4.3.0", "The queue is busy, try again later");
		if (i->lease && writer_can_append(i->lease->writer, COMMIT_ROOM))
			return VERDICT(250, "2.1.0", "Ok");
		if (cond_wait(&i->room, deadline) < 0)
			break;
	}
	return i->lease ? VERDICT(452, "4.3.1", "No room for mail now, try again later")
			: VERDICT(451, "4.3.0", "The queue does not answer, try again later");
}

bool intake_ask_retry(struct intake *i, struct span domain)
{
	struct buf b = BUF_INIT(512);
	bool asked = false;

	wire_put_span(&b, domain);
	if (i->channel && b.error == 0)
		asked = channel_send(i->channel, FRAME_ETRN, buf_span(&b), NULL, 0) == 0;
	buf_done(&b);
	return asked;
}

void intake_close(struct intake *i)
{
	i->closing = true;
	if (!i->lease)
		return;
	writer_close_segment(i->lease->writer);
	writer_flush(i->lease->writer);
}

bool intake_is_quiet(const struct intake *i)
{
	const struct lease *l = i->lease;

	if (!l)
		return true;
	list_foreach (it, &l->segments)
		if (CONTAINER_OF(it, struct leased_segment, node)->state != LEASED_OPEN)
			return false;
	return list_empty(&l->drafts) && writer_idle(l->writer) &&
	       (!i->channel || channel_backlog(i->channel) == 0);
}
