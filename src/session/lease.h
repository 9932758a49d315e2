/* Inside of intake.c and incoming.c: the time that one dispatcher's segments are ours. */
#pragma once
#include "session/intake.h"
#include "ipc/spool_frames.h"
#include "spool/draft.h"
#include "spool/writer.h"

struct channel;
struct lease {
	struct list node; /* intake.ended */
	struct intake *intake;
	struct writer *writer;	 /* NULL: ended, and all commits were answered */
	struct list segments;	 /* struct leased_segment: given, not yet reported as ended */
	struct list drafts;	 /* struct incoming */
	struct loop_defer flush; /* all who commit in one turn share one sync */
	unsigned refs;		 /* drafts that point here */
	unsigned commits;	 /* of them, whose ticket is with the writer */
	bool ended;		 /* its dispatcher is gone: nothing is appended any more */
};
enum leased_state { LEASED_OPEN, LEASED_SEALED, LEASED_RETIRED };
struct leased_segment {
	struct list node;
	uint64_t sequence, end;
	enum leased_state state;
	int error;
};
struct intake {
	const struct seam *seam;
	uint16_t slot;
	struct channel *channel; /* NULL: no dispatcher */
	struct lease *lease;	 /* NULL exactly when channel is */
	struct list ended;	 /* struct lease */
	bool accepting, closing;
	struct cond room; /* a segment, a dispatcher, or its consent came */
	struct loop_defer reaper;
	struct buf held;		    /* notices while there is no dispatcher */
	struct buf notice;		    /* the one that is being written */
	uint64_t ended_syncs, ended_errors; /* counts of leases that are gone */
};
/* 0 when `octets` can be appended under this lease; waits for a segment until the deadline.
 * -ESTALE: the lease has ended. -ENOSPC, -ECANCELED. */
SUSPENDS MUST_CHECK int lease_wait_room(struct lease *l, uint64_t octets, uint64_t deadline_usec);
/* Tells the dispatcher of a durable commit. */
void intake_notice(struct intake *i, const struct commit_notice *n);
/* A draft ended: reports segments that only it kept from being given back. */
void lease_report_segments(struct lease *l);
void intake_count(struct intake *i);
/* Something of an ended lease came to rest. */
void lease_changed(struct lease *l);
/* incoming.c: does a living draft of the lease need this segment to stay? */
bool lease_segment_in_use(const struct lease *l, uint64_t sequence);
/* incoming.c: gives up the drafts that have octets in it, but those being committed. */
void lease_overtake(struct lease *l, uint64_t sequence);
