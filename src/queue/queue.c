/* The queue as a whole: making it, its clock, its turn. What happens within a turn is in the files
 * beside this one; README.md says which. The core owns no fd, reads no clock and logs nothing:
 * time comes in by queue_time, everything goes out by queue_ops.
 *
 * Memory: what a new message needs is asked for where the owner can still be told -ENOMEM
 * (queue_committed). Where a step is already under way a failed allocation aborts: the ledger is
 * the truth, and a restarted dispatcher recovers from it. */
#include "queue/queue_internal.h"
#include "base/clock.h"

#include <stdlib.h>

#define ENTRY_MAX  (1u << 20)
#define DETAIL_MAX 4096u

void *queue_grow(void *p, size_t *cap, size_t n, size_t each)
{
	if (n <= *cap)
		return p;
	size_t more = *cap ? *cap : 16;
	while (more < n)
		more *= 2;
	p = realloc(p, more * each);
	if (!p)
		abort();
	*cap = more;
	return p;
}

void *queue_scratch(struct queue *q, size_t octets)
{
	q->scratch = queue_grow(q->scratch, &q->cap_scratch, octets, 1);
	return q->scratch;
}

/* splitmix64 (Steele, Lea, Flood 2014): jitter needs no more. */
uint64_t queue_random(struct queue *q)
{
	uint64_t z = (q->random += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void queue_say(struct queue *q, const char *event, const struct mail *m, const struct rcpt *r,
	const struct note *n, struct span detail)
{
	struct outcome_rcpt res = {.code = n ? n->code : 0,
		.enhanced = note_enhanced(n),
		.text = note_text(n),
		.result = OUTCOME_DEFERRED};

	if (r) {
		res.index = (uint32_t)(r - m->rcpts);
		if (r->state == RCPT_DELIVERED || r->state == RCPT_SUCCEEDED)
			res.result = OUTCOME_DELIVERED;
		else if (r->state == RCPT_FAILED || r->state >= RCPT_REPORTED)
			res.result = OUTCOME_FAILED;
	}
	q->ops.event(q->arg, event, m ? m->id : 0, r ? rcpt_address(r) : SPAN_NULL, n ? &res : NULL,
		note_remote(n), detail);
}

static int queue_maps(struct queue *q)
{
	struct map **maps[] = {&q->jobs, &q->sites, &q->hops, &q->done, &q->known, &q->mx_asks};

	for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
		*maps[i] = map_new(q->settings.seed);
		if (!*maps[i])
			return -ENOMEM;
	}
	return 0;
}

int queue_new(const struct queue_ops *ops, void *arg, const struct queue_settings *s,
	struct queue **ret_queue)
{
	struct queue *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->ops = *ops;
	q->arg = arg;
	q->settings = *s;
	q->random = s->seed;
	if (!s->seed)
		random_octets(&q->random, sizeof(q->random));
	q->random_key = queue_random(q);
	q->next_job = 1;
	q->entry = BUF_INIT(ENTRY_MAX);
	struct list *lists[] = {&q->runnable, &q->idle_sites, &q->asks_free, &q->asked, &q->ask_new,
		&q->ask_again, &q->mx_new, &q->mx_again, &q->mx_asked};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		list_init(lists[i]);
	for (size_t i = 0; i < QUEUE_ASKS; i++)
		list_push_back(&q->asks_free, &q->asks[i].node);
	if (queue_maps(q) < 0) {
		queue_free(q);
		return -ENOMEM;
	}
	*ret_queue = q;
	return 0;
}

static void jobs_free(struct queue *q)
{
	size_t cursor = 0;

	for (struct handed *h; q->jobs && (h = map_next(q->jobs, &cursor));)
		queue_job_free(q, h);
}

void queue_free(struct queue *q)
{
	uint64_t id = 0;

	if (!q)
		return;
	for (struct mail *m; (m = table_from(&q->mails, id, &id)); id++)
		queue_mail_free(q, m);
	jobs_free(q);
	while (!list_empty(&q->idle_sites))
		queue_site_free(q, CONTAINER_OF(q->idle_sites.next, struct site, idle));
	if (q->done)
		queue_done_trim(q, true);
	queue_replay_done(q);
	struct map *maps[] = {q->jobs, q->sites, q->hops, q->done, q->known, q->mx_asks};
	for (size_t i = 0; i < ARRAY_LEN(maps); i++)
		map_free(maps[i]);
	table_done(&q->mails);
	heap_done(&q->heap);
	buf_done(&q->entry);
	free(q->effects.ring);
	free(q->touched);
	free(q->scratch);
	free(q);
}

void queue_set_settings(struct queue *q, const struct queue_settings *s)
{
	uint64_t id = 0;

	q->settings = *s;
	for (struct mail *m; q->started && (m = table_from(&q->mails, id, &id)); id++)
		queue_mail_timer(q, m);
}

void queue_reroute(struct queue *q)
{
	uint64_t id = 0;

	for (struct mail *m; (m = table_from(&q->mails, id, &id)); id++) {
		if (list_empty(&m->batches))
			continue;
		queue_dissolve(q, m);
		for (size_t i = 0; i < q->n_touched; i++) {
			struct rcpt *r = &m->rcpts[q->touched[i]];
			if (r->state == RCPT_ROUTED)
				queue_rcpt_set(q, m, r, RCPT_ROUTING);
		}
		queue_untouch(q, m);
		queue_ask(q, m);
	}
}

void queue_time(struct queue *q, uint64_t now, uint64_t wall)
{
	q->now = MAX(q->now, now);
	q->wall = wall;
}

/* RFC 4865: not before its time. Nothing is written: recovery knows it from the envelope. */
static void mail_hold_back(struct queue *q, struct mail *m)
{
	uint64_t ahead = queue_mail_held_back(q, m);

	for (uint32_t i = 0; ahead && i < m->n_rcpts; i++) {
		queue_rcpt_set(q, m, &m->rcpts[i], RCPT_DEFERRED);
		m->rcpts[i].due = q->now + ahead;
	}
	if (ahead)
		queue_say(q, "scheduled", m, NULL, NULL, SPAN_NULL);
}

bool queue_has(const struct queue *q, uint64_t id)
{
	return table_get(&q->mails, id) != NULL;
}

bool queue_knows(const struct queue *q, uint64_t id)
{
	return table_get(&q->mails, id) || queue_done_has(q, id);
}

int queue_committed(struct queue *q, const struct message *m, const struct record_ref *commit)
{
	struct mail *mail;

	assert(q->started);
	if (queue_knows(q, m->id))
		return 0;
	if (heap_reserve(&q->heap, q->timers + 1) < 0)
		return -ENOMEM;
	int r = mail_new(m, commit, &mail);
	if (r < 0)
		return r;
	r = table_put(&q->mails, m->id, mail);
	if (r < 0) {
		queue_mail_free(q, mail);
		return r;
	}
	q->timers++;
	/* A notice comes at once; a clock that was stepped in between does not age the message. */
	queue_mail_born(q, mail, QUEUE_GRACE_USEC);
	q->live_mails++;
	q->by_state[RCPT_EXPANDING] += mail->n_rcpts;
	mail->live = mail->pending = mail->n_rcpts;
	queue_say(q, "queued", mail, NULL, NULL, SPAN_NULL);
	mail_hold_back(q, mail);
	if (mail->pending)
		queue_ask(q, mail);
	queue_mail_timer(q, mail);
	return 1;
}

void queue_run(struct queue *q, unsigned max_jobs)
{
	assert(q->started);
	queue_timers_run(q);
	queue_asks_run(q);
	queue_mx_run(q);
	queue_jobs_run(q, max_jobs);
	if (!q->want_sync)
		return;
	q->want_sync = false;
	q->ops.ledger_sync(q->arg, ++q->ticket);
}

uint64_t queue_next_due(const struct queue *q)
{
	const struct timer *t = heap_first(&q->heap);
	uint64_t due = t ? t->due : USEC_INFINITY;

	if (q->want_sync || (!list_empty(&q->asks_free) &&
				    !(list_empty(&q->ask_new) && list_empty(&q->ask_again))))
		return q->now;
	due = MIN(due, queue_mx_due(q));
	if (!list_empty(&q->asked))
		due = MIN(
			due, CONTAINER_OF(q->asked.next, struct ask, node)->asked + QUEUE_ASK_USEC);
	return due;
}

struct queue_counts queue_counts(const struct queue *q)
{
	const uint64_t *n = q->by_state;
	uint64_t ready = n[RCPT_EXPANDING] + n[RCPT_ROUTING] + n[RCPT_ROUTED] + n[RCPT_READY];

	return (struct queue_counts){.messages = q->live_mails,
		.recipients = ready + n[RCPT_IN_FLIGHT] + n[RCPT_DEFERRED] + n[RCPT_HELD] +
			      n[RCPT_FAILED] + n[RCPT_SUCCEEDED],
		.ready = ready - q->ready_down,
		.deferred = n[RCPT_DEFERRED] + q->ready_down,
		.held = n[RCPT_HELD],
		.in_flight = n[RCPT_IN_FLIGHT]};
}
