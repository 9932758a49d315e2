/* The receiver's side of its questions to the directory.
 *
 * An open question lies on its fiber's stack, linked in a list and found by token when its answer
 * comes; it is unlinked before the fiber goes on, whatever woke it, so a late answer finds nothing
 * and is ignored. Without a directory (it is being restarted) questions wait in the list, and a
 * new channel sends them again as often as their kind allows: an address that kills directories
 * must not kill one after the other, and a step of an exchange means nothing to a new one. */
#include "session/lookup_client.h"
#include "base/map.h"
#include "fiber/fiber.h"
#include "ipc/frames.h"
#include "mail/mechanism.h"
#include "net/channel.h"
#include "session/limits.h"

#include <stdlib.h>

#define PAYLOAD_MAX  (64u * 1024u)
#define TOKEN_OCTETS 8u

struct lookup_client {
	struct channel *channel; /* NULL: none now */
	struct list open;	 /* struct question */
	struct map *by_token;
	uint64_t next_token, generation;
	uint32_t offer;
	struct buf payload;
};
struct question {
	struct list node;
	const struct lookup_question *ask;
	uint64_t token;
	unsigned sends;
	bool answered;
	int result;
	struct buf *answer;
	struct cond cond;
};

static void question_answer(struct question *q, int result)
{
	q->answered = true;
	q->result = result;
	cond_broadcast(&q->cond);
}

static void question_send(struct lookup_client *c, struct question *q)
{
	if (!c->channel || !channel_is_open(c->channel) || q->answered)
		return;
	if (q->sends >= q->ask->sends) {
		question_answer(q, -EPIPE);
		return;
	}
	buf_reset(&c->payload);
	wire_put_u64(&c->payload, q->token);
	buf_put(&c->payload, q->ask->payload);
	int r = c->payload.error;
	if (r == 0)
		r = channel_send(c->channel, q->ask->type, buf_span(&c->payload), NULL, 0);
	if (c->payload.ptr)
		explicit_bzero(c->payload.ptr, c->payload.len); /* it may hold a password */
	if (r == -EPIPE)
		return; /* it waits for the next channel */
	if (r < 0)
		question_answer(q, r);
	else
		q->sends++;
}

static int on_offer(struct lookup_client *c, struct span payload)
{
	struct wire w = wire_reader(payload);
	uint32_t offer = wire_get_u32(&w);

	if (w.error)
		return w.error;
	c->offer = offer & MECH_ALL;
	return 0;
}

static int client_on_frame(void *arg, struct frame *f)
{
	struct lookup_client *c = arg;
	struct wire w = wire_reader(f->payload);

	if (f->type == FRAME_AUTH_OFFER)
		return on_offer(c, f->payload);
	uint64_t token = wire_get_u64(&w);
	if (w.error)
		return w.error;
	struct question *q = map_get_u64(c->by_token, token);
	if (!q || q->answered)
		return 0;
	if (f->type != q->ask->answer_type)
		return -EPROTO;
	buf_put(q->answer, w.rest);
	question_answer(q, q->answer->error);
	return 0;
}

static void client_on_close(void *arg, int error)
{
	struct lookup_client *c = arg;

	(void)error; /* the supervisor says why a process died */
	channel_free(TAKE(c->channel));
	/* Who may not ask another one need not wait for it. */
	list_foreach_safe (it, tmp, &c->open) {
		struct question *q = CONTAINER_OF(it, struct question, node);
		if (!q->answered && q->sends >= q->ask->sends)
			question_answer(q, -EPIPE);
	}
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
	c->offer = MECH_BIT(MECH_PLAIN) | MECH_BIT(MECH_LOGIN);
	c->payload = BUF_INIT(PAYLOAD_MAX);
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
	c->generation++;
	list_foreach_safe (it, tmp, &c->open)
		question_send(c, CONTAINER_OF(it, struct question, node));
	return 0;
}

uint64_t lookup_client_generation(const struct lookup_client *c)
{
	return c->generation;
}

uint32_t lookup_client_offer(const struct lookup_client *c)
{
	return c->offer;
}

int lookup_client_ask(
	struct lookup_client *c, const struct lookup_question *ask, struct buf *ret_answer)
{
	struct question q = {.ask = ask, .token = ++c->next_token, .answer = ret_answer};
	uint64_t deadline = loop_now_usec() + ask->wait_usec;

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
	return q.answered ? q.result : r;
}

void lookup_client_tell(struct lookup_client *c, uint16_t type, struct span payload)
{
	if (!c->channel)
		return;
	buf_reset(&c->payload);
	wire_put_u64(&c->payload, 0);
	buf_put(&c->payload, payload);
	if (c->payload.error == 0)
		(void)!channel_send(c->channel, type, buf_span(&c->payload), NULL, 0);
}

/* The codecs of ipc/ write and read the token, too: it is taken off in front, or put back. */
int lookup_ask(struct lookup_client *c, struct span address, enum lookup_status *ret_status)
{
	struct buf payload = BUF_INIT(PAYLOAD_MAX), answer = BUF_INIT(PAYLOAD_MAX);
	struct lookup_answer a = {.status = LOOKUP_TEMPORARY};

	lookup_encode(&(struct lookup){.address = address}, &payload);
	wire_put_u64(&answer, 0);
	struct lookup_question q = {
		.type = FRAME_LOOKUP,
		.answer_type = FRAME_LOOKUP_ANSWER,
		.payload = span_from(buf_span(&payload), TOKEN_OCTETS),
		.sends = LOOKUP_SENDS_MAX,
		.wait_usec = LOOKUP_WAIT_USEC,
	};
	int r = payload.error | answer.error;
	if (r == 0)
		r = lookup_client_ask(c, &q, &answer);
	if (r == 0)
		r = lookup_answer_decode(buf_span(&answer), &a);
	buf_done(&payload);
	buf_done(&answer);
	if (r == -EPIPE || r == 0) {
		*ret_status = a.status;
		return 0;
	}
	return r;
}
