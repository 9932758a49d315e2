/* Base64, RFC 4648 4. Decoding is strict: no white space, padding complete, no bits left over, so
 * that octets have one spelling. */
#pragma once
#include "base/buf.h"

void base64_encode(struct span octets, struct buf *out);
/* Appends what the text stands for. -EBADMSG: not base64; out->error may be set as well. */
MUST_CHECK int base64_decode(struct span text, struct buf *out);
