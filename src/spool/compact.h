/* Compaction (DESIGN.md, "Order of forgetting" (b)): what still lives in a nearly dead segment is
 * copied into segments of our own slot, so that one deferred message does not pin 64 MiB.
 *
 * A copy is the same message: same id, same facts, its octets verified and in new chunks. It counts
 * when its ticket says so; then the owner's queue is asked to go by it, which writes *moved* to the
 * ledger; only when that is durable does the old segment lose its reference. A message that is in
 * flight, or ends meanwhile, stays where it is and the copy is dead. Two COMMITs of one id are the
 * same message twice: whichever recovery meets first counts (docs/spool.md).
 *
 * No I/O of its own but through the seam, no clock: the owner calls compact_run at the end of each
 * turn and at least once a second. */
#pragma once
#include "spool/message.h"
#include "spool/store.h"
#include "spool/writer.h"

#define COMPACT_LATER		10u /* pauses until a segment that was not worth it */
#define COMPACT_OCTETS_A_SECOND (2u << 20)
#define COMPACT_PART		8u /* live octets of a segment to be emptied: at most this part */

struct compactor;
struct compact_ops {
	/* Shows about `max` live messages by compact_see, from *cursor (0); false: that was all. */
	bool (*walk)(void *arg, uint64_t *cursor, unsigned max);
	/* Is this message alive, at this place, and in nobody's hands? */
	bool (*is_idle)(void *arg, uint64_t id, const struct record_ref *commit);
	/* The copy m at `to` is durable. 0: the queue goes by it; the owner has taken references on
	 * its segments and gives those on the old ones back when that is durable. Negative: no. */
	int (*copied)(void *arg, const struct record_ref *from, const struct record_ref *to,
		const struct message *m);
	/* A copy is durable or has failed: call compact_run soon, behind whatever else was told of
	 * before. */
	void (*wake)(void *arg);
	/* Octets that are not what was written: the segment is kept (log). */
	void (*damage)(void *arg, const struct store_segment *s, uint64_t offset);
};
MUST_CHECK int compact_new(const struct seam *seam, struct store *store, struct writer *writer,
	const struct compact_ops *ops, void *arg, struct compactor **ret_compactor);
/* After the writer is freed. NULL allowed. */
void compact_free(struct compactor *c);
/* pause: how long a segment lies nearly dead before it is emptied, and between looks at all that is
 * queued; 0: none is begun. */
void compact_run(struct compactor *c, uint64_t now_usec, uint64_t pause_usec);
/* From walk: a message and the segments that hold it, its COMMIT's among them. */
void compact_see(struct compactor *c, uint64_t id, const struct record_ref *commit, uint64_t size,
	bool idle, const uint64_t *segments, uint32_t n);
/* The writer has given this segment up: what was copied into it may not be there. */
void compact_retired(struct compactor *c, uint64_t sequence);
/* Between a copy's COMMIT and the word of its ticket: no checkpoint may begin, whose known end
 * would lie before it. */
bool compact_is_committing(const struct compactor *c);
struct compact_counts {
	uint64_t surveys, segments, messages, octets, failed;
};
const struct compact_counts *compact_counts(const struct compactor *c);
