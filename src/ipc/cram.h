/* The directory asks the keys process whether a CRAM-MD5 response is the right one for a sealed
 * secret: the secret never leaves the keys process, which says yes or no. */
#pragma once
#include "base/wire.h"

#define CRAM_TEXT_MAX 4096u /* of each span */

struct cram_ask { /* FRAME_CRAM */
	uint64_t token;
	struct span login;  /* canonical */
	struct span sealed; /* empty: nobody's; costs the same and is never right */
	struct span challenge, digest;
};
enum cram_status {
	CRAM_RIGHT,
	CRAM_WRONG,
	CRAM_UNSEALABLE, /* sealed by another key, or for another login */
};
struct cram_answer { /* FRAME_CRAM_ANSWER */
	uint64_t token;
	enum cram_status status;
};
void cram_ask_encode(const struct cram_ask *a, struct buf *out);
/* digest has 16 octets then. */
MUST_CHECK int cram_ask_decode(struct span payload, struct cram_ask *ret);
void cram_answer_encode(const struct cram_answer *a, struct buf *out);
MUST_CHECK int cram_answer_decode(struct span payload, struct cram_answer *ret);
