/* The asking side of the resolver; ipc/asker.h has how questions are put. A question that two
 * resolvers took without an answer is not given to a third, so that one name that kills resolvers
 * does not do so for ever. An answer is decoded into the client's arena and told at once. */
#include "ipc/resolve_client.h"
#include "ipc/frames.h"
#include <stdlib.h>

#define SENDS_MAX    2u
#define ANSWER_MAX   (256u * 1024u) /* an answer's decoded arrays */
#define QUESTION_MAX 4096u

struct resolve_client {
	struct asker asker;
	uint64_t wait_usec;
	struct arena *arena; /* of the answer being told */
	struct resolve_answer answer;
};

int resolve_client_new(struct resolve_client **ret_client)
{
	static const struct asker_ops ops = {.frame = NULL};
	struct resolve_client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->wait_usec = RESOLVE_WAIT_USEC;
	c->arena = arena_new(ANSWER_MAX);
	int r = c->arena ? asker_init(&c->asker, &ops, c, QUESTION_MAX) : -ENOMEM;
	if (r < 0) {
		arena_free(c->arena);
		free(c);
		return r;
	}
	*ret_client = c;
	return 0;
}

void resolve_client_free(struct resolve_client *c)
{
	if (!c)
		return;
	asker_done(&c->asker);
	arena_free(c->arena);
	free(c);
}

void resolve_client_set_wait(struct resolve_client *c, uint64_t usec)
{
	c->wait_usec = usec;
}

int resolve_client_attach(struct resolve_client *c, int fd)
{
	return asker_attach(&c->asker, fd);
}

static int take(void *arg, struct span answer)
{
	struct resolve_client *c = arg;

	arena_reset(c->arena);
	return resolve_answer_decode(answer, c->arena, &c->answer);
}

static enum resolve_status status_of(int error)
{
	return error == -ETIMEDOUT ? RESOLVE_TIMEOUT : RESOLVE_UNAVAILABLE;
}

static void on_done(struct asker_request *request, int result)
{
	struct resolve_query *q = CONTAINER_OF(request, struct resolve_query, request);
	const struct resolve_answer failure = {.status = status_of(result)};

	buf_done(&q->payload);
	q->done(q, result == 0 ? &q->client->answer : &failure);
}

int resolve_start(struct resolve_client *c, struct resolve_query *q)
{
	q->client = c;
	q->payload = BUF_INIT(QUESTION_MAX);
	resolve_ask_encode(&(struct resolve_ask){.name = q->name, .type = q->type}, &q->payload);
	q->question = (struct asker_question){.type = FRAME_RESOLVE,
		.answer_type = FRAME_RESOLVE_ANSWER,
		.payload = span_from(buf_span(&q->payload), ASKER_TOKEN_OCTETS),
		.sends = SENDS_MAX,
		.take = take,
		.arg = c};
	q->request = (struct asker_request){.ask = &q->question, .done = on_done};
	int r = q->payload.error;
	if (r == 0)
		r = asker_start(&c->asker, &q->request, loop_now_usec() + c->wait_usec);
	if (r < 0)
		buf_done(&q->payload);
	return r;
}

void resolve_cancel(struct resolve_query *q)
{
	asker_cancel(&q->request);
	buf_done(&q->payload);
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
	struct waiting w = {.query = {.name = name, .type = type, .done = waiting_done},
		.arena = a,
		.ret = ret,
		.result = 1};
	/* The question's own deadline comes first; this one is for the rule that waits have one. */
	uint64_t deadline = loop_now_usec() + c->wait_usec + USEC_PER_SEC;

	cond_init(&w.cond);
	int r = resolve_start(c, &w.query);
	while (r >= 0 && w.result > 0)
		r = cond_wait(&w.cond, deadline);
	resolve_cancel(&w.query);
	if (r == -ENOBUFS) { /* it does not read: as good as away */
		*ret = (struct resolve_answer){.status = RESOLVE_UNAVAILABLE};
		return 0;
	}
	return w.result > 0 ? r : w.result;
}
