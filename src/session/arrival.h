/* The octets of a message, from 354 to the final dot, RFC 5321 4.1.1.4. */
#pragma once
#include "mail/dot.h"
#include "mail/header.h"
#include "session/incoming.h"
#include "session/state.h"

struct arrival {
	struct incoming *in;	/* NULL: discarded, what comes is only counted */
	struct verdict verdict; /* 250, or why the message is refused */
	uint64_t octets;	/* decoded */
	uint64_t began_usec;
	struct dot_decoder dot;
	struct header_scanner header;
	struct buf scratch; /* of what is discarded */
};
/* Takes over in. */
void arrival_init(struct arrival *a, struct session *s, struct incoming *in);
void arrival_done(struct arrival *a);
/* 0: the end of the data was seen, a->verdict tells. Negative: the session cannot go on
 * (-ETIMEDOUT, -ECANCELED, the peer is gone); -ETIME: too slow. */
SUSPENDS MUST_CHECK int arrival_receive(struct arrival *a, struct session *s);
