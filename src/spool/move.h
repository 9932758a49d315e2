/* One message on its way to another writer's segments (compact.h). */
#pragma once
#include "spool/message.h"
#include "spool/store.h"
#include "spool/writer.h"

struct move;
/* Reads the COMMIT. durable: the ticket has its answer, ask move_step. -EBADMSG, -ENOENT, -EFBIG
 * (chunks larger than any of ours), -ENOMEM, or the disk's error. */
MUST_CHECK int move_new(const struct seam *seam, struct store *store, struct writer *writer,
	uint64_t id, const struct record_ref *commit, void (*durable)(void *arg), void *arg,
	struct move **ret_move);
/* Gives up the references on what was copied, in any state; the ticket may still run. */
void move_free(struct move *m);
/* A chunk, or the COMMIT. 1: go on; 0: durable; -EINPROGRESS: wait for the ticket; -ENOSPC: no
 * segment, try again; negative: it has failed. *ret_octets: written. */
MUST_CHECK int move_step(struct move *m, uint64_t *ret_octets);
/* The segment may have lost octets. */
void move_retired(struct move *m, uint64_t sequence);
bool move_is_committing(const struct move *m); /* its COMMIT stands, nobody knows it yet */
bool move_commit_ref(const struct move *m, struct record_ref *ret); /* false: not written */
const struct record_ref *move_from(const struct move *m);
const struct message *move_message(const struct move *m); /* of the copy, once committed */
