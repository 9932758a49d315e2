/* Making a MIME message fit for a next hop that takes less than the message needs: RFC 6152 section
 * 3 (8-bit parts for a peer of 7 bits), RFC 3030 section 3 (binary parts for a peer without
 * BINARYMIME). The message is read twice, in slices of any size: once to see what each part holds,
 * once to write it. Memory is bounded by MIME_ENTITIES_MAX and MIME_DEPTH_MAX, whatever the
 * message's size.
 *
 * Only leaf parts are encoded; what decoding gives is what was there. What is signed or encrypted
 * (RFC 1847) is never touched. */
#pragma once
#include "base/buf.h"

#define MIME_ENTITIES_MAX 10000u
#define MIME_DEPTH_MAX	  32u
#define MIME_FIELD_MAX	  (1u << 20) /* octets of one header field */

enum mime_target {
	MIME_TO_7BIT, /* ASCII lines */
	MIME_TO_8BIT, /* lines of any octets but NUL, bare CR and bare LF */
};
struct mime;
/* binary: BODY=BINARYMIME, so that lines beyond 998 octets are not lines either. */
MUST_CHECK int mime_new(enum mime_target target, bool binary, struct mime **ret_mime);
void mime_free(struct mime *m); /* NULL allowed */

/* The first reading. */
void mime_scan(struct mime *m, struct span in);
/* 1: it must be converted; 0: it is fit as it is. -EILSEQ: it cannot be, because what is not to be
 * touched would have to be; -E2BIG: more parts, levels or header than anyone means; -ENOMEM. */
MUST_CHECK int mime_scan_end(struct mime *m);
/* Octets of the converted message, as the second reading will write them (a ceiling). */
uint64_t mime_size(const struct mime *m);

/* The second reading, of the same octets. out's error sticks. */
void mime_convert(struct mime *m, struct span in, struct buf *out);
void mime_convert_end(struct mime *m, struct buf *out);
