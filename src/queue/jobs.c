/* Jobs: forming them, and what comes of them.
 *
 * A job is one transaction: recipients of one message for one next hop, up to QUEUE_JOB_RCPTS. The
 * HANDED entry is appended before ops.deliver; the owner has it in the page cache before the job
 * leaves the process, so that a recovery can name every delivery whose outcome is unknown. The
 * struct handed lives until its OUTCOME (or the message's DONE) is durable; only then may the
 * deliverer forget its side. Sites are served in turn, one job each.
 *
 * A job that neither delivered, deferred nor refused anything makes no progress: after
 * QUEUE_FRUITLESS of them its recipients are deferred like after a failure, so that nothing circles
 * at full speed. */
#include "queue/queue_internal.h"

#include <stdlib.h>

#define RCPT_JOB_OCTETS 64u /* what a recipient costs in a job besides its texts */

void queue_job_free(struct queue *q, struct handed *h)
{
	(void)map_remove_u64(q->jobs, h->id);
	if (h->hop)
		queue_hop_unref(q, h->hop);
	free(h);
}

/* How many recipients of the batch fit into one job. */
static uint32_t batch_head(const struct batch *b)
{
	size_t octets = 0;
	uint32_t n = 0;

	for (uint32_t i = b->first; n < MIN(b->n, QUEUE_JOB_RCPTS); n++) {
		const struct rcpt *r = &b->m->rcpts[i];
		octets += RCPT_JOB_OCTETS + rcpt_address(r).len + rcpt_original(b->m, r).len;
		if (n > 0 && octets > QUEUE_JOB_OCTETS)
			break;
		i = r->next;
	}
	return n;
}

static struct handed *handed_new(struct queue *q, struct batch *b, uint32_t n)
{
	struct handed *h = malloc(sizeof(*h) + n * sizeof(h->rcpts[0]));

	if (!h)
		return NULL;
	*h = (struct handed){.id = q->next_job,
		.message = b->m->id,
		.m = b->m,
		.n = n,
		.crashes = b->m->crashes};
	if (map_put_u64(q->jobs, h->id, h) < 0) {
		free(h);
		return NULL;
	}
	q->next_job++;
	h->hop = b->hop;
	h->hop->refs++;
	h->next = b->m->jobs;
	b->m->jobs = h;
	return h;
}

/* Moves the first recipients of the batch into the job. */
static void handed_take(struct queue *q, struct handed *h, struct batch *b)
{
	struct mail *m = b->m;
	struct site *s = b->hop->site;

	for (uint32_t k = 0; k < h->n; k++) {
		struct rcpt *r = &m->rcpts[b->first];
		h->rcpts[k] = b->first;
		b->first = r->next;
		queue_rcpt_set(q, m, r, RCPT_IN_FLIGHT);
		r->flight = (uint32_t)h->id;
	}
	b->n -= h->n;
	h->probe = s->down;
	s->probing = s->probing || h->probe;
	s->in_flight++;
	queue_site_ready(q, s, -(int64_t)h->n);
	if (b->n)
		queue_batch_back(q, b);
	else
		queue_batch_free(q, b);
}

static void write_handed(struct queue *q, const struct handed *h)
{
	queue_entry_open(q, ENTRY_HANDED, h->m, h->id);
	for (uint32_t k = 0; k < h->n; k++)
		queue_entry_rcpt(q, h->m, &h->m->rcpts[h->rcpts[k]]);
	queue_entry_close(q);
}

