/* Segments of a slot whose writer writes no more, taken back: synced, read from where notices ended
 * for COMMITs that nobody told us of (their 250 may have gone out), and only when that is done for
 * all of them is any released: a COMMIT in one may have its chunks in another. Used by the
 * dispatcher and by the simulator's alike. */
#pragma once
#include "spool/recover.h"
#include "spool/seam.h"
#include "spool/store.h"

/* None is called once `ended` says so; the disk may still be at work then. */
struct reclaim_ops {
	/* Somebody alive writes there. */
	bool (*is_given)(void *arg, uint64_t sequence);
	/* The queue has started: until then what recovery has not read yet is left to it. */
	bool (*started)(void *arg);
	/* Owner and store are going. NULL: they never do. */
	bool (*ended)(void *arg);
	void (*found)(void *arg, uint16_t slot, uint64_t id, const struct record_ref *ref);
	void (*damage)(void *arg, const struct store_segment *s, uint64_t offset, uint64_t octets);
	/* The sync or the reading failed: it is marked damaged, and kept. */
	void (*failed)(void *arg, const struct store_segment *s, int error);
	/* About to be released. NULL allowed. */
	void (*released)(void *arg, uint64_t sequence);
};

/* Aborts without memory: what is open would be lost from sight. */
void reclaim_slot(struct seam *seam, struct store *store, uint16_t slot,
	const struct reclaim_ops *ops, void *arg);
