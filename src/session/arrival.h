/* The octets of a message: from 354 to the final dot (RFC 5321 4.1.1.4), or chunk by chunk (RFC
 * 3030). */
#pragma once
#include "mail/chunk.h"
#include "mail/dot.h"
#include "mail/header.h"
#include "session/incoming.h"
#include "session/state.h"

struct arrival {
	struct incoming *in;	/* NULL: discarded, what comes is only counted */
	uint64_t id;		/* 0: it never had one */
	struct verdict verdict; /* 250, or why the message is refused */
	uint64_t octets;	/* decoded */
	uint64_t began_usec;
	bool bare_tolerated;
	bool reported; /* its refusal is in the log */
	struct dot_decoder dot;
	struct chunk_decoder chunk;
	struct header_scanner header;
	bool keep_head;	 /* the user's header is looked at (submission.c) */
	struct buf head; /* then: its octets */
	bool header_has_8bit, body_has_8bit;
	struct buf scratch; /* of what is discarded */
};
/* Takes over in. */
void arrival_init(struct arrival *a, struct session *s, struct incoming *in);
void arrival_done(struct arrival *a);
void arrival_refuse(struct arrival *a, struct verdict v);
/* What the octets so far say: 250, or why the message is refused. */
struct verdict arrival_check(const struct arrival *a, const struct session *s);
/* 0: the end of the data was seen, a->verdict tells. Negative: the session cannot go on
 * (-ETIMEDOUT, -ECANCELED, the peer is gone); -ETIME: too slow. */
SUSPENDS MUST_CHECK int arrival_receive(struct arrival *a, struct session *s);
/* The same for one chunk; `last`: and no further one. */
SUSPENDS MUST_CHECK int arrival_receive_chunk(
	struct arrival *a, struct session *s, uint64_t octets, bool last);
