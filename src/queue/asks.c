/* Questions to the directory: what does this address expand to, where does it go now?
 *
 * At most QUEUE_ASKS are out at once, so that a restart with a million messages neither floods the
 * directory nor stands in the way of new mail: new messages and old ones that ask again wait in two
 * lines which are served in turn. A question without an answer is put again after 30 s, under a
 * new token; whoever answers the old one is ignored. What a message knows by then goes ahead. */
#include "queue/queue_internal.h"

static uint64_t ask_token(const struct queue *q, const struct ask *a)
{
	return (uint64_t)a->generation << 32 | (uint64_t)(a - q->asks);
}

void queue_ask(struct queue *q, struct mail *m)
{
	m->ask_next = 0;
	if (list_linked(&m->ask))
		return;
	bool fresh = m->rcpts[0].state == RCPT_EXPANDING && !m->rcpts[0].attempts;
	list_push_back(fresh ? &q->ask_new : &q->ask_again, &m->ask);
}

static void ask_free(struct queue *q, struct ask *a)
{
	a->generation++;
	list_remove(&a->node);
	list_push_back(&q->asks_free, &a->node);
}

static void ask_send(struct queue *q, struct mail *m, uint32_t index)
{
	struct rcpt *r = &m->rcpts[index];
	struct list *node = list_pop_front(&q->asks_free);
	struct ask *a = CONTAINER_OF(node, struct ask, node);

	a->id = m->id;
	a->index = index;
	a->asked = q->now;
	a->route = r->state == RCPT_ROUTING;
	list_push_back(&q->asked, &a->node);
	r->flags |= RF_ASKED;
	struct expand_ask ask = {.token = ask_token(q, a),
		.address = rcpt_address(r),
		.reverse_path = mail_reverse_path(m),
		.relay = m->flags & MAIL_RELAY,
		.via = m->via ? text_span(m->via) : SPAN_NULL};
	if (a->route)
		q->ops.route(q->arg, &ask);
	else
		q->ops.expand(q->arg, &ask);
}

/* The next recipient of the message that has a question, or n_rcpts. */
static uint32_t ask_find(struct mail *m)
{
	uint32_t i = m->ask_next;

	for (; i < m->n_rcpts; i++) {
		const struct rcpt *r = &m->rcpts[i];
		if ((r->state == RCPT_EXPANDING || r->state == RCPT_ROUTING) &&
			!(r->flags & RF_ASKED))
			break;
	}
	return i;
}

/* The ask's recipient if it still waits for this very kind of answer. */
static struct rcpt *ask_rcpt(struct queue *q, const struct ask *a, struct mail **ret_mail)
{
	struct mail *m = table_get(&q->mails, a->id);

	if (!m || a->index >= m->n_rcpts)
		return NULL;
	struct rcpt *r = &m->rcpts[a->index];
	if (r->state != (a->route ? RCPT_ROUTING : RCPT_EXPANDING) || !(r->flags & RF_ASKED))
		return NULL;
	*ret_mail = m;
	return r;
}

static void ask_again(struct queue *q, struct ask *a)
{
	struct mail *m;
	struct rcpt *r = ask_rcpt(q, a, &m);

	ask_free(q, a);
	if (!r)
		return;
	r->flags &= (uint16_t)~RF_ASKED;
	queue_settle_all(q, m, false);
	queue_ask(q, m);
}

struct rcpt *queue_ask_take(struct queue *q, uint64_t token, bool route, struct mail **ret_mail)
{
	uint32_t slot = (uint32_t)token;

	if (slot >= QUEUE_ASKS || q->asks[slot].generation != (uint32_t)(token >> 32))
		return NULL;
	struct ask *a = &q->asks[slot];
	if (a->route != route)
		return NULL;
	struct rcpt *r = ask_rcpt(q, a, ret_mail);
	ask_free(q, a);
	return r;
}

void queue_directory_restarted(struct queue *q)
{
	/* Those that are put again meanwhile stand at the end, with a new generation. */
	for (size_t n = QUEUE_ASKS; n > 0 && !list_empty(&q->asked); n--)
		ask_again(q, CONTAINER_OF(q->asked.next, struct ask, node));
}

static struct mail *ask_turn(struct queue *q)
{
	struct list *first = q->ask_turn ? &q->ask_new : &q->ask_again;
	struct list *second = q->ask_turn ? &q->ask_again : &q->ask_new;

	q->ask_turn = !q->ask_turn;
	struct list *line = list_empty(first) ? second : first;
	return list_empty(line) ? NULL : CONTAINER_OF(line->next, struct mail, ask);
}

void queue_asks_run(struct queue *q)
{
	while (!list_empty(&q->asked)) {
		struct ask *oldest = CONTAINER_OF(q->asked.next, struct ask, node);
		if (q->now - oldest->asked < QUEUE_ASK_USEC)
			break;
		ask_again(q, oldest);
	}
	while (!list_empty(&q->asks_free)) {
		struct mail *m = ask_turn(q);
		if (!m)
			break;
		uint32_t i = ask_find(m);
		m->ask_next = i + 1;
		if (i < m->n_rcpts)
			ask_send(q, m, i);
		else
			list_remove(&m->ask);
	}
}
