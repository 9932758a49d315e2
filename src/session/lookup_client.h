/* Asks the directory: whether an address receives mail (ipc/lookup.h), who somebody is, what a user
 * may hand in (ipc/auth.h). One channel for all sessions of a process. */
#pragma once
#include "ipc/lookup.h"

struct lookup_client;
MUST_CHECK int lookup_client_new(struct lookup_client **ret_client);
void lookup_client_free(struct lookup_client *c); /* no question may be open; NULL allowed */
/* A channel to a directory; takes over fd, replaces an older one. */
MUST_CHECK int lookup_client_attach(struct lookup_client *c, int fd);
/* Counts the channels so far: what was begun with an earlier one is unknown to the present one. */
uint64_t lookup_client_generation(const struct lookup_client *c);
/* The mechanisms that the users' sources can do (a set of enum mechanism). */
uint32_t lookup_client_offer(const struct lookup_client *c);
/* Just after a start the directory may not have said it yet: waits for that, a little. */
SUSPENDS void lookup_client_await_offer(struct lookup_client *c);

/* Any question. Its payload, and its answer's, begin with the token, which is put and taken off
 * here. */
struct lookup_question {
	uint16_t type, answer_type;
	struct span payload; /* behind the token; borrowed until the return */
	unsigned sends;	     /* to so many directories at most, when they are restarted */
	uint64_t wait_usec;
};
/* 0: ret_answer has the answer's payload behind the token. -EPIPE: the directory that was asked is
 * gone. -ETIMEDOUT, -ECANCELED, -ENOMEM, -ENOBUFS. */
SUSPENDS MUST_CHECK int lookup_client_ask(
	struct lookup_client *c, const struct lookup_question *q, struct buf *ret_answer);
/* Says something that has no answer; what cannot be sent is dropped. */
void lookup_client_tell(struct lookup_client *c, uint16_t type, struct span payload);

/* address: canonical local@domain, borrowed until the return. 0 with an answer in *ret_status;
 * -ETIMEDOUT, -ECANCELED, -ENOMEM: none (a temporary failure for the client). A question that a
 * dying directory did not answer is put to the next one, once; then LOOKUP_TEMPORARY. */
SUSPENDS MUST_CHECK int lookup_ask(
	struct lookup_client *c, struct span address, enum lookup_status *ret_status);
