/* A message's octets in order, from the ranges of segments that its job names. */
#pragma once
#include "deliver/delivery.h"

#define BODY_CHUNK (64u * 1024u)

struct body {
	const struct delivery *d;
	uint32_t range;
	uint32_t used; /* octets of that range */
	uint32_t crc;  /* of them */
};
void body_init(struct body *b, const struct delivery *d);
/* Octets that are not read yet, or `most` where they are more. */
size_t body_left(const struct body *b, size_t most);
/* Up to cap octets: their number, 0 at the end of the message, -EIO for a short or missing
 * segment, -EBADMSG for octets that are not what was written, other negative errnos. Blocks: for a
 * thread of the offload pool. */
MUST_CHECK ssize_t body_read(struct body *b, char *into, size_t cap);
/* The same for a fiber, by the offload pool. */
SUSPENDS MUST_CHECK ssize_t body_read_fiber(struct body *b, char *into, size_t cap);
