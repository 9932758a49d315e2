/* What the files of the role share. */
#pragma once
#include "fiber/fiber.h"
#include "ipc/resolve_client.h"
#include "process/role.h"
#include "tlsrpt/outbox.h"
#include "tlsrpt/rpt.h"

#define PREPARERS_MAX	8u  /* domains whose record is asked at once */
#define SENDERS_MAX	4u  /* reports on their way: each takes a thread */
#define CLOSED_MAX	32u /* periods that are over and not yet reported; the oldest go first */
#define SAVE_USEC	(60 * USEC_PER_SEC)  /* what a crash costs at most */
#define SAVE_LARGE_USEC (300 * USEC_PER_SEC) /* the same of a day of many domains */
#define SAVE_LARGE	(4u << 20)
#define TURN_USEC	(15 * USEC_PER_SEC) /* between two looks at the clock */
#define ASK_AGAIN_USEC	(3600 * USEC_PER_SEC)
#define DAY_SEC		86400u

struct closed { /* a period that is over */
	struct list node;
	struct counts *counts;
	uint64_t due_usec; /* wall */
};
struct worker {
	struct reporter *r;
	struct fiber *fiber; /* NULL: free */
};
struct reporter {
	struct role_process *process;
	struct resolve_client *resolver;
	int folder;
	struct list sources; /* channels of deliverers */
	struct channel *control;
	struct arena *arena; /* of one result */

	struct counts *now;
	uint64_t save_usec; /* monotonic: not before */
	struct list closed;
	unsigned n_closed;
	struct list reports;
	unsigned n_reports;

	struct worker preparers[PREPARERS_MAX], senders[SENDERS_MAX];
	struct cond wake;
	bool woken, started, draining;
	bool cancelled; /* atomic: read by transfers on threads */
};
static inline uint64_t reporter_now(void)
{
	return loop_wall_usec();
}
void reporter_wake(struct reporter *r); /* something is due */
bool reporter_enabled(const struct reporter *r);
void reporter_head(const struct reporter *r, const struct counts *t, struct rpt_head *ret);

/* ---- periods.c ---- */
/* What the folder holds, and a running period. Blocks; before anything runs. */
MUST_CHECK int periods_load(struct reporter *r);
void periods_free(struct reporter *r);
/* Ends the running period at this second, if anything was counted in it. */
MUST_CHECK int periods_close(struct reporter *r, uint64_t at_sec);
/* Ends it when its day is over; saves what has changed, when it is time or at once. */
SUSPENDS void periods_turn(struct reporter *r, bool at_once);
/* When the reports of a period are due: spread over `delay` from its end on (RFC 8460 4.1). Pure.
 */
uint64_t periods_due(uint64_t end_sec, uint64_t delay_usec, struct span hostname);

/* ---- prepare.c ---- */
void prepare_start(struct reporter *r); /* fibers for what is due */
/* ---- send.c ---- */
void send_start(struct reporter *r);
/* The end of a report that nobody waits for any more. */
SUSPENDS void send_forget(struct reporter *r, struct outbox_report *report);
/* What an HTTP status says: OUTBOX_SENT, OUTBOX_REFUSED, OUTBOX_PENDING (later perhaps). Pure. */
enum outbox_state send_judge(long status);

/* ---- answers.c ---- */
MUST_CHECK int answers_frame(struct reporter *r, struct span payload);
