/* A message's octets as they go to the peer. */
#pragma once
#include "deliver/body.h"
#include "mail/mime.h"

struct content {
	struct body body;
	char *chunk;	   /* BODY_CHUNK octets, of what must be changed; or NULL */
	struct mime *mime; /* converts on the way; or NULL */
	struct buf converted;
	bool raw; /* BINARYMIME: every octet as it is */
	bool after_cr, open, ended;
};
/* mime: scanned, borrowed, and used up; or NULL. */
void content_init(struct content *c, const struct delivery *d, struct mime *mime, bool raw);
void content_done(struct content *c);
/* Appends at least one octet to out, unless it is at its end: what its room takes, or about as much
 * as is left, and not more than about BODY_CHUNK at once. Lines end in CRLF, whatever they were. 1,
 * 0 with the last octets, errors of body_read_fiber. */
SUSPENDS MUST_CHECK int content_read(struct content *c, struct buf *out);
/* Reads the whole message and says what conversion makes of it: 1, ret_mime is ready for
 * content_init; 0: none is needed; -EILSEQ, -E2BIG: none is possible (mime_scan_end); errors of
 * body_read_fiber. */
SUSPENDS MUST_CHECK int content_scan(
	const struct delivery *d, enum mime_target target, bool binary, struct mime **ret_mime);
