/* Next hops that only the DNS knows. The directory says "by MX" and a domain; what that means now
 * is one question for each domain (struct mx_wait), whatever number of messages wait for it. They
 * wait as ready batches, beside the sites: nothing of another domain waits with them, the message's
 * other recipients go ahead, and an operator or the clock takes them away as from any lane.
 *
 * The answer is a next hop like any other, with the MX set in it, at the site that all domains with
 * this set share; or a failure, for good or for now, of this domain alone. Nothing is remembered:
 * the resolver has the cache.
 *
 * At most QUEUE_MX_ASKS questions are out, at most half of them for domains whose mail has been
 * tried before: what waits for dead name servers leaves room for new mail. */
#include "queue/queue_internal.h"

#include <stdlib.h>

static struct mx_wait *wait_new(struct queue *q, struct next_hop *hop, bool fresh)
{
	struct mx_wait *w = calloc(1, sizeof(*w));

	if (!w)
		abort(); /* a step is under way: recovery restores it */
	w->hop = hop;
	w->fresh = fresh;
	hop->refs++;
	hop->wait = w;
	list_init(&w->batches);
	list_push_back(fresh ? &q->mx_new : &q->mx_again, &w->node);
	return w;
}

/* Its question is no longer out; a late answer finds nothing. */
static void wait_unasked(struct queue *q, struct mx_wait *w)
{
	if (!w->token)
		return;
	(void)map_remove_u64(q->mx_asks, w->token);
	w->token = 0;
	q->mx_out--;
	q->mx_out_again -= w->fresh ? 0 : 1;
}

static void wait_free(struct queue *q, struct mx_wait *w)
{
	wait_unasked(q, w);
	list_remove(&w->node);
	w->hop->wait = NULL;
	queue_hop_unref(q, w->hop);
	free(w);
}

void queue_mx_park(struct queue *q, struct batch *b, bool front)
{
	struct mx_wait *w = b->hop->wait;

	if (!w)
		w = wait_new(q, b->hop, b->m->rcpts[b->first].attempts == 0);
	b->front = front;
	list_push_back(&w->batches, &b->lane);
	list_push_back(&b->m->batches, &b->of_mail);
}

void queue_mx_unpark(struct queue *q, struct batch *b)
{
	struct mx_wait *w = b->hop->wait;

	list_remove(&b->lane);
	list_remove(&b->of_mail);
	if (w && list_empty(&w->batches))
		wait_free(q, w);
}

/* ---- asking ---- */

static void wait_ask(struct queue *q, struct mx_wait *w)
{
	w->token = ++q->mx_token;
	if (map_put_u64(q->mx_asks, w->token, w) < 0)
		abort();
	w->asked = q->now;
	q->mx_out++;
	q->mx_out_again += w->fresh ? 0 : 1;
	list_remove(&w->node);
	list_push_back(&q->mx_asked, &w->node);
	q->ops.mx(q->arg, w->token, w->hop->host, w->hop->route);
}

static struct mx_wait *mx_turn(struct queue *q)
{
	bool again_may = q->mx_out_again < QUEUE_MX_ASKS / 2 && !list_empty(&q->mx_again);
	bool new_may = !list_empty(&q->mx_new);

	if (q->mx_out >= QUEUE_MX_ASKS || (!again_may && !new_may))
		return NULL;
	q->mx_turn = !q->mx_turn;
	bool again = again_may && (q->mx_turn || !new_may);
	return CONTAINER_OF(again ? q->mx_again.next : q->mx_new.next, struct mx_wait, node);
}

void queue_mx_run(struct queue *q)
{
	struct mx_wait *w;

	/* Who should answer always does; this is for an owner that lost the question. */
	while (!list_empty(&q->mx_asked)) {
		w = CONTAINER_OF(q->mx_asked.next, struct mx_wait, node);
		if (q->now - w->asked < QUEUE_MX_USEC)
			break;
		wait_unasked(q, w);
		list_remove(&w->node);
		list_push_back(&q->mx_again, &w->node);
		w->fresh = false;
	}
	while ((w = mx_turn(q)))
		wait_ask(q, w);
}

uint64_t queue_mx_due(const struct queue *q)
{
	bool room = q->mx_out < QUEUE_MX_ASKS;
	bool again = q->mx_out_again < QUEUE_MX_ASKS / 2 && !list_empty(&q->mx_again);

	if (room && (again || !list_empty(&q->mx_new)))
		return q->now;
	if (list_empty(&q->mx_asked))
		return USEC_INFINITY;
	return CONTAINER_OF(q->mx_asked.next, struct mx_wait, node)->asked + QUEUE_MX_USEC;
}

/* ---- answers ---- */

/* The batch goes on to its site. */
static void batch_resolved(struct queue *q, struct batch *b, struct next_hop *hop)
{
	uint32_t i = b->first;

	list_remove(&b->lane);
	list_remove(&b->of_mail);
	for (uint32_t n = b->n; n > 0; n--) {
		struct rcpt *r = &b->m->rcpts[i];
		i = r->next;
		hop->refs++;
		queue_rcpt_hop(q, r, hop);
	}
	b->hop = hop;
	queue_batch_add(q, b, b->front);
}

static void batch_failed(struct queue *q, struct batch *b, const struct hop *why)
{
	struct mail *m = b->m;
	bool good = why->kind == HOP_FAIL;
	uint32_t i = b->first;

	for (uint32_t n = b->n; n > 0; n--) {
		struct rcpt *r = &m->rcpts[i];
		i = r->next;
		queue_rcpt_note(
			r, note_new(good ? 550 : 451, false, why->enhanced, why->text, SPAN_NULL));
		if (good)
			queue_rcpt_fail(q, m, r);
		else
			queue_rcpt_defer(q, m, r);
	}
	queue_batch_free(q, b);
	queue_settle(q, m, NULL, false);
}

void queue_mx_answered(struct queue *q, uint64_t token, const struct hop *answer)
{
	static const struct hop no_memory = {
		.kind = HOP_TEMPORARY, .enhanced = {"4.3.0", 5}, .text = {"out of memory", 13}};
	struct mx_wait *w = map_get_u64(q->mx_asks, token);
	struct next_hop *next = NULL;
	struct hop hop = *answer;

	if (!w)
		return;
	if (hop.kind == HOP_DELIVER) {
		/* What the directory said of the way stays as it is. */
		hop.via = w->hop->via;
		hop.port = w->hop->port;
		hop.route = w->hop->route;
		next = queue_hop(q, &hop);
	}
	if (next) {
		/* The last one would take the question along: that is for later. */
		struct list batches;
		list_init(&batches);
		for (struct list *n; (n = list_pop_front(&w->batches));)
			list_push_back(&batches, n);
		wait_free(q, w);
		for (struct list *n; (n = list_pop_front(&batches));)
			batch_resolved(q, CONTAINER_OF(n, struct batch, lane), next);
		queue_hop_unref(q, next);
		return;
	}
	wait_unasked(q, w);
	/* With its last batch the wait is freed. */
	for (bool last = false; !last;) {
		struct batch *b = CONTAINER_OF(w->batches.next, struct batch, lane);
		last = b->lane.next == &w->batches;
		batch_failed(q, b, hop.kind == HOP_DELIVER ? &no_memory : &hop);
	}
}
