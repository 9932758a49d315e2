/* The trace field of a message, RFC 5321 4.4. */
#pragma once
#include "base/buf.h"

struct received {
	struct span helo;     /* argument of HELO or EHLO */
	struct span client;   /* address text without brackets; empty: a local submitter */
	struct span name;     /* of the client, as a proxy has it; empty: none */
	bool unix_client;     /* by a unix socket: it has no address */
	uint64_t uid;	      /* of the local submitter */
	bool hidden;	      /* the client's name and address stay out */
	struct span hostname; /* ours */
	struct span protocol; /* RFC 3848 */
	const char *tls_version, *tls_cipher; /* NULL: in clear text */
	uint64_t id;
	struct span only_recipient; /* ptr NULL: not exactly one */
	uint64_t wall_usec;
};
void received_format(const struct received *r, struct buf *out);
