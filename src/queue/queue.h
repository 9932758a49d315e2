/* The queue's core: one owner of every message's fate after its 250. A state machine: events in,
 * actions out, no I/O, no clock of its own, so that production (queue/dispatcher.c) and the
 * simulator (tests/sim) run the same code.
 *
 * A recipient's life (docs/queue.md): EXPANDING -> ROUTING -> READY -> IN_FLIGHT -> DELIVERED |
 * DEFERRED (-> ROUTING when due) | FAILED (-> REPORTING -> done); HELD beside. Entries in the
 * ledger before effects, see entries.h. A message ends (`forget`) only when its DONE is durable.
 *
 * Actions are calls of queue_ops; they must not call back into the queue: answers come later as
 * events. Unknown tokens and ids in events are ignored (late answers). Times: monotonic
 * microseconds inside; wall time in the ledger, so that due times survive a restart and a clock
 * step neither expires nor stalls anything. */
#pragma once
#include "ipc/admin.h"
#include "ipc/job.h"
#include "ipc/lookup.h"
#include "spool/message.h"

struct queue;

enum queue_action { /* RFC 3464 2.3.3 */
	ACTION_FAILED,
	ACTION_DELAYED,
	ACTION_DELIVERED,
	ACTION_RELAYED,
	ACTION_EXPANDED,
};
struct queue_report_rcpt {
	enum queue_action action;
	uint32_t origin; /* of the envelope */
	struct span address, original;
	uint16_t code;
	struct span enhanced, text, remote;
	bool remote_said; /* text is the remote server's reply, not ours */
};
/* One delivery status notification to be written (RFC 3464): about `message`, for `event`. */
struct queue_report {
	uint64_t message, event;
	bool delay;		  /* a warning: mail is still queued until expires */
	bool success;		  /* of what was delivered, relayed, expanded */
	struct span reverse_path; /* whom to tell */
	uint64_t arrival_wall_usec, expires_wall_usec;
	struct record_ref commit; /* of the message, for its header */
	struct queue_report_rcpt *rcpts;
	uint32_t n_rcpts;
};

struct queue_ops {
	/* Not durable yet; order is kept. */
	void (*ledger)(void *arg, uint8_t type, struct span payload);
	/* queue_ledger_durable(q, ticket, r) must follow for everything appended so far, with this
	 * ticket or a later one. */
	void (*ledger_sync)(void *arg, uint64_t ticket);
	void (*expand)(void *arg, const struct expand_ask *ask);
	void (*route)(void *arg, const struct expand_ask *ask);
	/* What is this domain's MX set now? queue_mx_answered follows for every token. The spans
	 * are valid during the call. */
	void (*mx)(void *arg, uint64_t token, struct span domain, struct span route);
	/* The HANDED entry stands in the page cache already. ranges are empty: the owner fills them
	 * from `commit`. */
	void (*deliver)(void *arg, const struct job *job, const struct record_ref *commit);
	/* The owner writes it to slot 0, durable, with FACT_PARENT and FACT_EVENT; then
	 * queue_report_written. */
	void (*report)(void *arg, const struct queue_report *report);
	/* DONE is durable: nothing of the message is needed any more. */
	void (*forget)(void *arg, uint64_t id, const struct record_ref *commit);
	/* The outcome is durable: the deliverer may forget it. */
	void (*outcome_kept)(void *arg, uint64_t job);
	/* For the log: one call an event. event: "queued", "expanded", "delivered", "deferred",
	 * "failed", "bounced", "delayed", "expired", "held", "released", "dropped", "done",
	 * "possible-duplicate", "site-down", "site-up". rcpt, outcome, detail may be empty. */
	void (*event)(void *arg, const char *event, uint64_t id, struct span rcpt,
		const struct outcome_rcpt *outcome, struct span remote, struct span detail);
	/* May be NULL. The operator holds or drops what is in flight: the deliverer need not begin
	 * the job if it has not; its outcome is awaited all the same (NOT_TRIED). */
	void (*cancel)(void *arg, uint64_t job);
	/* May be NULL. What queue_moved said is durable: nothing of the message is needed where it
	 * was before. Comes before its forget. */
	void (*moved)(void *arg, uint64_t id);
};
struct queue_settings {
	uint64_t retry[16];
	unsigned n_retry;
	uint64_t warn, expire, bounce_expire;
	uint64_t concurrency; /* window ceiling per site */
	uint64_t connect_timeout, command_timeout, data_timeout;
	uint64_t seed; /* for maps and jitter; 0: random */
};
MUST_CHECK int queue_new(const struct queue_ops *ops, void *arg, const struct queue_settings *s,
	struct queue **ret_queue);
void queue_free(struct queue *q);
void queue_set_settings(struct queue *q,
	const struct queue_settings *s); /* reload: holds for mail already waiting */

/* ---- recovery, before queue_start ---- */
/* Ledger entries in order. -EBADMSG: unreadable (reported, set aside by the caller). */
MUST_CHECK int queue_replay_entry(struct queue *q, uint8_t type, struct span payload);
/* A COMMIT found in a segment, after the whole ledger. Returns 1: live (the owner keeps a
 * reference on its segments), 0: already done, negative errno. damaged: hold it and say so. */
