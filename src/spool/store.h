/* The spool folder, owned by the dispatcher: which segment files exist, who uses them, how many
 * live messages each has, which one comes next. Prepares a zeroed spare for each slot in the
 * background, recycles dead segments to their own slot, refuses when the disk is low.
 *
 * Order of forgetting (DESIGN.md, docs/spool.md): a segment is recycled only when its messages'
 * outcomes are durable in the ledger; its new head (new generation and sequence) is durable
 * before the slot gets it back. */
#pragma once
#include "base/list.h"
#include "spool/segment.h"

enum segment_state {
	SEGMENT_PREPARING,
	SEGMENT_SPARE,
	SEGMENT_OPEN,	/* given to its slot's writer */
	SEGMENT_SEALED, /* complete: freed when nothing in it lives */
};
struct store_segment {
	struct list node;
	char name[32];
	struct disk_file *file;
	struct segment_head head;
	enum segment_state state;
	uint64_t live; /* messages that have octets or their COMMIT here */
	uint64_t
		known_end; /* COMMITs below this offset have been seen by the queue (store_known) */
	uint64_t look_usec; /* compact.c: not looked at before; 0: never seen */
	bool damaged;	    /* had unreadable records: never recycled, kept for inspection */
	bool claimed;	    /* store_claim: until it is released, notices of it may be missing */
};
struct store;
struct store_ops {
	/* A segment for the slot is ready (store_want), never from inside store_want. Its head is
	 * durable. A writer in this process opens a file of its own by seam->ops->open(s->name);
	 * for another process store_open_for_write makes a write-only fd. s->file stays the
	 * store's. */
	void (*ready)(void *arg, uint16_t slot, struct store_segment *s);
	/* seq is forgotten: its new head is durable, its octets will be overwritten soon. Readers
	 * must let go of their fds; only now may the ledger drop what it says of its messages. */
	void (*forgotten)(void *arg, uint64_t sequence);
	void (*disk_state)(void *arg, bool low, uint64_t free_octets);
	void (*error)(void *arg, const char *name, int error); /* a file was set aside */
};
struct store_limits {
	uint64_t segment_size,
		reserve; /* config spool{}; reserve 0: 2 % of the disk, 4 MiB to 256 MiB */
};
/* Opens every segment file in the folder and reads heads; nothing is recycled until
 * store_recovered. Files with a foreign or newer head are left alone and reported. */
MUST_CHECK int store_open(const struct seam *seam, const struct store_limits *limits,
	const struct store_ops *ops, void *arg, struct store **ret_store);
void store_free(struct store *s);
/* Recovery is over: unreferenced sealed segments may be recycled now. */
void store_recovered(struct store *s);
/* Segments of a slot (SLOT_LEDGER too) in sequence order; iterate with NULL first. */
struct store_segment *store_next(struct store *s, uint16_t slot, struct store_segment *after);
struct store_segment *store_find(struct store *s, uint64_t sequence); /* NULL: not (any more) */
/* All slots known: cursor starts at 0; false when done. */
bool store_next_slot(struct store *s, uint32_t *cursor, uint16_t *ret_slot);
/* A restarted dispatcher: a living writer still has this segment (open, spare, or kept by a draft).
 * Between store_open and store_recovered; ends with store_release. */
void store_claim(struct store *s, uint64_t sequence);
/* While any is claimed no checkpoint may begin: of a segment whose notices went to an earlier
 * dispatcher nobody knows below which offset the queue has seen every COMMIT. */
bool store_has_claimed(const struct store *s);
/* The queue has been given this COMMIT, and of the notices before it in its segment none is
 * missing: known_end follows. Not so in a claimed segment, where notices may have died with the
 * channel of an earlier dispatcher; there the rescan at its release tells. */
void store_known(struct store *s, const struct record_ref *commit);
/* Asks for a segment for the slot; ops->ready follows (perhaps later, perhaps only when the disk
 * has room again). Asking again before that is the same wish. */
void store_want(struct store *s, uint16_t slot);
/* The writer of this segment has ended with it (sealed, retired, or its process died). */
void store_release(struct store *s, uint64_t sequence);
/* One reference a live message and segment; the segment is one that store_find knows. */
void store_ref(struct store *s, uint64_t sequence);
void store_unref(struct store *s, uint64_t sequence); /* recycles in the background when dead */
bool store_disk_is_low(const struct store *s);
/* Call every second; also retries wants, and heads that failed. */
void store_check_disk(struct store *s);
/* A write-only fd for a writer in another process, the caller's to close. -ENOENT, -EOPNOTSUPP. */
MUST_CHECK int store_open_for_write(struct store *s, uint64_t sequence, int *ret_fd);
uint64_t store_count(const struct store *s);
