/* Asks the resolver (ipc/resolve.h). One channel for all questions of a process; a restarted
 * resolver gets the open questions again, once: its death costs a wait, no mail. Every question
 * ends, with an answer or with RESOLVE_TIMEOUT or RESOLVE_UNAVAILABLE as its status. */
#pragma once
#include "ipc/asker.h"
#include "ipc/resolve.h"

#define RESOLVE_WAIT_USEC (30 * USEC_PER_SEC) /* with a dead resolver; see _set_wait */

struct resolve_client;
MUST_CHECK int resolve_client_new(struct resolve_client **ret_client);
void resolve_client_free(struct resolve_client *c); /* no question may be open; NULL allowed */
/* A channel to a resolver; takes over fd, replaces an older one. */
MUST_CHECK int resolve_client_attach(struct resolve_client *c, int fd);
/* How long a question may stay open in all: dns.timeout and something for a restart. */
void resolve_client_set_wait(struct resolve_client *c, uint64_t usec);

/* For fibers. 0 with an answer that lives in the arena (look at its status); -ECANCELED, -ENOMEM.
 * name is borrowed until the return. */
SUSPENDS MUST_CHECK int resolve(struct resolve_client *c, struct span name, uint16_t type,
	struct arena *a, struct resolve_answer *ret);

/* For state machines: the question lies in its owner's memory until `done` was called, once, from
 * the loop and never from resolve_start. */
struct resolve_query {
	struct asker_request request;
	struct asker_question question;
	struct buf payload;
	struct resolve_client *client;
	struct span name; /* borrowed until resolve_start returns */
	uint16_t type;
	/* The answer is valid during the call; q is free again, it may start another question. */
	void (*done)(struct resolve_query *q, const struct resolve_answer *a);
};
/* The caller has set name, type and done; the rest is zero. -ENOMEM, -ENOBUFS. */
MUST_CHECK int resolve_start(struct resolve_client *c, struct resolve_query *q);
void resolve_cancel(struct resolve_query *q); /* done is not called any more; safe when not open */
