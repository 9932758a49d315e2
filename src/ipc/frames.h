/* The frame types on every channel between two processes, and who sends them. Payloads are wire.h
 * encodings declared in the other headers of this room; every decoder treats them as untrusted. */
#pragma once
#include "base/wire.h"

enum role {
	ROLE_SUPERVISOR,
	ROLE_RECEIVER,
	ROLE_RESOLVER,
	ROLE_DISPATCHER,
	ROLE_DELIVERER,
	ROLE_MAILBOX,
	ROLE_DIRECTORY,
	ROLE_KEYS,
	ROLE_CONTROL,
	ROLE_REPORTER,
	ROLE_CLI,
	ROLE_COUNT
};
const char *role_name(enum role r); /* "receiver" */
/* The deliverer or mailbox process that gets one suspicious job at a time; started when wanted. */
#define ROLE_SPARE_INDEX 63u

enum frame_type {
	/* supervisor -> role (ipc/supervise.h) */
	FRAME_CONFIG = 1, /* config_dump text; at start and again at every reload */
	FRAME_PEER, /* u8 role, u16 index + fd: a fresh channel to that process; replaces an older
		     */
	FRAME_FD,   /* span name + fd: "listener:0:1", "spool", "maildir:0", "users:0", "aliases:0",
		       "submit", "control", "stats" */
	FRAME_START, /* u32 uid, u32 gid to run as: everything needed at start has been sent; also
			after each reload's fds */
	FRAME_DRAIN, /* u64 grace microseconds: finish what runs, take nothing new, then exit 0 */
	FRAME_PEER_GONE, /* u8 role, u16 index, u8 1: abnormal end */
	/* role -> supervisor */
	FRAME_READY,	    /* after FRAME_START was acted on */
	FRAME_FAILED,	    /* span text: cannot work (bad file, ...): the supervisor logs it */
	FRAME_KEYS_LEARNED, /* by the directory: data/auth/learned has new SCRAM keys */
	FRAME_SPARE_WANT,   /* by the dispatcher: u8 role: a process of index ROLE_SPARE_INDEX */

	/* receiver <-> dispatcher (ipc/spool_frames.h) */
	FRAME_SEGMENT_WANT = 32, /* -> dispatcher */
	FRAME_SEGMENT_GIVE,	 /* -> receiver: segment head + write-only fd */
	FRAME_COMMITTED,	 /* -> dispatcher: notices, after their fdatasync */
	FRAME_SEGMENT_SEALED,	 /* -> dispatcher: u64 sequence, u64 end */
	FRAME_SEGMENT_RETIRED,	 /* -> dispatcher: u64 sequence, u32 errno */
	FRAME_ACCEPTING,	 /* -> receiver: u8 1 accept, 0 answer 452; span reason */

	FRAME_ETRN = 48, /* -> dispatcher: span domain: try now what waits for it (RFC 1985) */

	/* receiver, dispatcher <-> directory (ipc/lookup.h) */
	FRAME_LOOKUP = 64, /* -> directory: may this address receive? */
	FRAME_LOOKUP_ANSWER,
	FRAME_EXPAND, /* -> directory: aliases, once, and the first route of each child */
	FRAME_EXPAND_ANSWER,
	FRAME_ROUTE, /* -> directory: next hop of one address now */
	FRAME_ROUTE_ANSWER,

	/* receiver <-> directory (ipc/auth.h) */
	FRAME_AUTH = 72, /* -> directory: a step of an exchange */
	FRAME_AUTH_ANSWER,
	FRAME_AUTH_OFFER, /* -> receiver: which mechanisms the users' sources can do */
	FRAME_SUBMIT,	  /* -> directory: what a user hands in */
	FRAME_SUBMIT_ANSWER,

	/* dispatcher, deliverer, receiver, control, reporter <-> resolver (ipc/resolve.h) */
	FRAME_RESOLVE = 80, /* -> resolver */
	FRAME_RESOLVE_ANSWER,

	/* dispatcher <-> deliverer, mailbox (ipc/job.h) */
	FRAME_SEGMENT_OPEN =
		96, /* -> deliverer: u64 sequence + read-only fd, before a job that needs it */
	FRAME_SEGMENT_FORGET, /* -> deliverer: u64 sequence */
	FRAME_JOB,	      /* -> deliverer */
	FRAME_JOB_CANCEL,     /* -> deliverer: u64 job: do not begin it if not begun */
	FRAME_JOB_DOT,	      /* -> dispatcher: u64 job: the final dot is about to be sent */
	FRAME_OUTCOME,	      /* -> dispatcher */
	FRAME_OUTCOME_KEPT,   /* -> deliverer: u64 job: durable in the ledger, forget it */
	FRAME_INFLIGHT_ASK,   /* -> deliverer: first frame of a new dispatcher */
	FRAME_NO_MORE_JOBS,   /* -> dispatcher: it drains; what comes all the same is given back */
	FRAME_TRACE,	      /* -> dispatcher: u64 job, u32 lines left out before, span line */
	FRAME_INFLIGHT, /* -> dispatcher: u64 jobs in flight; kept outcomes come as FRAME_OUTCOME
			   before */

	FRAME_TLS_RESULT = 112, /* deliverer -> reporter (ipc/tls_result.h): one session, behind a
				   token of 0 */

	/* receiver <-> keys (ipc/sign.h) */
	FRAME_SIGN = 160, /* -> keys */
	FRAME_SIGN_ANSWER,
	/* directory <-> keys (ipc/cram.h) */
	FRAME_CRAM, /* -> keys: is this the response for a sealed secret? */
	FRAME_CRAM_ANSWER,

	/* cli <-> control <-> dispatcher, supervisor, reporter (ipc/admin.h) */
	FRAME_ADMIN = 128, /* request */
	FRAME_ADMIN_ROW,   /* one row of an answer */
	FRAME_ADMIN_END,   /* u64 token, u32 status 0 ok / errno, span text, u64 count */
	FRAME_ADMIN_LINE,  /* of a trace */
};
