/* Lines of a report: folded, 7 bit, whatever the octets of others were (private to the room). */
#pragma once
#include "base/buf.h"

/* Printable ASCII and spaces as they are; runs of white space and line ends become one space; all
 * else, and the backslash, as \xHH. At most max octets are read. */
void text_clean(struct buf *out, struct span s, size_t max);
/* "Name: value" and CRLF, folded at spaces near 78 columns, cut hard before 998 (RFC 5322 2.1.1).
 * value is clean text. */
void text_field(struct buf *out, const char *name, struct span value);
/* A clean text wrapped near 72 columns, each line behind `indent`. */
void text_wrap(struct buf *out, const char *indent, struct span value);
/* Quoted-printable (RFC 2045 6.7) of octets with CRLF or LF line ends. */
void text_quoted_printable(struct buf *out, struct span octets);
/* Are they lines of text that SMTP carries, 8 bit or not (RFC 2045 2.8)? */
bool text_is_lines(struct span octets);
/* May the octets travel as 7 bit lines (RFC 2045 2.7)? */
bool text_is_7bit(struct span octets);