static void deliver(struct queue *q, const struct handed *h)
{
	const struct mail *m = h->m;
	struct job_rcpt *rcpts = queue_scratch(q, h->n * sizeof(*rcpts));
	struct job job = {.job = h->id,
		.message = m->id,
		.alone = m->crashes >= QUEUE_CRASHES_ALONE,
		.attempt = m->rcpts[h->rcpts[0]].attempts + 1u,
		.via = h->hop->via,
		.host = h->hop->host,
		.port = h->hop->port,
		.hosts = h->hop->hosts,
		.n_hosts = h->hop->n_hosts,
		.mx_secure = h->hop->mx_secure,
		.domain = h->hop->domain,
		.path = h->hop->path,
		.route = h->hop->route,
		.implicit_tls = h->hop->implicit_tls,
		.site = span_make(h->hop->site->key, h->hop->site->key_len),
		.reverse_path = mail_reverse_path(m),
		.arrival_wall_usec = m->arrival_wall,
		.size = m->size,
		.body = m->body,
		.priority = m->priority,
		.deliver_by_wall_usec = m->deliver_by ? queue_to_wall(q, m->deliver_by) : 0,
		.deliver_by_mode = m->by_mode,
		.rcpts = rcpts,
		.n_rcpts = h->n,
		.connect_timeout = q->settings.connect_timeout,
		.command_timeout = q->settings.command_timeout,
		.data_timeout = q->settings.data_timeout};

	for (uint32_t k = 0; k < h->n; k++) {
		const struct rcpt *r = &m->rcpts[h->rcpts[k]];
		rcpts[k] = (struct job_rcpt){.index = h->rcpts[k],
			.address = rcpt_address(r),
			.original = rcpt_original(m, r),
			.notify = r->notify,
			.origin = r->origin};
		job.suspect = job.suspect || (r->flags & RF_SUSPECT);
	}
	q->ops.deliver(q->arg, &job, &m->commit);
}

static bool job_form(struct queue *q, struct site *s)
{
	struct batch *b = queue_site_next(s);
	struct handed *h = handed_new(q, b, batch_head(b));

	if (!h)
		return false;
	handed_take(q, h, b);
	write_handed(q, h);
	deliver(q, h);
	return true;
}

void queue_jobs_run(struct queue *q, unsigned max_jobs)
{
	if (q->durable < q->jobs_after)
		return;
	for (; max_jobs > 0 && !list_empty(&q->runnable); max_jobs--) {
		struct site *s = CONTAINER_OF(q->runnable.next, struct site, runnable);
		list_remove(&s->runnable);
		if (!job_form(q, s))
			max_jobs = 1; /* no memory: the next turn tries again */
		queue_site_runnable(q, s);
	}
}

/* ---- outcomes ---- */

struct verdict_count {
	uint32_t delivered, failed, deferred;
	bool no_session;
	struct note *last;
};

static struct note *note_of(const struct outcome *o, const struct outcome_rcpt *res,
	const struct site *s, struct verdict_count *c)
{
	struct note *n = note_new(res->code, res->code != 0, res->enhanced, res->text, o->remote);
	const struct note *known[] = {c->last, s ? s->note : NULL};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (!known[i] || !note_equal(known[i], n))
			continue;
		note_unref(n);
		n = note_ref(i == 0 ? c->last : s->note);
		break;
	}
	note_unref(c->last);
	c->last = note_ref(n);
	return n;
}

/* Must the sender hear of it from us? Final delivery (a mailbox, LMTP): when SUCCESS was asked for
 * (RFC 3461 5.2.3). A relay: when moreover the next hop does not report (5.2.2 (b)), when it does
 * not know of the by-time, or when each relay was asked to tell (RFC 2852 4.2, 4.1.4); not where
 * NOTIFY=NEVER. */
static bool success_is_told(
	const struct mail *m, const struct rcpt *r, bool relayed, const struct outcome_rcpt *res)
{
	if (!relayed)
		return rcpt_wants(m, r, NOTIFY_SUCCESS);
	if (rcpt_wants(m, r, NOTIFY_SUCCESS) && !res->dsn_passed_on)
		return true;
	return m->deliver_by && !mail_is_mute(m) && !(r->notify & NOTIFY_NEVER) &&
	       ((m->by_mode & MESSAGE_BY_TRACE) || !res->by_passed_on);
}

