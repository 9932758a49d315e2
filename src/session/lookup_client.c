/* The receiver's side of its one question to the directory.
 *
 * An open question lies on its fiber's stack, linked in a list and found by token when its answer
 * comes; it is unlinked before the fiber goes on, whatever woke it, so a late answer finds nothing
 * and is ignored. Without a directory (it is being restarted) questions wait in the list, and a
 * new channel gets all of them; a question that was sent twice without an answer fails, so that
 * one address that kills the directory does not do so for ever. */
#include "session/lookup_client.h"
#include "base/map.h"
#include "fiber/fiber.h"
#include "ipc/frames.h"
#include "net/channel.h"
#include "session/limits.h"

#include <stdlib.h>

struct lookup_client {
	struct channel *channel; /* NULL: none now */
	struct list open;	 /* struct question */
	struct map *by_token;
	uint64_t next_token;
	struct buf payload;
};
struct question {
	struct list node;
	uint64_t token;
	struct span address;
	unsigned sends;
	bool answered;
	int result;
	enum lookup_status status;
	struct cond cond;
};

static void question_answer(struct question *q, int result, enum lookup_status status)
{
	q->answered = true;
	q->result = result;
	q->status = status;
	cond_broadcast(&q->cond);
}

static void question_send(struct lookup_client *c, struct question *q)
{
	struct lookup l = {.token = q->token, .address = q->address};

	if (!c->channel || !channel_is_open(c->channel) || q->answered)
		return;
	if (q->sends == LOOKUP_SENDS_MAX) {
		question_answer(q, 0, LOOKUP_TEMPORARY);
		return;
	}
	buf_reset(&c->payload);
	lookup_encode(&l, &c->payload);
	int r = c->payload.error;
	if (r == 0)
		r = channel_send(c->channel, FRAME_LOOKUP, buf_span(&c->payload), NULL, 0);
	if (r == -EPIPE)
		return; /* it waits for the next channel */
	if (r < 0)
		question_answer(q, r, LOOKUP_TEMPORARY);
	else
		q->sends++;
}

static int client_on_frame(void *arg, struct frame *f)
{
	struct lookup_client *c = arg;
	struct lookup_answer a;

	if (f->type != FRAME_LOOKUP_ANSWER)
		return -EPROTO;
	int r = lookup_answer_decode(f->payload, &a);
	if (r < 0)
		return r;
	struct question *q = map_get_u64(c->by_token, a.token);
	if (q && !q->answered)
		question_answer(q, 0, a.status);
	return 0;
}

static void client_on_close(void *arg, int error)
{
	struct lookup_client *c = arg;

	(void)error; /* the supervisor says why a process died */
	channel_free(TAKE(c->channel));
}

static const struct channel_ops client_channel_ops = {
	.on_frame = client_on_frame,
	.on_close = client_on_close,
};

int lookup_client_new(struct lookup_client **ret_client)
{
	struct lookup_client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->by_token = map_new(0);
	if (!c->by_token) {
		free(c);
		return -ENOMEM;
	}
	list_init(&c->open);
	c->payload = BUF_INIT(64 * 1024);
	*ret_client = c;
	return 0;
}

void lookup_client_free(struct lookup_client *c)
{
	if (!c)
		return;
	assert(list_empty(&c->open));
	channel_free(c->channel);
	map_free(c->by_token);
	buf_done(&c->payload);
	free(c);
}

int lookup_client_attach(struct lookup_client *c, int fd)
{
	struct channel *channel = NULL;
	int r = channel_new(fd, &client_channel_ops, c, &channel);

	if (r < 0)
		return r;
	channel_free(c->channel);
	c->channel = channel;
	list_foreach_safe (it, tmp, &c->open)
		question_send(c, CONTAINER_OF(it, struct question, node));
	return 0;
}

int lookup_ask(struct lookup_client *c, struct span address, enum lookup_status *ret_status)
{
	struct question q = {.token = c->next_token++, .address = address};
	uint64_t deadline = loop_now_usec() + LOOKUP_WAIT_USEC;

	cond_init(&q.cond);
	int r = map_put_u64(c->by_token, q.token, &q);
	if (r < 0)
		return r;
	list_push_back(&c->open, &q.node);
	question_send(c, &q);
	while (r >= 0 && !q.answered)
		r = cond_wait(&q.cond, deadline);
	list_remove(&q.node);
	(void)map_remove_u64(c->by_token, q.token);
	if (r < 0 && !q.answered)
		return r;
	if (q.result < 0)
		return q.result;
	*ret_status = q.status;
	return 0;
}
