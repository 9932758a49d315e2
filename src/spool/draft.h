/* A message on its way in: the body streams into CHUNK records (SPOOL_CHUNK octets at a time, so
 * that memory stays bounded), then head pieces are put before it, then COMMIT. A draft that is
 * freed before its commit leaves only dead chunks. */
#pragma once
#include "spool/message.h"
#include "spool/writer.h"

#define SPOOL_CHUNK (128u * 1024u)

struct draft;
/* The draft has an id from now on. -ENOSPC, -ENOMEM. */
MUST_CHECK int draft_new(struct writer *w, struct draft **ret_draft);
void draft_free(struct draft *d);
uint64_t draft_id(const struct draft *d);
uint64_t draft_octets(const struct draft *d);			  /* of the body so far */
MUST_CHECK int draft_append(struct draft *d, struct span octets); /* -ENOSPC, -EIO, -ENOMEM */
/* For decoders that append to a buf: the draft's own buffer and, after use, its flush. */
struct buf *draft_buffer(struct draft *d);
MUST_CHECK int draft_flush_full(
	struct draft *d); /* writes a chunk when the buffer is full enough */
/* Does the draft have octets in that segment, which must then not be given back? True also after
 * its commit, until it is freed. */
bool draft_uses(const struct draft *d, uint64_t sequence);
/* Takes len octets of the body from `from` on out of the message: what is on disk already stays
 * there, the pieces leave it out. Later octets move up. -EINVAL: beyond the body; -ENOMEM,
 * -EMSGSIZE. */
MUST_CHECK int draft_cut(struct draft *d, uint64_t from, uint32_t len);
/* Octets before the body, in the order given (Received first). Copied. */
MUST_CHECK int draft_prepend(struct draft *d, struct span octets);
/* Appends what is left and the COMMIT record; facts from *m (id, size, pieces are filled in by
 * this call). ticket completes when the message is durable. After 0 the draft is spent (free it).
 * ret_ref: where the COMMIT is (for the notice to the dispatcher, after the ticket). */
MUST_CHECK int draft_commit(struct draft *d, struct message *m, struct writer_ticket *ticket,
	struct record_ref *ret_ref);
