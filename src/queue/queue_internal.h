/* The queue's own state and the steps between its files (private to the queue). Every step is
 * atomic: nothing here suspends or calls the owner but by queue_ops. */
#pragma once
#include "base/map.h"
#include "queue/site.h"
#include "queue/table.h"

#define QUEUE_RCPTS_MAX	  100000u /* recipients of one message, children of aliases included */
#define QUEUE_JOB_RCPTS	  1000u
#define QUEUE_JOB_OCTETS  (2u << 20) /* of addresses in a job; the packet has room for 3 MiB */
#define QUEUE_ASKS	  512u	     /* questions to the directory at once */
#define QUEUE_ASK_USEC	  (30 * USEC_PER_SEC)
#define QUEUE_REPORT_USEC (60 * USEC_PER_SEC) /* a report that could not be written: again */
/* Due time of a failed recipient whose report waits for the recovered ledger to be durable. */
#define QUEUE_REPORT_OWED  (USEC_INFINITY - 1)
#define QUEUE_CRASHES	   3u /* deliverers lost with a message: then it is held */
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
enum effect_kind { EFFECT_KEPT, EFFECT_FORGET, EFFECT_REPORT, EFFECT_UNGATE };
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

	struct buf entry, detail; /* scratch */
	struct entry entry_head;
	uint32_t entry_rcpts;
	uint32_t *touched; /* recipients that the step at hand changed */
	size_t n_touched, cap_touched;
	void *scratch;
	size_t cap_scratch;

	uint64_t ticket, durable; /* the last one given out */
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
			uint64_t message, event;
		} * marks;
		size_t n_marks, cap_marks;
		bool same_boot;
	} replay;
};

/* queue.c */
void *queue_grow(void *p, size_t *cap, size_t n, size_t each); /* aborts without memory */
void *queue_scratch(struct queue *q, size_t octets);
uint64_t queue_random(struct queue *q);
void queue_say(struct queue *q, const char *event, const struct mail *m, const struct rcpt *r,
	const struct note *n, struct span detail);
/* mail.c */
void queue_mail_free(struct queue *q, struct mail *m);
struct rcpt *queue_mail_add_rcpt(struct queue *q, struct mail *m); /* NULL: too many */
/* recipient.c */
void queue_rcpt_set(struct queue *q, struct mail *m, struct rcpt *r, enum rcpt_state state);
void queue_rcpt_address(struct rcpt *r, struct span address);
void queue_rcpt_hop(struct queue *q, struct rcpt *r, struct next_hop *hop); /* takes over */
void queue_rcpt_note(struct rcpt *r, struct note *n);			    /* takes over */
void queue_rcpt_touch(struct queue *q, struct mail *m, struct rcpt *r, bool dirty);
void queue_rcpt_fail(struct queue *q, struct mail *m, struct rcpt *r);
void queue_rcpt_defer(struct queue *q, struct mail *m, struct rcpt *r);
void queue_rcpt_expire(struct queue *q, struct mail *m, struct rcpt *r);
void queue_rcpt_hold(struct queue *q, struct mail *m, struct rcpt *r);
void queue_rcpt_drop(struct queue *q, struct mail *m, struct rcpt *r, struct span detail);
void queue_rcpt_again(struct queue *q, struct mail *m, struct rcpt *r); /* READY or asked anew */
struct note *note_new(uint16_t code, bool remote_said, struct span enhanced, struct span text,
	struct span remote);
