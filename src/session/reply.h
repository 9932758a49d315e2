/* Replies of a session, RFC 5321 4.2. They leave when the input is drained (net/stream.h). */
#pragma once
#include "mail/verdict.h"
#include "session/state.h"

/* Text may hold "\n" for several lines. */
SUSPENDS MUST_CHECK int reply_send(struct session *s, struct verdict v);
/* The answer to the whole message. Where the client wants one for each recipient (LMTP, RFC
 * 2033 4.2; PRDR), all but the last are sent here; the one that is returned is still to be sent. */
SUSPENDS struct verdict reply_to_message(struct session *s, struct verdict v);
/* For a text with parts of its own: append it to what reply_begin gives, then make the verdict,
 * which points there and is good until the next reply_begin or reply_sent. Without memory its
 * text is empty. */
struct buf *reply_begin(struct session *s);
struct verdict reply_text(struct session *s, uint16_t code, const char *enhanced);
/* The last reply has left the session's hands: the storage of its text goes to other sessions. */
void reply_sent(struct session *s);
