/* A message's octets as they go to the peer. */
#pragma once
#include "deliver/body.h"

struct content {
	struct body body;
	char *chunk; /* BODY_CHUNK octets */
	bool raw;    /* BINARYMIME: every octet as it is */
	bool after_cr, open, ended;
};
MUST_CHECK int content_init(struct content *c, const struct delivery *d, bool raw);
void content_done(struct content *c);
/* Appends at least one octet to out, unless it is at its end: about BODY_CHUNK at once. Lines end
 * in CRLF, whatever they were. 1, 0 at the end, errors of body_read_fiber. */
SUSPENDS MUST_CHECK int content_read(struct content *c, struct buf *out);