MUST_CHECK int queue_replay_commit(
	struct queue *q, const struct message *m, const struct record_ref *commit, bool damaged);
/* clean_boot false: unsynced writes may be lost (boot id changed): whatever was ready to go may
 * have been handed out without trace. Names every suspect `possible-duplicate`. */
MUST_CHECK int queue_start(struct queue *q, uint64_t now, uint64_t wall, bool same_boot);
/* A living deliverer reported this job as still in flight: not suspect, its outcome will come. Only
 * between replay and queue_start. */
void queue_job_alive(struct queue *q, uint64_t job);

/* ---- events; now is monotonic, wall is wall time ---- */
void queue_time(
	struct queue *q, uint64_t now, uint64_t wall); /* call before other events of a turn */
/* Queued, or done and remembered. */
bool queue_knows(const struct queue *q, uint64_t id);
/* A durable commit. 1: new, 0: known already (deduplicated by id), negative errno (ENOMEM: ask
 * again later). */
MUST_CHECK int queue_committed(
	struct queue *q, const struct message *m, const struct record_ref *commit);
bool queue_has(const struct queue *q, uint64_t id); /* queued now */
void queue_expanded(struct queue *q, const struct expand_answer *a);
void queue_routed(struct queue *q, const struct expand_answer *a);
/* HOP_DELIVER with hosts, domain, mx_secure and the site that domains with this set share; or
 * HOP_FAIL, HOP_TEMPORARY. */
void queue_mx_answered(struct queue *q, uint64_t token, const struct hop *answer);
void queue_outcome(struct queue *q, const struct outcome *o);
void queue_job_lost(struct queue *q, uint64_t job, bool dot_sent); /* its deliverer died */
void queue_job_unsent(struct queue *q, uint64_t job); /* it never left: the owner drains */
void queue_report_written(struct queue *q, uint64_t message, uint64_t event, int result);
/* A COMMIT of the owner's whose write or sync failed, so that it counts for nothing here: should it
 * stand on the disk all the same, recovery takes it for done. */
void queue_void(struct queue *q, uint64_t id);
void queue_ledger_durable(struct queue *q, uint64_t ticket, int result);
/* Forms jobs and fires due timers; call at the end of every turn that had events, and at the time
 * queue_next_due says (USEC_INFINITY: none). max_jobs: back-pressure of the owner. */
void queue_run(struct queue *q, unsigned max_jobs);
uint64_t queue_next_due(const struct queue *q);
/* A new directory process: every question that is out is put again at once. */
void queue_directory_restarted(struct queue *q);
/* Routes have changed (reload): what is ready asks for its next hop anew. */
void queue_reroute(struct queue *q);

/* ---- compaction (spool/compact.h) ---- */
/* About `max` messages from *cursor (0) on; false: those were the last. idle: alive and in nobody's
 * hands, so that it may be moved. */
bool queue_walk(struct queue *q, uint64_t *cursor, unsigned max,
	void (*each)(
		void *arg, uint64_t id, const struct record_ref *commit, uint64_t size, bool idle),
	void *arg);
bool queue_is_idle(const struct queue *q, uint64_t id, const struct record_ref *commit);
/* A copy of an idle message is durable at `to`: from now on it is the message; ops->moved follows.
 */
void queue_moved(struct queue *q, uint64_t id, const struct record_ref *to);
/* The segment is recycled: no COMMITTED notice will name it again. */
void queue_segment_gone(struct queue *q, uint64_t sequence);

/* ---- operator ---- */
/* Rows: each(arg, row); row is valid during the call. Starts at *cursor (0), at most `max` rows a
 * call, so that a long list does not stop the world; returns false when the list is over. */
bool queue_list(struct queue *q, const struct admin_request *r, uint64_t *cursor, unsigned max,
	void (*each)(void *arg, const struct queue_row *row), void *arg);
/* RETRY, HOLD, RELEASE, DROP on all that match; returns how many messages. */
uint64_t queue_command(struct queue *q, const struct admin_request *r);
/* The same in slices, as queue_list: looks at `max` messages from *cursor (0) on and adds those
 * that it acted on to *count; false when the command is over. What is queued throughout is met
 * once. */
bool queue_command_slice(struct queue *q, const struct admin_request *r, uint64_t *cursor,
	unsigned max, uint64_t *count);

struct queue_counts {
	uint64_t messages, recipients, ready, deferred, held, in_flight;
};
struct queue_counts queue_counts(const struct queue *q);
/* Checkpoint: writes the live state as entries through ops->ledger, in slices of about `max`
 * messages, one a turn (the last one waits for a sync: do not loop); false when it is over. It is
 * whole when everything up to then is durable, unless queue_checkpoint_wanted says otherwise: only
 * then may older ledger segments go. segments: live spool segments to describe. */
struct queue_segment_state {
	/* Every COMMIT below known_end has been given to the queue (replay or queue_committed). */
	uint64_t sequence, known_end;
};
/* A sync of the ledger failed: nothing is forgotten, kept or reported until a checkpoint that
 * begins now is whole and durable. */
bool queue_checkpoint_wanted(const struct queue *q);
void queue_checkpoint_begin(
	struct queue *q, const struct queue_segment_state *segments, size_t n_segments);
bool queue_checkpoint_slice(struct queue *q, unsigned max);
