/* Questions to another process: one channel, any number of questions open, each found by its token
 * when its answer comes. A restarted peer gets what is open again, as often as each question
 * allows. Fibers ask by asker_ask, state machines by asker_start. */
#pragma once
#include "base/list.h"
#include "fiber/fiber.h"
#include "net/channel.h"

struct asker_ops {
	/* Optional; sees every frame first. 1: it was no answer and is done with; 0: an answer;
	 * negative: a protocol error. */
	int (*frame)(void *arg, const struct frame *f);
};
struct asker {
	const struct asker_ops *ops;
	void *arg;
	struct channel *channel; /* NULL: none now */
	struct list open;	 /* struct asker_request */
	struct map *by_token;
	uint64_t next_token, generation; /* generation: channels so far */
	struct buf payload;
};
/* payload_max: octets of a question. ops and arg outlive it. -ENOMEM. */
MUST_CHECK int asker_init(
	struct asker *a, const struct asker_ops *ops, void *arg, size_t payload_max);
void asker_done(struct asker *a); /* no question may be open */
/* A channel to the (new) peer; takes over fd, replaces an older one. */
MUST_CHECK int asker_attach(struct asker *a, int fd);

#define ASKER_TOKEN_OCTETS 8u /* what every question and answer begins with */
struct asker_question {
	uint16_t type, answer_type;
	struct span payload; /* behind the token; borrowed until the return */
	unsigned sends;	     /* to so many peers at most, one after the other */
	/* The answer, token included, from the loop. The result becomes asker_ask's; -EBADMSG
	 * closes the channel besides. */
	int (*take)(void *arg, struct span answer);
	void *arg;
};
/* What take returned. -EPIPE: the peer that was asked is gone; -ETIMEDOUT, -ECANCELED, -ENOMEM,
 * -ENOBUFS. Without a peer the question waits for one. */
SUSPENDS MUST_CHECK int asker_ask(
	struct asker *a, const struct asker_question *q, uint64_t deadline_usec);

/* For state machines: it lies in its owner's memory, and the question with it, until `done` was
 * called, once, from the loop and never from asker_start, with what asker_ask would return. */
struct asker_request {
	struct list node;
	struct loop_timer deadline;
	struct asker *asker;
	const struct asker_question *ask;
	uint64_t token;
	unsigned sends;
	/* The request is free again; it may be started anew. */
	void (*done)(struct asker_request *r, int result);
};
/* The caller has set ask and done; the rest is zero. -ENOMEM, -ENOBUFS. */
MUST_CHECK int asker_start(struct asker *a, struct asker_request *r, uint64_t deadline_usec);
void asker_cancel(struct asker_request *r); /* done is not called any more; safe when not open */

/* Something that has no answer, with token 0; what cannot be sent is dropped. */
void asker_tell(struct asker *a, uint16_t type, struct span payload);
