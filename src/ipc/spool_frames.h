/* Receiver <-> dispatcher about segments and commits. */
#pragma once
#include "base/wire.h"

struct segment_give {
	uint64_t sequence, size;
	uint16_t slot;
	uint64_t created_wall_usec;
	uint8_t generation[16], boot_id[16];
};
void segment_give_encode(const struct segment_give *g, struct buf *out);
MUST_CHECK int segment_give_decode(struct span payload, struct segment_give *ret);

/* A FRAME_COMMITTED payload is a sequence of these. */
struct commit_notice {
	uint64_t id, segment, offset;
	uint32_t length; /* of the COMMIT's payload */
};
void commit_notice_encode(const struct commit_notice *n, struct buf *out);
bool commit_notice_next(
	struct wire *w, struct commit_notice *ret); /* false at the end or w->error */
