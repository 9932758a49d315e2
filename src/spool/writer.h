/* Appending with group commit: the one way anything gets into the spool; used by each receiver
 * (its slot), the dispatcher (slot 0) and the ledger. Appends go to the page cache at once;
 * writer_sync gathers tickets, and one fdatasync at a time covers all that were appended before
 * it began. Then, and only then, tickets complete with 0. A failed write or fdatasync retires the
 * segment: every ticket of the group gets the error, a new segment is asked for. No fibers. */
#pragma once
#include "base/list.h"
#include "spool/segment.h"

struct writer;
struct writer_ops {
	/* Another segment will be wanted soon (no spare is left). Asked once until given; the first
	 * time from inside writer_new, with *ret_writer set. */
	void (*need_segment)(void *arg);
	/* seq is full and durable, index and SEAL written (end: octets used). */
	void (*sealed)(void *arg, uint64_t sequence, uint64_t end);
	/* seq had a failed write or sync: what is durable in it counts, nothing more will come. */
	void (*retired)(void *arg, uint64_t sequence, int error);
	/* Optional: a ticket waits and no sync runs. The owner calls writer_flush at the end of the
	 * turn, so that all who finish in one turn share one fdatasync. NULL: the sync begins at
	 * once. */
	void (*want_flush)(void *arg);
};
struct writer_ticket {
	struct list node;
	void (*done)(
		struct writer_ticket *t, int result); /* on the loop, never inside writer_sync */
};
MUST_CHECK int writer_new(const struct seam *seam, uint16_t slot, const struct writer_ops *ops,
	void *arg, struct writer **ret_writer);
/* Completes waiting tickets with -ECANCELED. NULL allowed. */
void writer_free(struct writer *w);
/* Takes over the file; the head has been written and synced by the giver (store.h). */
void writer_give_segment(struct writer *w, struct disk_file *f, const struct segment_head *h);
/* Nobody gives a segment (disk low): appends that need one fail with -ENOSPC until one comes. */
bool writer_can_append(const struct writer *w, uint64_t octets);
/* Largest payload that one record may have here. */
uint32_t writer_payload_max(const struct writer *w);
/* A new message id, from the current segment's sequence. -ENOSPC: no segment. */
MUST_CHECK int writer_new_id(struct writer *w, uint64_t *ret_id);
/* Appends one record; the payload comes in parts. Moves on to the spare when the current segment
 * has no room. -ENOSPC, -EMSGSIZE, or the disk's error. */
MUST_CHECK int writer_append(struct writer *w, enum record_type type, uint64_t id,
	const struct span *parts, unsigned n_parts, struct record_ref *ret_ref);
/* Several records that lie side by side, in one write; all in one segment. */
struct writer_record {
	enum record_type type;
	uint64_t id;
	const struct span *parts;
	unsigned n_parts;
};
MUST_CHECK int writer_append_many(struct writer *w, const struct writer_record *records, unsigned n,
	struct record_ref *ret_refs);
/* Where the next `octets` (record_span of each) will stand; moves on to the spare if it must. */
MUST_CHECK int writer_place(
	struct writer *w, uint64_t octets, uint64_t *ret_sequence, uint64_t *ret_offset);
/* t completes when everything appended so far is durable, across segments. */
void writer_sync(struct writer *w, struct writer_ticket *t);
void writer_flush(struct writer *w); /* begins the sync that waits, if any */
/* Whoever gave the segments may give them to others from now on: nothing is written any more, no
 * INDEX, no SEAL, no zeros over what a failed sync refused. Tickets that wait complete as their
 * sync says. What follows is writer_free. */
void writer_end(struct writer *w);
/* Seals the open segment, if it holds anything (drain). ops->sealed tells when. */
void writer_close_segment(struct writer *w);
bool writer_idle(const struct writer *w); /* nothing unsynced, no sync running */
struct writer_counts {
	uint64_t syncs, commits, records, octets, errors;
};
const struct writer_counts *writer_counts(const struct writer *w);
