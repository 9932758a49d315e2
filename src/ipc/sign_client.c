/* The asking side of the keys process, called from inside of OpenSSL's handshakes; ipc/asker.h has
 * how questions are put. Without a keys process (it is being restarted) they wait. What was sent to
 * one that died is lost with it: a handshake fails, and a question that kills is not asked twice. A
 * key that is not known may be on its way (a reload tells both sides at the same time): such a
 * question is repeated a few times. */
#include "ipc/sign_client.h"
#include "ipc/asker.h"
#include "ipc/frames.h"
#include <stdlib.h>

#define PAYLOAD_MAX   512u
#define UNKNOWN_TRIES 20u
#define UNKNOWN_WAIT  (50 * USEC_PER_MSEC)

struct sign_client {
	struct asker asker;
	struct remote_signer signer;
};
struct taken {
	uint8_t *signature;
	size_t len;
};

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

static int on_frame(void *arg, const struct frame *f)
{
	(void)arg;
	return f->type == FRAME_SIGN_ANSWER ? 0 : -EPROTO;
}

static int take(void *arg, struct span answer)
{
	struct taken *t = arg;
	struct sign_reply reply;
	int r = sign_reply_decode(answer, &reply);

	if (r < 0)
		return r;
	if (reply.status == SIGN_OK && reply.signature.len > 0) {
		memcpy(t->signature, reply.signature.ptr, reply.signature.len);
		t->len = reply.signature.len;
	}
	return result_of(reply.status);
}

static SUSPENDS int ask_once(struct sign_client *c, const struct sign_ask *ask, uint64_t deadline,
	uint8_t *ret_signature, size_t *ret_len)
{
	struct taken t = {.signature = ret_signature};
	struct buf payload = BUF_INIT(PAYLOAD_MAX);

	sign_request_encode(&(struct sign_request){.ask = *ask}, &payload);
	struct asker_question q = {.type = FRAME_SIGN,
		.answer_type = FRAME_SIGN_ANSWER,
		.payload = span_from(buf_span(&payload), ASKER_TOKEN_OCTETS),
		.sends = 1,
		.take = take,
		.arg = &t};
	int r = payload.error;
	if (r == 0)
		r = asker_ask(&c->asker, &q, deadline);
	buf_done(&payload);
	if (r == 0)
		*ret_len = t.len;
	return r;
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
	static const struct asker_ops ops = {.frame = on_frame};
	struct sign_client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	int r = asker_init(&c->asker, &ops, c, PAYLOAD_MAX);
	if (r < 0) {
		free(c);
		return r;
	}
	c->signer = (struct remote_signer){sign, c};
	*ret_client = c;
	return 0;
}

void sign_client_free(struct sign_client *c)
{
	if (!c)
		return;
	asker_done(&c->asker);
	free(c);
}

int sign_client_attach(struct sign_client *c, int fd)
{
	return asker_attach(&c->asker, fd);
}
