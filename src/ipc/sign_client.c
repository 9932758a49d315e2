/* The asking side of the keys process, called from inside of OpenSSL's handshakes.
 *
 * A question lies on its fiber's stack until it is answered, whatever wakes the fiber. Without a
 * keys process (it is being restarted) new questions wait for the next one. What was sent to one
 * that died is lost with it: a handshake fails, and a question that kills is not asked twice. A key
 * that is not known may be on its way (a reload tells both sides at the same time): such a
 * question is repeated a few times. */
#include "ipc/sign_client.h"
#include "base/map.h"
#include "ipc/frames.h"
#include "net/channel.h"
#include <stdlib.h>

#define PAYLOAD_MAX   512u
#define UNKNOWN_TRIES 20u
#define UNKNOWN_WAIT  (50 * USEC_PER_MSEC)

struct sign_client {
	struct channel *channel; /* NULL: none now */
	struct list open;	 /* struct question */
	struct map *by_token;
	uint64_t next_token;
	struct buf payload;
	struct remote_signer signer;
};
struct question {
	struct list node;
	struct sign_request request;
	uint8_t *signature;
	size_t len;
	bool sent, ended;
	int result;
	struct cond cond;
};

static void question_end(struct question *q, int result)
{
	q->ended = true;
	q->result = result;
	cond_broadcast(&q->cond);
}

static void question_send(struct sign_client *c, struct question *q)
{
	if (!c->channel || !channel_is_open(c->channel) || q->sent || q->ended)
		return;
	buf_reset(&c->payload);
	sign_request_encode(&q->request, &c->payload);
	int r = c->payload.error;
	if (r == 0)
		r = channel_send(c->channel, FRAME_SIGN, buf_span(&c->payload), NULL, 0);
	if (r == -EPIPE)
		return; /* it waits for the next channel */
	if (r < 0)
		question_end(q, r);
	else
		q->sent = true;
}

static int result_of(enum sign_status s)
{
	static const int results[] = {
		[SIGN_OK] = 0,
		[SIGN_UNKNOWN_KEY] = -ENOKEY,
		[SIGN_REFUSED] = -EINVAL,
		[SIGN_BUSY] = -EBUSY,
	};
	return results[s];
}

static int client_on_frame(void *arg, struct frame *f)
{
	struct sign_client *c = arg;
	struct sign_reply reply;

	if (f->type != FRAME_SIGN_ANSWER)
		return -EPROTO;
	int r = sign_reply_decode(f->payload, &reply);
	if (r < 0)
		return r;
	struct question *q = map_get_u64(c->by_token, reply.token);
	if (!q || q->ended)
		return 0;
	if (reply.status == SIGN_OK && reply.signature.len > 0) {
		memcpy(q->signature, reply.signature.ptr, reply.signature.len);
		q->len = reply.signature.len;
	}
	question_end(q, result_of(reply.status));
	return 0;
}

static void sent_are_lost(struct sign_client *c)
{
	list_foreach (it, &c->open) {
		struct question *q = CONTAINER_OF(it, struct question, node);
		if (q->sent && !q->ended)
			question_end(q, -EPIPE);
	}
}

static void client_on_close(void *arg, int error)
{
	struct sign_client *c = arg;

	(void)error; /* the supervisor says why a process died */
	channel_free(TAKE(c->channel));
	sent_are_lost(c);
}

static const struct channel_ops client_channel_ops = {
	.on_frame = client_on_frame,
	.on_close = client_on_close,
};

static SUSPENDS int ask_once(struct sign_client *c, const struct sign_ask *ask, uint64_t deadline,
	uint8_t *ret_signature, size_t *ret_len)
{
	struct question q = {
		.request = {.token = c->next_token++, .ask = *ask},
		.signature = ret_signature,
	};

	cond_init(&q.cond);
	int r = map_put_u64(c->by_token, q.request.token, &q);
	if (r < 0)
		return r;
	list_push_back(&c->open, &q.node);
	question_send(c, &q);
	while (r >= 0 && !q.ended)
		r = cond_wait(&q.cond, deadline);
	list_remove(&q.node);
	(void)map_remove_u64(c->by_token, q.request.token);
	if (!q.ended)
		return r;
	if (q.result == 0)
		*ret_len = q.len;
	return q.result;
}

static SUSPENDS int sign(
	void *arg, const struct sign_ask *ask, uint8_t *ret_signature, size_t *ret_len)
{
	uint64_t deadline = loop_now_usec() + SIGN_WAIT_USEC;

	for (unsigned i = 0;; i++) {
		int r = ask_once(arg, ask, deadline, ret_signature, ret_len);
		if (r != -ENOKEY || i == UNKNOWN_TRIES)
			return r;
		r = fiber_sleep(UNKNOWN_WAIT);
		if (r < 0)
			return r;
	}
}

const struct remote_signer *sign_client_signer(const struct sign_client *c)
{
	return &c->signer;
}

int sign_client_new(struct sign_client **ret_client)
{
	struct sign_client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->by_token = map_new(0);
	if (!c->by_token) {
		free(c);
		return -ENOMEM;
	}
	list_init(&c->open);
	c->payload = BUF_INIT(PAYLOAD_MAX);
	c->signer = (struct remote_signer){sign, c};
	*ret_client = c;
	return 0;
}

void sign_client_free(struct sign_client *c)
{
	if (!c)
		return;
	assert(list_empty(&c->open));
	channel_free(c->channel);
	map_free(c->by_token);
	buf_done(&c->payload);
	free(c);
}

int sign_client_attach(struct sign_client *c, int fd)
{
	struct channel *channel = NULL;
	int r = channel_new(fd, &client_channel_ops, c, &channel);

	if (r < 0)
		return r;
	channel_free(c->channel);
	sent_are_lost(c);
	c->channel = channel;
	list_foreach_safe (it, tmp, &c->open)
		question_send(c, CONTAINER_OF(it, struct question, node));
	return 0;
}
