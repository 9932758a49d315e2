/* What RCPT, VRFY and EXPN have in common: addresses of ours. */
#pragma once
#include "session/state.h"

/* The domain that stands for a missing one. */
struct span recipient_home(const struct config *c);
/* Is there such a user? 250 2.1.5, or why not. canonical: of a domain of ours. */
SUSPENDS struct verdict recipient_ask(struct session *s, struct span canonical);
/* The argument of VRFY and EXPN (RFC 5321 4.1.1.6, RFC 6531 3.7.4.2): "local", "local@domain", or
 * the latter in <>, canonical into out; ret_utf8: SMTPUTF8 was said. 250, or the answer. */
struct verdict recipient_argument(
	const struct session *s, struct span argument, struct buf *out, bool *ret_utf8);
/* Whom an alias of ours stands for, one address a line; 250, or the answer. */
SUSPENDS struct verdict recipient_members(
	struct session *s, struct span canonical, struct buf *ret_lines);
