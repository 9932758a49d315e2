/* Which messages a segment holds: at start, for `queue list` on a stopped server, and of a
 * receiver's open segment after its death. Read-only, but for the marks `damaged` and `known_end`
 * of the store's segment.
 *
 * A sealed segment: everything below its end is durable. Its index is taken where it reads well,
 * else it is scanned; a COMMIT that does not read is damage.
 * An unsealed segment: after a power loss any unsynced octets may be missing, in any order. A
 * COMMIT counts only if it reads and every record that it lists does; what fails was never
 * acknowledged. In the boot that the segment was begun in nothing can have been lost, so there
 * a failure is damage as well: the envelope that still reads is offered as damaged.
 *
 * Everything read is untrusted: a COMMIT that reaches into another slot's segments, or takes an id
 * of another slot's, is refused. */
#pragma once
#include "base/map.h"
#include "spool/message.h"
#include "spool/store.h"

struct recover_ops {
	/* A message. payload: of its COMMIT, for message_decode; borrowed during the call. damaged:
	 * its envelope is good, its octets are not. Negative: stops, and step returns it. */
	int (*commit)(void *arg, uint64_t id, const struct record_ref *ref, struct span payload,
		bool damaged);
	/* Octets that should be a record and are not; the segment is kept for inspection. */
	void (*damage)(void *arg, const struct store_segment *s, uint64_t offset, uint64_t octets);
};
struct recover_counts {
	uint64_t commits; /* offered */
	uint64_t dropped; /* COMMITs that were never acknowledged: unsynced at a power loss */
	uint64_t gaps;	  /* places where unsynced records are missing */
	uint64_t refused; /* reached for what is not theirs */
	uint64_t damaged; /* places */
};
struct recover_cursor {
	const struct seam *seam;
	struct store *store;
	struct store_segment *segment;
	const struct recover_ops *ops;
	void *arg;
	struct recover_counts counts;
	struct buf commits; /* of an unsealed segment: an INDEX of what was offered (reseal.h) */
	/* private */
	bool sealed, same_boot, indexed;
	uint64_t from, end; /* end: where a sealed segment's records end */
	struct buf index;   /* payload of RECORD_INDEX */
	size_t index_at;
	struct segment_scan scan;
	struct buf payload, chunk; /* of the COMMIT and of the piece at hand */
	struct arena *arena;
	struct map *verified; /* records that were looked at: (segment, offset) -> length or bad */
	struct {	      /* a failure that is damage only if another record follows */
		uint64_t offset, octets;
	} suspect;
};
/* COMMITs at or above from_offset (0: all). 0; -ENOMEM, or the disk's error. */
MUST_CHECK int recover_begin(struct recover_cursor *c, const struct seam *seam, struct store *store,
	struct store_segment *segment, uint64_t from_offset, const struct recover_ops *ops,
	void *arg);
/* At most max_records records. 1: more to come; 0: the end; negative: see above. */
MUST_CHECK int recover_step(struct recover_cursor *c, unsigned max_records);
void recover_done(struct recover_cursor *c);
/* After the end: an unsealed segment of which every octet was looked at and nothing is damaged. It
 * may be sealed with c->commits, up to *ret_end. */
bool recover_may_seal(const struct recover_cursor *c, uint64_t *ret_end);
/* All of it at once. */
MUST_CHECK int spool_recover_segment(const struct seam *seam, struct store *store,
	struct store_segment *segment, uint64_t from_offset, const struct recover_ops *ops,
	void *arg);

/* What a COMMIT may name, for notices of living receivers too: 0; -EPERM: octets or an id of
 * another slot, or an id from the future; -ENODATA: octets that are not there (any more). */
MUST_CHECK int recover_check_commit(
	struct store *store, const struct store_segment *segment, const struct message *m);
