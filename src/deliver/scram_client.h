/* The client's side of SCRAM, RFC 5802 (SHA-1) and 7677 (SHA-256), with channel binding where there
 * is one (-PLUS). Pure: messages in, messages out; the second step is slow (PBKDF2). */
#pragma once
#include "base/buf.h"

#define SCRAM_CLIENT_MESSAGE_MAX 4096u
#define SCRAM_CLIENT_ROUNDS_MAX	 1000000u /* RFC 5802 5.1: a hostile server would choose more */

struct scram_client_ask {
	bool sha256, plus;
	const char *user, *password;
	const char *binding; /* "tls-exporter"; NULL: this connection can have none */
	struct span binding_data;
	struct span nonce; /* printable, no comma; empty: a random one (tests give one) */
};
struct scram_client;
/* plus needs a binding: -EINVAL. -ENOMEM. */
MUST_CHECK int scram_client_new(const struct scram_client_ask *ask, struct scram_client **ret);
void scram_client_free(struct scram_client *s); /* wipes; NULL allowed */
/* What is said to the server's message (empty for the first of three steps), to out. 1: go on; 0:
 * the server has proved that it knows the password. -EBADMSG; -EACCES: it has not; -ERANGE: too
 * many rounds. */
MUST_CHECK int scram_client_step(struct scram_client *s, struct span message, struct buf *out);
/* The rounds that a server-first-message ("r=...,s=...,i=4096") asks for; 0: it is none. */
uint64_t scram_client_rounds(struct span message);
