/* What bounds the dispatcher's work for its peers (private to dispatcher*.c). */
#pragma once
#include "base/clock.h"

#define JOBS_IN_FLIGHT_MAX 2000u
#define JOBS_PER_TURN	   500u
#define JOB_BACKLOG_MAX	   (4u << 20) /* octets waiting for one deliverer: no more jobs to it */
#define PEER_BACKLOG_MAX   (64u << 20)
#define OPEN_SEGMENTS_MAX  512u /* of one deliverer (its own bound is 4096) */
#define NOTICES_HELD_MAX   (32u << 20)
#define GIVEN_MAX	   64u /* segments that one receiver may hold unreported */
#define MESSAGE_ARENA_MAX  (128u << 20)
#define REQUESTS_MAX	   64u
#define ROWS_PER_TURN	   200u
#define COMMANDS_PER_TURN  1000u /* messages that a command looks at */
/* A ledger that takes nothing for a moment and has so much to write: commands wait, too. */
#define COMMAND_UNWRITTEN_MAX (1u << 20)
#define ADMIN_BACKLOG_MAX     (1u << 20)
#define INFLIGHT_WAIT_USEC    (10 * USEC_PER_SEC)
#define TICK_USEC	      USEC_PER_SEC
/* A backlog of so many that shrinks to half gives its memory back to the system. */
#define TRIM_MESSAGES 4096u
/* From the beginning of one sync of the ledger to that of the next, at least. No 250 waits for it,
 * and what does (forgetting, reports, an operator's retry of what was not due) can wait so long;
 * without a pause there is one for each turn under load, and each takes the disk from receivers,
 * whose clients wait. The price: a power failure forgets the outcomes of that much more time; each
 * of these is named possible-duplicate, as before. Drains and checkpoints do not wait. */
#define LEDGER_PACE_USEC (2 * USEC_PER_MSEC)
