/* The queue's own state (private to the queue). The steps between its files are in steps.h. */
#pragma once
#include "base/map.h"
#include "queue/site.h"
#include "queue/table.h"

#define QUEUE_RCPTS_MAX	  100000u /* recipients of one message, children of aliases included */
#define QUEUE_JOB_RCPTS	  1000u
#define QUEUE_JOB_OCTETS  (2u << 20) /* of addresses in a job; the packet has room for 3 MiB */
#define QUEUE_ASKS	  512u	     /* questions to the directory at once */
#define QUEUE_ASK_USEC	  (30 * USEC_PER_SEC)
#define QUEUE_MX_ASKS	  2048u /* questions for MX sets at once */
#define QUEUE_MX_USEC	  (90 * USEC_PER_SEC)
#define QUEUE_REPORT_USEC (60 * USEC_PER_SEC) /* a report that could not be written: again */
/* Due time of a failed recipient whose report waits for the recovered ledger to be durable. */
#define QUEUE_REPORT_OWED (USEC_INFINITY - 1)
/* Deliverers that died in a row while they had a message: then it goes alone, to a deliverer that
 * has nothing else; and after two more deaths, which nothing else explains, it is held. */
#define QUEUE_CRASHES_ALONE 2u
#define QUEUE_CRASHES_HELD  4u
/* Jobs in a row in which nothing was tried (a deliverer drains): then it is deferred. */
#define QUEUE_FRUITLESS	   3u
#define QUEUE_FUTURE_USEC  (366 * 24 * 3600 * USEC_PER_SEC) /* no clock holds mail back longer */
#define QUEUE_LARGE_OCTETS (1u << 20)
#define QUEUE_TIMERS_A_RUN 10000u
#define QUEUE_ENTRY_OCTETS (32u << 10) /* an entry with many recipients is cut about here */
#define QUEUE_IDLE_SITES   4096u       /* remembered for their windows */
#define QUEUE_GRACE_USEC   (3600 * USEC_PER_SEC) /* what a restart leaves of a life at least */

struct ask {
	struct list node; /* in queue.asked, oldest first, or queue.asks_free */
	uint64_t id, asked;
	uint32_t index, generation;
	bool route;
};
enum effect_kind { EFFECT_KEPT, EFFECT_FORGET, EFFECT_REPORT, EFFECT_UNGATE, EFFECT_MOVED };
/* What may happen once the ledger is durable up to a ticket. */
struct effect {
	uint64_t ticket, a;
	uint32_t event;
	enum effect_kind kind;
};
struct effects {
	struct effect *ring;
	size_t first, n, cap;
};
struct queue {
	struct queue_ops ops;
	void *arg;
	struct queue_settings settings;
	uint64_t now, wall, random, random_key;
	bool started;
	struct table mails;
	struct map *jobs, *sites, *hops, *done, *known; /* u64, octets, octets, u64, u64 */
	struct heap heap;
	uint32_t timers; /* owners of a timer: the heap has room for all */
	struct list runnable, idle_sites;
	uint32_t idle;
	uint64_t next_job;
	uint64_t by_state[RCPT_STATES];
	uint64_t live_mails, ready_down; /* ready at sites that are down */

	struct ask asks[QUEUE_ASKS];
	struct list asks_free, asked, ask_new, ask_again;
	bool ask_turn;
	struct list mx_new, mx_again, mx_asked; /* struct mx_wait */
	struct map *mx_asks;			/* by token */
	uint64_t mx_token;
	uint32_t mx_out, mx_out_again;
	bool mx_turn;

	struct buf entry, detail; /* scratch */
	struct entry entry_head;
	uint32_t entry_rcpts;
	uint32_t *touched; /* recipients that the step at hand changed */
	size_t n_touched, cap_touched;
	void *scratch;
	size_t cap_scratch;

	uint64_t ticket, durable; /* the last one given out */
	/* Nothing is handed out before this ticket is durable: what a killed process had noted of
	 * an operator's release may be in the page cache alone, and the power may fail next. */
	uint64_t jobs_after;
	bool want_sync, broken;
	uint64_t warn_again; /* no delay warnings before: one could not be written */
	struct effects effects;

	struct {
		bool active, tainted;
		uint64_t next_id, barrier, end_ticket;
	} checkpoint;
	struct {			     /* of the replay */
		uint32_t epoch, whole_epoch; /* a message's epoch: the checkpoint it was last
						mentioned in */
		struct queue_segment_state *segments; /* of the checkpoint being read */
		size_t n_segments, cap_segments;
		struct replay_mark {
			uint64_t report, message, event;
		} * marks;
		size_t n_marks, cap_marks;
		struct map *voided; /* ids of reports; NULL: none */
		bool same_boot;
	} replay;
};

#include "queue/steps.h"
