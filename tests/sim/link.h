/* The channel between the dispatcher and another process: frames in order, each way. Who dies takes
 * along what it has not read; what it has sent is read to the end, then comes the end itself. */
#pragma once
#include "base/buf.h"
#include "base/list.h"
#include "spool/segment.h"

enum message_kind {
	/* receiver to dispatcher */
	SAY_WANT,
	SAY_COMMITTED,
	SAY_SEALED,
	SAY_RETIRED,
	/* dispatcher to receiver */
	SAY_GIVE,
	SAY_ACCEPTING,
	/* dispatcher to deliverer */
	SAY_JOB,
	SAY_CANCEL,
	SAY_KEPT,
	SAY_ASK_INFLIGHT,
	/* deliverer to dispatcher */
	SAY_OUTCOME,
	SAY_INFLIGHT,
	SAY_DOT,
	/* dispatcher and directory */
	SAY_EXPAND,
	SAY_ROUTE,
	SAY_EXPANDED,
	SAY_ROUTED,
	SAY_MX,
	SAY_MX_SAID,
};
struct said_file {
	uint64_t sequence;
	struct disk_file *file; /* of the hearer's seam */
};
struct said {
	struct list node;
	enum message_kind kind;
	uint64_t a, b;
	struct record_ref ref;
	struct segment_head head;
	struct buf payload;
	struct said_file *files;
	unsigned n_files;
};
struct link {
	struct list up, down; /* to the dispatcher, to the other */
	bool dispatcher_left, peer_left;
};
struct link *link_new(void);
/* One side ends: frees what it has not read; the second frees the link. */
void link_leave(struct link *l, bool dispatcher);
/* From a process: nothing leaves it once it is dead, nothing reaches one that is gone (or l NULL).
 * Takes over what the frame holds, whatever becomes of it. */
void link_say(struct link *l, struct seam *from, bool up, struct said s);
struct said *link_hear(struct list *inbox); /* NULL: nothing there; said_free */
void said_free(struct said *s);
