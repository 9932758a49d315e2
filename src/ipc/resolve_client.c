/* The asking side of the resolver. An open question is its owner's memory (a fiber's stack, an
 * entry of the queue), linked in a list and found by token when its answer comes; it is unlinked
 * before its owner hears of it, so a late answer finds nothing and is ignored.
 *
 * Without a resolver (it is being restarted) questions wait in the list, and a new channel gets
 * all of them; a question that two resolvers took without an answer is not given to a third, so
 * that one name that kills resolvers does not do so for ever. What cannot be sent now because the
 * resolver does not read waits too, until its deadline. */
#include "ipc/resolve_client.h"
#include "base/map.h"
#include "ipc/frames.h"
#include "net/channel.h"
#include <stdlib.h>

#define SENDS_MAX    2u
#define ANSWER_MAX   (256u * 1024u) /* an answer's decoded arrays */
#define QUESTION_MAX 4096u
#define CANCEL_WAIT  USEC_PER_SEC

struct resolve_client {
	struct channel *channel; /* NULL: none now */
	struct list open;	 /* struct resolve_query */
	struct map *by_token;
	uint64_t next_token, wait_usec;
	struct buf payload;
	struct arena *arena; /* of the answer being told */
};

static void query_unlink(struct resolve_query *q)
{
	loop_timer_cancel(&q->deadline);
	list_remove(&q->node);
	(void)map_remove_u64(q->client->by_token, q->token);
}

static void query_end(struct resolve_query *q, const struct resolve_answer *a)
{
	query_unlink(q);
	q->done(q, a);
}

static void query_fail(struct resolve_query *q, enum resolve_status status)
{
	struct resolve_answer a = {.token = q->token, .status = status};

	query_end(q, &a);
}

static void query_send(struct resolve_client *c, struct resolve_query *q)
{
	struct resolve_ask ask = {q->token, q->name, q->type};

	if (!c->channel || !channel_is_open(c->channel))
		return;
	buf_reset(&c->payload);
	resolve_ask_encode(&ask, &c->payload);
	if (c->payload.error ||
		channel_send(c->channel, FRAME_RESOLVE, buf_span(&c->payload), NULL, 0) < 0)
		return; /* the deadline ends it, or the next channel takes it */
	q->sends++;
}

static void on_deadline(struct loop_timer *t)
{
	query_fail(CONTAINER_OF(t, struct resolve_query, deadline), RESOLVE_TIMEOUT);
}

static int client_on_frame(void *arg, struct frame *f)
{
	struct resolve_client *c = arg;
	struct resolve_answer a;

	if (f->type != FRAME_RESOLVE_ANSWER)
		return -EPROTO;
	arena_reset(c->arena);
	int r = resolve_answer_decode(f->payload, c->arena, &a);
	if (r < 0)
		return r;
	struct resolve_query *q = map_get_u64(c->by_token, a.token);
	if (q)
		query_end(q, &a);
	return 0;
}

static void client_on_close(void *arg, int error)
{
	struct resolve_client *c = arg;

	(void)error; /* the supervisor says why a process died */
	channel_free(TAKE(c->channel));
}

static const struct channel_ops client_channel_ops = {
	.on_frame = client_on_frame,
	.on_close = client_on_close,
};

int resolve_client_new(struct resolve_client **ret_client)
{
	struct resolve_client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->by_token = map_new(0);
	c->arena = arena_new(ANSWER_MAX);
	if (!c->by_token || !c->arena) {
		map_free(c->by_token);
		arena_free(c->arena);
		free(c);
		return -ENOMEM;
	}
	list_init(&c->open);
	c->payload = BUF_INIT(QUESTION_MAX);
	c->wait_usec = RESOLVE_WAIT_USEC;
	*ret_client = c;
	return 0;
}

void resolve_client_free(struct resolve_client *c)
{
	if (!c)
		return;
	assert(list_empty(&c->open));
	channel_free(c->channel);
	map_free(c->by_token);
	arena_free(c->arena);
	buf_done(&c->payload);
	free(c);
}

void resolve_client_set_wait(struct resolve_client *c, uint64_t usec)
{
	c->wait_usec = usec;
}

int resolve_client_attach(struct resolve_client *c, int fd)
{
	struct channel *channel = NULL;
	struct list again;
	int r = channel_new(fd, &client_channel_ops, c, &channel);

	if (r < 0)
		return r;
	channel_free(c->channel);
	c->channel = channel;
	/* Whoever hears of a failure may ask again: those go to the other list. */
	list_init(&again);
	for (struct list *n; (n = list_pop_front(&c->open));)
		list_push_back(&again, n);
	for (struct list *n; (n = list_pop_front(&again));) {
		struct resolve_query *q = CONTAINER_OF(n, struct resolve_query, node);
		list_push_back(&c->open, n);
		if (q->sends >= SENDS_MAX)
			query_fail(q, RESOLVE_UNAVAILABLE);
		else
			query_send(c, q);
	}
	return 0;
}

int resolve_start(struct resolve_client *c, struct resolve_query *q)
{
	assert(!list_linked(&q->node) && q->done);
	q->client = c;
	q->token = c->next_token++;
	q->sends = 0;
	q->deadline = (struct loop_timer){.fn = on_deadline};
	int r = map_put_u64(c->by_token, q->token, q);
	if (r < 0)
		return r;
	r = loop_timer_set(&q->deadline, loop_now_usec() + c->wait_usec);
	if (r < 0) {
		(void)map_remove_u64(c->by_token, q->token);
		return r;
	}
	list_push_back(&c->open, &q->node);
	query_send(c, q);
	return 0;
}

void resolve_cancel(struct resolve_query *q)
{
	if (list_linked(&q->node))
		query_unlink(q);
}

/* ---- for fibers ---- */

struct waiting {
	struct resolve_query query;
	struct cond cond;
	struct arena *arena;
	struct resolve_answer *ret;
	int result; /* 1: none yet */
};

static void waiting_done(struct resolve_query *q, const struct resolve_answer *a)
{
	struct waiting *w = CONTAINER_OF(q, struct waiting, query);

	w->result = resolve_answer_copy(a, w->arena, w->ret);
	cond_broadcast(&w->cond);
}

int resolve(struct resolve_client *c, struct span name, uint16_t type, struct arena *a,
	struct resolve_answer *ret)
{
	struct resolve_answer answer;
	struct waiting w = {.query = {.name = name, .type = type, .done = waiting_done},
		.arena = a,
		.ret = &answer,
		.result = 1};
	/* The question's own deadline comes first; this one is for the rule that waits have one. */
	uint64_t deadline = loop_now_usec() + c->wait_usec + CANCEL_WAIT;

	cond_init(&w.cond);
	int r = resolve_start(c, &w.query);
	while (r >= 0 && w.result > 0)
		r = cond_wait(&w.cond, deadline);
	resolve_cancel(&w.query);
	if (w.result > 0)
		return r;
	if (w.result == 0)
		*ret = answer;
	return w.result;
}