static void rcpt_delivered(struct queue *q, const struct handed *h, struct rcpt *r,
	const struct outcome_rcpt *res, struct note *note)
{
	struct mail *m = h->m;
	/* Of a job of an earlier life nobody knows where it went: RFC 3464 2.3.3 "relayed" claims
	 * less. */
	bool relayed = !h->hop || h->hop->via == JOB_SMTP;
	bool told = success_is_told(m, r, relayed, res);
	char octets[64];
	struct buf detail = {.ptr = octets, .cap = sizeof(octets), .max = sizeof(octets)};
	uint64_t delay = q->wall > m->arrival_wall ? q->wall - m->arrival_wall : 0;

	queue_rcpt_set(q, m, r, RCPT_DELIVERED);
	buf_str(&detail, "attempts=");
	buf_u64(&detail, r->attempts + 1u);
	buf_str(&detail, " delay=");
	buf_u64(&detail, delay / USEC_PER_SEC);
	buf_char(&detail, '.');
	buf_u64_padded(&detail, delay % USEC_PER_SEC / USEC_PER_MSEC, 3);
	buf_char(&detail, 's');
	queue_say(q, "delivered", m, r, note, buf_span(&detail));
	queue_rcpt_touch(q, m, r, true);
	if (!told)
		return;
	queue_rcpt_succeed(q, m, r, note_ref(note));
	r->flags |= relayed ? RF_RELAYED : 0;
}

/* No session was had: what was tried waits at its site, in turn; only the probe counts. */
static void rcpt_no_session(struct queue *q, const struct handed *h, struct mail *m, struct rcpt *r)
{
	if (h->probe && r->attempts < UINT16_MAX) {
		r->attempts++;
		queue_say(q, "deferred", m, r, r->note, SPAN_LIT("next=probe"));
		queue_rcpt_again(q, m, r);
		queue_rcpt_touch(q, m, r, true);
		return;
	}
	queue_rcpt_again(q, m, r);
}

static void rcpt_deferred(
	struct queue *q, const struct handed *h, struct mail *m, struct rcpt *r, bool no_session)
{
	if (r->flags & (RF_DROP | RF_HOLD))
		queue_rcpt_again(q, m, r);
	else if (no_session)
		rcpt_no_session(q, h, m, r);
	else
		queue_rcpt_defer(q, m, r);
}

static struct rcpt *rcpt_in_flight(const struct handed *h, uint32_t index)
{
	if (index >= h->m->n_rcpts)
		return NULL;
	struct rcpt *r = &h->m->rcpts[index];
	return r->state == RCPT_IN_FLIGHT && r->flight == (uint32_t)h->id ? r : NULL;
}

static void outcome_rcpt_apply(struct queue *q, const struct handed *h, const struct outcome *o,
	const struct outcome_rcpt *res, struct verdict_count *c)
{
	struct rcpt *r = rcpt_in_flight(h, res->index);

	if (!r || res->result == OUTCOME_NOT_TRIED)
		return;
	struct note *note = note_of(o, res, h->hop ? h->hop->site : NULL, c);
	switch (res->result) {
	case OUTCOME_DELIVERED:
		c->delivered++;
		rcpt_delivered(q, h, r, res, note);
		note_unref(note);
		break;
	case OUTCOME_FAILED:
		c->failed++;
		queue_rcpt_note(r, note);
		queue_rcpt_fail(q, h->m, r);
		break;
	default:
		c->deferred++;
		queue_rcpt_note(r, note);
		rcpt_deferred(q, h, h->m, r, c->no_session);
		break;
	}
}

/* Recipients without a result were not tried. */
static void outcome_untried(struct queue *q, const struct handed *h, const struct verdict_count *c)
{
	bool progress = c->delivered || c->failed || c->deferred || c->no_session;
	bool again = progress || h->m->fruitless + 1u < QUEUE_FRUITLESS;

	h->m->fruitless = progress || !again ? 0 : (uint8_t)(h->m->fruitless + 1u);

	for (uint32_t k = 0; k < h->n; k++) {
		struct rcpt *r = rcpt_in_flight(h, h->rcpts[k]);
		if (!r)
			continue;
		if (again || (r->flags & (RF_DROP | RF_HOLD))) {
			queue_rcpt_again(q, h->m, r);
			continue;
		}
		queue_rcpt_note(
			r, note_new(0, false, SPAN_LIT("4.4.2"),
				   SPAN_LIT("the session ended before it was tried"), SPAN_NULL));
		queue_rcpt_defer(q, h->m, r);
	}
}

