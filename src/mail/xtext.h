/* Values of ESMTP parameters that hold any text: xtext (RFC 3461 4) and the UTF-8 address of ORCPT
 * (RFC 6533 3). ABNF in xtext.c. */
#pragma once
#include "base/buf.h"

/* Appends what xtext stands for. -EINVAL. NUL and control octets are possible: the caller judges.
 */
MUST_CHECK int xtext_decode(struct span in, struct buf *out);
void xtext_encode(struct span in, struct buf *out);
/* utf-8-enc-addr in any of its three forms, as UTF-8; non-ASCII octets only with utf8. -EINVAL. */
MUST_CHECK int utf8_address_decode(struct span in, bool utf8, struct buf *out);
/* utf-8-addr-xtext: the form that is ASCII. in is well-formed UTF-8. */
void utf8_address_encode(struct span in, struct buf *out);
/* ORCPT's value (RFC 3461 4.2): "rfc822;bob+2Bx@b.example" becomes "rfc822;bob+x@b.example"; the
 * type is kept as written, but rfc822 of a UTF-8 address becomes utf-8. utf8: SMTPUTF8 was asked
 * for. -EINVAL; what is decoded has no control octets. */
MUST_CHECK int orcpt_decode(struct span in, bool utf8, struct buf *out);
/* Well-formed UTF-8 (RFC 3629) without control octets, whole span? */
bool text_is_utf8(struct span in);
/* Printable ASCII, SP included, whole span? */
bool text_is_printable(struct span in);
