/* The ledger: the dispatcher's log of what happened to messages. Same records, same group commit
 * (a writer of slot SLOT_LEDGER). Each RECORD_LEDGER carries a batch of entries: u8 type, u32
 * length, payload; what they mean is the queue's business (queue/entries.h).
 *
 * Replay: all ledger segments in sequence order; later entries win. Compaction: ledger_checkpoint
 * starts a new segment, the queue writes its whole live state as entries into it (in slices), then
 * ledger_checkpoint_end frees every older segment once the new ones are durable. */
#pragma once
#include "spool/store.h"
#include "spool/writer.h"

struct ledger;
/* The store gives it segments: call ledger_give when store_ops.ready names SLOT_LEDGER. */
MUST_CHECK int ledger_new(const struct seam *seam, struct store *store, struct ledger **ret_ledger);
void ledger_free(struct ledger *l);
void ledger_give(struct ledger *l, struct store_segment *s);
/* Replays everything present, in order. each returns 0 to go on. Damaged places are counted in
 * *ret_damaged (octets). */
MUST_CHECK int ledger_replay(struct ledger *l,
	int (*each)(void *arg, uint8_t type, struct span payload), void *arg,
	uint64_t *ret_damaged);
/* Adds an entry to the batch that is written when ledger_write or ledger_sync is called, or at
 * 64 KiB. -ENOSPC when there is no segment (the entry stays in the batch, bounded). */
MUST_CHECK int ledger_append(struct ledger *l, uint8_t type, struct span payload);
MUST_CHECK int ledger_write(struct ledger *l); /* to the page cache: survives kill -9 */
void ledger_sync(struct ledger *l, struct writer_ticket *t); /* writes, then t when durable */
uint64_t ledger_octets(const struct ledger *l); /* in all segments, since the last checkpoint */
MUST_CHECK int ledger_checkpoint_begin(struct ledger *l);
void ledger_checkpoint_end(struct ledger *l); /* frees older segments after a sync */
