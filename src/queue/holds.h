/* Which segments are kept alive, and for whom: the messages of the queue by where their octets lie,
 * and the reports that our own writer has made durable but the queue has not yet taken as mail.
 * The counts themselves are the store's (store_ref); here stands who owns which of them, so that
 * each is given back once. Nothing suspends. Used by the dispatcher and by the simulator's alike.
 */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "spool/draft.h"
#include "spool/message.h"
#include "spool/store.h"

struct holds {
	struct store *store;
	struct map *spans;   /* messages in more than one segment: struct hold_span by id */
	struct map *moved;   /* where messages were, until the ledger knows better: the same */
	struct list reports; /* struct hold_report */
	uint64_t *ended;     /* segments our own writer is through with, and reports still need */
	size_t n_ended;
};
/* In the caller's record of a report that is being written. */
struct hold_report {
	struct list node;
	const struct draft *draft; /* NULL: nothing written yet; alive until holds_report_end */
};

/* The store outlives it. seed: of the maps (map_new). -ENOMEM. */
MUST_CHECK int holds_init(struct holds *h, struct store *store, uint64_t seed);
/* Gives nothing back: the store is at its end too. */
void holds_done(struct holds *h);

/* The message's segments, from now on. A segment that is not there is left out: a damaged message
 * may name one. Called again for an id (a whole copy of a damaged message turned up), the first
 * copy's segments are kept for good. -ENOMEM: nothing is held. */
MUST_CHECK int holds_take(
	struct holds *h, const struct message *m, const struct record_ref *commit);
/* commit: where it was taken or moved to last. */
void holds_release(struct holds *h, uint64_t id, const struct record_ref *commit);
/* Good until the next call. */
const uint64_t *holds_segments(
	const struct holds *h, uint64_t id, const struct record_ref *commit, uint32_t *ret_n);

/* Compaction has copied it: both places are held until holds_moved. -ENOMEM: as if not copied. */
MUST_CHECK int holds_move(struct holds *h, const struct message *m, const struct record_ref *from,
	const struct record_ref *to);
bool holds_moving(const struct holds *h, uint64_t id);
void holds_moved(struct holds *h, uint64_t id);

void holds_report(struct holds *h, struct hold_report *r);
/* It has been taken as mail, or given up. */
void holds_report_end(struct holds *h, struct hold_report *r);
/* Our own writer is through with the segment: released as soon as no report lies in it. */
void holds_own_ended(struct holds *h, uint64_t sequence);
