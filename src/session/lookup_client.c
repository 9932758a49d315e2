/* The receiver's side of its questions to the directory (ipc/asker.h has how they are put): an
 * address that kills directories must not kill one after the other, and a step of an exchange means
 * nothing to a new one, so each kind says how often it may be sent. */
#include "session/lookup_client.h"
#include "ipc/asker.h"
#include "ipc/frames.h"
#include "mail/mechanism.h"
#include "session/limits.h"

#include <stdlib.h>

#define PAYLOAD_MAX (64u * 1024u)

struct lookup_client {
	struct asker asker;
	uint32_t offer;
	bool told;	     /* by a directory, once */
	struct cond telling; /* who waits for that */
};

static int on_offer(struct lookup_client *c, struct span payload)
{
	struct wire w = wire_reader(payload);
	uint32_t offer = wire_get_u32(&w);

	if (w.error)
		return w.error;
	c->offer = offer & MECH_ALL;
	c->told = true;
	cond_broadcast(&c->telling);
	return 1;
}

static int on_frame(void *arg, const struct frame *f)
{
	return f->type == FRAME_AUTH_OFFER ? on_offer(arg, f->payload) : 0;
}

int lookup_client_new(struct lookup_client **ret_client)
{
	static const struct asker_ops ops = {.frame = on_frame};
	struct lookup_client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	int r = asker_init(&c->asker, &ops, c, PAYLOAD_MAX);
	if (r < 0) {
		free(c);
		return r;
	}
	cond_init(&c->telling);
	c->offer = MECH_BIT(MECH_PLAIN) | MECH_BIT(MECH_LOGIN);
	*ret_client = c;
	return 0;
}

void lookup_client_free(struct lookup_client *c)
{
	if (!c)
		return;
	asker_done(&c->asker);
	free(c);
}

int lookup_client_attach(struct lookup_client *c, int fd)
{
	return asker_attach(&c->asker, fd);
}

uint64_t lookup_client_generation(const struct lookup_client *c)
{
	return c->asker.generation;
}

void lookup_client_await_offer(struct lookup_client *c)
{
	uint64_t deadline = loop_now_usec() + OFFER_WAIT_USEC;

	while (!c->told && cond_wait(&c->telling, deadline) == 0)
		continue;
}

uint32_t lookup_client_offer(const struct lookup_client *c)
{
	return c->offer;
}

static int take_behind_token(void *arg, struct span answer)
{
	struct buf *out = arg;

	buf_put(out, span_from(answer, ASKER_TOKEN_OCTETS));
	return out->error;
}

int lookup_client_ask(
	struct lookup_client *c, const struct lookup_question *ask, struct buf *ret_answer)
{
	struct asker_question q = {.type = ask->type,
		.answer_type = ask->answer_type,
		.payload = ask->payload,
		.sends = ask->sends,
		.take = take_behind_token,
		.arg = ret_answer};

	return asker_ask(&c->asker, &q, loop_now_usec() + ask->wait_usec);
}

void lookup_client_tell(struct lookup_client *c, uint16_t type, struct span payload)
{
	asker_tell(&c->asker, type, payload);
}

static int take_status(void *arg, struct span answer)
{
	/* A temporary failure of this one question, not the end of the channel. */
	return lookup_answer_decode(answer, arg) < 0 ? -EPROTO : 0;
}

int lookup_ask(struct lookup_client *c, struct span address, enum lookup_status *ret_status)
{
	struct buf payload = BUF_INIT(PAYLOAD_MAX);
	struct lookup_answer a = {.status = LOOKUP_TEMPORARY};

	lookup_encode(&(struct lookup){.address = address}, &payload);
	struct asker_question q = {.type = FRAME_LOOKUP,
		.answer_type = FRAME_LOOKUP_ANSWER,
		.payload = span_from(buf_span(&payload), ASKER_TOKEN_OCTETS),
		.sends = LOOKUP_SENDS_MAX,
		.take = take_status,
		.arg = &a};
	int r = payload.error;
	if (r == 0)
		r = asker_ask(&c->asker, &q, loop_now_usec() + LOOKUP_WAIT_USEC);
	buf_done(&payload);
	if (r == -EPIPE || r == 0) {
		*ret_status = a.status;
		return 0;
	}
	return r;
}
