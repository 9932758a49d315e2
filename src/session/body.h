/* The octets of a message, from 354 to the final dot, RFC 5321 4.1.1.4. */
#pragma once
#include "mail/dot.h"
#include "mail/header.h"
#include "session/incoming.h"
#include "session/state.h"

struct body {
	struct incoming *in;	/* NULL: discarded, what comes is only counted */
	struct verdict verdict; /* 250, or why the message is refused */
	uint64_t octets;	/* decoded */
	uint64_t began_usec;
	struct dot_decoder dot;
	struct header_scanner header;
	struct buf scratch; /* of what is discarded */
};
/* Takes over in. */
void body_init(struct body *b, struct session *s, struct incoming *in);
void body_done(struct body *b);
/* 0: the end of the data was seen, b->verdict tells. Negative: the session cannot go on
 * (-ETIMEDOUT, -ECANCELED, the peer is gone); -ETIME: too slow. */
SUSPENDS MUST_CHECK int body_receive(struct body *b, struct session *s);
