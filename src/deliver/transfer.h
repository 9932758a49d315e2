/* The message itself, by DATA (RFC 5321 4.1.1.4) or BDAT (RFC 3030), and the replies to it. */
#pragma once
#include "deliver/transaction.h"

/* The message could not be read: what becomes of the transaction. */
MUST_CHECK int transfer_read_failed(struct transaction *t, int error);
/* After 354: message, final dot, replies; every accepted recipient has its result. Negative: the
 * session is lost; those without a reply have no result yet. */
SUSPENDS MUST_CHECK int transfer_data(struct transaction *t);
/* The message in chunks, after the envelope's replies; the rest as above. */
SUSPENDS MUST_CHECK int transfer_bdat(struct transaction *t);
/* Is it small enough to follow the envelope without waiting, and may it? */
bool transfer_is_ahead(const struct transaction *t);
/* The whole message as one last chunk, behind commands that are not answered yet. */
SUSPENDS MUST_CHECK int transfer_ahead(struct transaction *t);
/* Its reply, when all others have been read. */
SUSPENDS MUST_CHECK int transfer_ahead_replies(struct transaction *t);
