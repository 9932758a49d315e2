/* Replies of a session, RFC 5321 4.2. They leave when the input is drained (net/stream.h). */
#pragma once
#include "mail/verdict.h"
#include "session/state.h"

/* Text may hold "\n" for several lines. */
SUSPENDS MUST_CHECK int reply_send(struct session *s, struct verdict v);
/* The answer to the whole message. Where the client wants one for each recipient (LMTP, RFC
 * 2033 4.2; PRDR), all but the last are sent here; the one that is returned is still to be sent. */
SUSPENDS struct verdict reply_to_message(struct session *s, struct verdict v);
/* For text with parts of its own: formats into s->text and returns a verdict that points there,
 * good until the next call. */
struct verdict reply_text(
	struct session *s, uint16_t code, const char *enhanced, const char *fmt, ...) PRINTF(4, 5);
