/* Each question lives until its answer or until its client goes. An answer that the client's
 * channel does not take is dropped: the client has its own deadline. */
#include "control/questions.h"

#include "ipc/frames.h"
#include <stdlib.h>

#define ANSWER_MAX (256u * 1024u)

struct question {
	struct list node;
	struct questions *of;
	uint64_t token;
	struct resolve_query query;
	char name[];
};

static void question_free(struct question *q)
{
	resolve_cancel(&q->query);
	list_remove(&q->node);
	q->of->n--;
	free(q);
}

static void answer(struct questions *of, const struct resolve_answer *a, uint64_t token)
{
	struct resolve_answer own = *a;
	struct buf b = BUF_INIT(ANSWER_MAX);

	own.token = token;
	resolve_answer_encode(&own, &b);
	if (b.error == 0)
		(void)!channel_send(of->channel, FRAME_RESOLVE_ANSWER, buf_span(&b), NULL, 0);
	buf_done(&b);
}

static void on_answer(struct resolve_query *query, const struct resolve_answer *a)
{
	struct question *q = CONTAINER_OF(query, struct question, query);

	answer(q->of, a, q->token);
	question_free(q);
}

void questions_init(struct questions *q, struct resolve_client *resolver, struct channel *channel)
{
	*q = (struct questions){.resolver = resolver, .channel = channel};
	list_init(&q->open);
}

void questions_done(struct questions *q)
{
	list_foreach_safe (it, tmp, &q->open)
		question_free(CONTAINER_OF(it, struct question, node));
}

int questions_frame(struct questions *of, struct span payload)
{
	struct resolve_ask ask;
	int r = resolve_ask_decode(payload, &ask);

	if (r < 0)
		return r;
	struct question *q = of->n < QUESTIONS_MAX && ask.name.len <= RESOLVE_NAME_MAX + 1
				     ? calloc(1, sizeof(*q) + ask.name.len + 1)
				     : NULL;
	if (!q) {
		answer(of, &(struct resolve_answer){.status = RESOLVE_UNAVAILABLE}, ask.token);
		return 0;
	}
	memcpy(q->name, ask.name.ptr ? ask.name.ptr : "", ask.name.len);
	q->of = of;
	q->token = ask.token;
	q->query = (struct resolve_query){
		.name = span_make(q->name, ask.name.len), .type = ask.type, .done = on_answer};
	list_push_back(&of->open, &q->node);
	of->n++;
	r = resolve_start(of->resolver, &q->query);
	if (r < 0)
		question_free(q);
	return r;
}
