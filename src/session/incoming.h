/* A message on its way into the spool: a draft under the lease of the dispatcher that was there
 * when it began. Whoever holds it frees it, at any time; one whose commit has begun ends by itself.
 */
#pragma once
#include "session/intake.h"
#include "spool/message.h"

struct incoming;
/* It has an id from now on. -ENOSPC: no segment, -ESTALE: no dispatcher, -ENOMEM. */
MUST_CHECK int incoming_new(struct intake *i, struct incoming **ret_incoming);
void incoming_free(struct incoming *in); /* NULL allowed */
uint64_t incoming_id(const struct incoming *in);
/* Append decoded octets here, then call incoming_flush: it writes when there is enough, and waits
 * when the next segment is still being prepared. After an error the draft is of no use. */
struct buf *incoming_buffer(struct incoming *in);
SUSPENDS MUST_CHECK int incoming_flush(struct incoming *in);
/* As draft_cut. */
MUST_CHECK int incoming_cut(struct incoming *in, uint64_t from, uint32_t len);
MUST_CHECK int incoming_prepend(struct incoming *in, struct span octets);
/* Commits and waits until the message is durable; only after 0 may the client see 250. The
 * dispatcher has been told by then. m: as in draft_commit. An error of the wait itself
 * (-ECANCELED, -ETIMEDOUT) leaves open whether the message will become durable. */
SUSPENDS MUST_CHECK int incoming_commit(struct incoming *in, struct message *m);
