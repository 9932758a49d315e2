/* What EHLO offers (RFC 5321 4.1.1.1, 2.2), and the parameters of MAIL and RCPT that come with it.
 * An extension is a row in extension.c, and a file for its verb if it has one. */
#pragma once
#include "session/state.h"

/* Appends the lines of an EHLO reply behind the first, each preceded by "\n". */
void extension_lines(const struct session *s, struct buf *out);
/* Applies the parameters of a MAIL or RCPT command to the transaction: 250, or the answer.
 * 555 5.5.4 for one that we do not know (4.1.1.11). */
struct verdict extension_params(struct session *s, const struct command *c);
