/* Signatures by the keys process. What is asked: digest and scheme by the key with that id. A
 * receiver is no trusted asker: it may have anything signed that has the shape of a digest, and
 * that is all it gets. */
#pragma once
#include "base/wire.h"
#include "net/remote_key.h"

struct sign_request { /* FRAME_SIGN */
	uint64_t token;
	struct sign_ask ask; /* digest borrows from the payload */
};
enum sign_status {
	SIGN_OK,
	SIGN_UNKNOWN_KEY, /* not there, or not there yet (a reload) */
	SIGN_REFUSED,	  /* the ask does not fit the key */
	SIGN_BUSY,	  /* too many at once */
};
struct sign_reply { /* FRAME_SIGN_ANSWER */
	uint64_t token;
	enum sign_status status;
	struct span signature;
};
void sign_request_encode(const struct sign_request *r, struct buf *out);
MUST_CHECK int sign_request_decode(struct span payload, struct sign_request *ret);
void sign_reply_encode(const struct sign_reply *r, struct buf *out);
MUST_CHECK int sign_reply_decode(struct span payload, struct sign_reply *ret);
