/* Requests of the command line, by the control process to whoever answers. The control socket
 * (data/control) speaks channel frames too. Rows are binary; the command line prints them. */
#pragma once
#include "base/arena.h"
#include "base/wire.h"

enum admin_verb {
	ADMIN_QUEUE_LIST = 1, /* rows */
	ADMIN_QUEUE_SHOW,     /* rows with all detail */
	ADMIN_QUEUE_RETRY,
	ADMIN_QUEUE_HOLD,
	ADMIN_QUEUE_RELEASE,
	ADMIN_QUEUE_DROP,
	ADMIN_STATS,  /* answered by control: one row, facts of struct stats summed, per process */
	ADMIN_RELOAD, /* by the supervisor */
	ADMIN_STATUS, /* by the supervisor: processes, pids, ready */
	ADMIN_TRACE,  /* by the dispatcher: FRAME_ADMIN_LINE until the next delivery that matches
			 (ids,  recipient, domain) has ended */
	ADMIN_CANCEL, /* by control: the client of the trace with this token has gone; no answer */
	ADMIN_TLSRPT_LIST, /* by the reporter: rows */
	ADMIN_TLSRPT_SHOW, /* of `domain`: rows whose text is JSON */
	ADMIN_TLSRPT_SEND, /* all: the running day too */
};
/* Which messages: ids, or filters (all that are given must match), or all. */
struct admin_request {
	uint64_t token;
	enum admin_verb verb;
	bool all;
	struct span sender, recipient, domain,
		site;	   /* filters: sender/recipient exact or "*@domain" */
	bool below;	   /* domain, and all domains below it; never sent */
	struct span state; /* "ready", "deferred", "held", "in-flight" */
	struct span via;   /* release --via */
	bool no_bounce; /* drop without telling the sender (the default tells nobody; see man page)
			 */
	bool retry;	/* trace: and try it now */
	uint64_t limit; /* rows at most; 0: all */
	uint64_t *ids;
	uint32_t n_ids;
};
void admin_request_encode(const struct admin_request *r, struct buf *out);
MUST_CHECK int admin_request_decode(
	struct span payload, struct arena *a, struct admin_request *ret);

struct queue_row_rcpt {
	struct span address, original;
	struct span
		state; /* "ready" "deferred" "held" "in-flight" "expanding" "delivered" "failed" */
	uint32_t attempts;
	uint64_t due_wall_usec; /* 0: none */
	struct span site;
	struct span enhanced, text; /* last outcome */
};
struct queue_row_session {  /* of those that failed */
	uint64_t wall_usec; /* when it was over */
	struct span text;   /* lines of ipc/trace.h */
};
struct queue_row {
	uint64_t token;
	uint64_t id, arrival_wall_usec, size, expires_wall_usec;
	struct span reverse_path, client, login;
	bool held;
	bool gone; /* no longer queued: only its sessions are known */
	struct queue_row_rcpt *rcpts;
	uint32_t
		n_rcpts; /* rows of messages with very many recipients are cut at QUEUE_ROW_RCPTS */
	uint32_t n_rcpts_all;
	struct queue_row_session *sessions; /* `show` only */
	uint32_t n_sessions;
};
#define QUEUE_ROW_RCPTS	   10000u
#define QUEUE_ROW_SESSIONS 16u
void queue_row_encode(const struct queue_row *r, struct buf *out);
MUST_CHECK int queue_row_decode(struct span payload, struct arena *a, struct queue_row *ret);

/* FRAME_ADMIN_LINE: one line of a trace. Lines that find a channel full are left out and counted.
 */
struct admin_line {
	uint64_t token;
	uint32_t lost;	  /* lines left out before this one */
	struct span line; /* empty: only the loss is told */
};
void admin_line_encode(const struct admin_line *l, struct buf *out);
MUST_CHECK int admin_line_decode(struct span payload, struct admin_line *ret);

struct tlsrpt_row {
	uint64_t token;
	struct span domain, state; /* "collecting", "collected", "sending", "waiting for DKIM" */
	uint64_t begin_sec, end_sec, ok, failed; /* the period, its sessions */
	uint64_t due_usec;			 /* wall; 0: none */
	uint32_t attempts;
	struct span report;  /* its id; empty: none is made yet */
	struct span targets; /* lines of "pending https://..." */
	struct span text;    /* of the last failure; or the report */
};
void tlsrpt_row_encode(const struct tlsrpt_row *r, struct buf *out);
MUST_CHECK int tlsrpt_row_decode(struct span payload, struct tlsrpt_row *ret);

struct admin_end {
	uint64_t token;
	uint32_t error; /* 0, or an errno value */
	struct span text;
	uint64_t count; /* messages matched or acted on */
};
void admin_end_encode(const struct admin_end *e, struct buf *out);
MUST_CHECK int admin_end_decode(struct span payload, struct admin_end *ret);
