/* Replies of a session, RFC 5321 4.2. They leave when the input is drained (net/stream.h). */
#pragma once
#include "mail/verdict.h"
#include "session/state.h"

/* Text may hold "\n" for several lines. */
SUSPENDS MUST_CHECK int reply_send(struct session *s, struct verdict v);
/* For text with parts of its own: formats into s->text and returns a verdict that points there,
 * good until the next call. */
struct verdict reply_text(
	struct session *s, uint16_t code, const char *enhanced, const char *fmt, ...) PRINTF(4, 5);