/* Gives back the job's place in the window, and what its site learns from it. */
static void job_end(struct queue *q, struct handed *h, const struct verdict_count *c)
{
	enum site_change change = SITE_UNKNOWN;

	if (c->no_session)
		change = SITE_NO_SESSION;
	else if (c->delivered || c->failed)
		change = SITE_SUCCESS;
	else if (c->deferred)
		change = SITE_FAILURE;
	if (h->hop) {
		queue_site_result(q, h->hop->site, h->probe, change, c->last);
		queue_site_release(q, h->hop->site, h->probe);
	}
	for (struct handed **at = &h->m->jobs; *at; at = &(*at)->next) {
		if (*at != h)
			continue;
		*at = h->next;
		break;
	}
	h->m = NULL;
}

/* Somebody answered for good: whatever else is said, a session was had. */
static bool outcome_is_final(const struct outcome *o)
{
	for (uint32_t k = 0; k < o->n_rcpts; k++) {
		if (o->rcpts[k].result == OUTCOME_DELIVERED || o->rcpts[k].result == OUTCOME_FAILED)
			return true;
	}
	return false;
}

void queue_outcome(struct queue *q, const struct outcome *o)
{
	struct handed *h = map_get_u64(q->jobs, o->job);

	assert(q->started);
	if (!h) {
		/* Its entry is durable: the deliverer did not hear so. */
		q->ops.outcome_kept(q->arg, o->job);
		return;
	}
	struct mail *m = h->m;
	if (!m || h->message != o->message)
		return;
	struct verdict_count count = {.no_session = o->site_down && !outcome_is_final(o)};
	bool front = !(count.no_session && h->probe);
	for (uint32_t k = 0; k < o->n_rcpts; k++)
		outcome_rcpt_apply(q, h, o, &o->rcpts[k], &count);
	outcome_untried(q, h, &count);
	m->crashes = 0;
	job_end(q, h, &count);
	note_unref(count.last);
	queue_after(q, EFFECT_KEPT, h->id, 0);
	queue_settle(q, m, h, front);
}

/* ---- a deliverer died ---- */

static void rcpt_crashed(struct queue *q, struct mail *m, struct rcpt *r)
{
	queue_rcpt_note(r,
		note_new(0, false, SPAN_LIT("4.3.0"),
			SPAN_LIT("deliverers died while they had only this message"), SPAN_NULL));
	queue_rcpt_hold(q, m, r);
}

/* One death takes all jobs of a message that were with that deliverer: it counts once. */
static void count_crash(struct mail *m, const struct handed *h)
{
	if (h->crashes == m->crashes && m->crashes < UINT8_MAX)
		m->crashes++;
}

/* It ended without an outcome: its recipients go again, or are held. */
static void job_gone(struct queue *q, struct handed *h, bool dot_sent, bool held)
{
	struct mail *m = h->m;

	for (uint32_t k = 0; k < h->n; k++) {
		struct rcpt *r = rcpt_in_flight(h, h->rcpts[k]);
		if (!r)
			continue;
		if (dot_sent) {
			r->flags |= RF_SUSPECT;
			queue_say(q, "possible-duplicate", m, r, NULL, SPAN_NULL);
		}
		if (held)
			rcpt_crashed(q, m, r);
		else
			queue_rcpt_again(q, m, r);
	}
	job_end(q, h, &(struct verdict_count){0});
	/* Without an OUTCOME entry the job stays open in the ledger: a recovery names it again. */
	queue_settle(q, m, dot_sent ? NULL : h, false);
	queue_job_free(q, h);
}

void queue_job_unsent(struct queue *q, uint64_t job)
{
	struct handed *h = map_get_u64(q->jobs, job);

	if (h && h->m)
		job_gone(q, h, false, false);
}

void queue_job_lost(struct queue *q, uint64_t job, bool dot_sent)
{
	struct handed *h = map_get_u64(q->jobs, job);

	if (!h || !h->m)
		return;
	count_crash(h->m, h);
	job_gone(q, h, dot_sent, h->m->crashes >= QUEUE_CRASHES_HELD);
}