struct note *note_ref(struct note *n);
void note_unref(struct note *n);
bool note_equal(const struct note *a, const struct note *b);
struct span note_enhanced(const struct note *n);
struct span note_text(const struct note *n);
struct span note_remote(const struct note *n);
/* settle.c: the end of every step on a message: ledger, reports, batches, done */
void queue_settle(struct queue *q, struct mail *m, const struct handed *ended, bool front);
void queue_settle_all(struct queue *q, struct mail *m, bool front);
/* Leaves what a step changed for a later queue_settle_all. */
void queue_untouch(struct queue *q, struct mail *m);
void queue_dissolve(struct queue *q, struct mail *m); /* READY -> ROUTED */
/* schedule.c */
uint64_t queue_retry_wait(struct queue *q, unsigned attempts);
uint64_t queue_retry_last(const struct queue *q);
uint64_t queue_expire_at(const struct queue *q, const struct mail *m);
uint64_t queue_to_wall(const struct queue *q, uint64_t mono);
void queue_mail_timer(struct queue *q, struct mail *m);
void queue_mail_due(struct queue *q, struct mail *m, uint64_t due); /* at the latest then */
void queue_mail_grace(struct queue *q, struct mail *m); /* a life of QUEUE_GRACE_USEC at least */
void queue_timers_run(struct queue *q);
/* site.c */
struct next_hop *queue_hop(
	struct queue *q, const struct hop *h); /* a reference, or NULL: no memory */
void queue_hop_unref(struct queue *q, struct next_hop *hop);
enum site_change {
	SITE_UNKNOWN, /* nothing learnt */
	SITE_SUCCESS,
	SITE_FAILURE, /* a session was had, but nothing came of it */
	SITE_NO_SESSION,
};
void queue_site_result(
	struct queue *q, struct site *s, bool probe, enum site_change change, struct note *why);
void queue_site_ready(struct queue *q, struct site *s, int64_t n);
void queue_site_release(struct queue *q, struct site *s, bool probe);
void queue_site_try(struct queue *q, struct site *s); /* the operator: up, whatever it was */
void queue_site_runnable(struct queue *q, struct site *s);
void queue_site_probe(struct queue *q, struct site *s);
void queue_site_free(struct queue *q, struct site *s);
void queue_batch_add(struct queue *q, struct batch *b, bool front);
void queue_batch_free(struct queue *q, struct batch *b);
void queue_batch_back(struct queue *q, struct batch *b); /* to the end of its lane */
struct batch *queue_site_next(struct site *s);
/* asks.c, expand.c */
void queue_ask(struct queue *q, struct mail *m);
void queue_asks_run(struct queue *q);
struct rcpt *queue_ask_take(struct queue *q, uint64_t token, bool route, struct mail **ret_mail);
/* jobs.c, reports.c */
void queue_jobs_run(struct queue *q, unsigned max_jobs);
void queue_job_free(struct queue *q, struct handed *h);
void queue_report_failed(struct queue *q, struct mail *m, uint32_t event);
void queue_report_delay(struct queue *q, struct mail *m);
/* journal.c */
void queue_entry(struct queue *q, const struct entry *e);
void queue_entry_open(struct queue *q, enum entry_type type, const struct mail *m, uint64_t job);
void queue_entry_rcpt(struct queue *q, const struct mail *m, const struct rcpt *r);
void queue_entry_close(struct queue *q);
void queue_after(struct queue *q, enum effect_kind kind, uint64_t a, uint32_t event);
/* done.c: ids that are done and whose segment is still there */
void queue_done_add(struct queue *q, uint64_t id);
bool queue_done_has(const struct queue *q, uint64_t id);
void queue_done_seen(struct queue *q, uint64_t id); /* replay: its segment is there */
void queue_done_trim(struct queue *q, bool all);    /* forgets segments not seen, or all */
/* replay.c */
void queue_job_close(struct queue *q, uint64_t job); /* takes it out of its message and frees it */
void queue_replay_marks(struct queue *q);
void queue_replay_done(struct queue *q);
/* match.c */
struct span queue_state_name(const struct rcpt *r);
bool queue_request_is_open(const struct admin_request *r);
bool queue_match_mail(const struct mail *m, const struct admin_request *a);
bool queue_match_rcpt(const struct mail *m, const struct rcpt *r, const struct admin_request *a);
