/* A message in the queue and its recipients (private to the queue). One allocation holds the
 * message, the recipients of its envelope and their texts; children of aliases and what was learnt
 * later live in allocations of their own. docs/queue.md has the states and their transitions. */
#pragma once
#include "base/list.h"
#include "queue/entries.h"
#include "queue/heap.h"
#include "queue/queue.h"

enum rcpt_state {
	RCPT_EXPANDING, /* the directory is asked for its aliases */
	RCPT_ROUTING,	/* the directory is asked for its next hop */
	RCPT_ROUTED,	/* next hop known; waits for the message's other answers */
	RCPT_READY,	/* in a batch at its site */
	RCPT_IN_FLIGHT,
	RCPT_DEFERRED,
	RCPT_HELD,
	RCPT_FAILED,	/* its report is owed */
	RCPT_SUCCEEDED, /* delivered, relayed or expanded, and the report that was asked for is owed
			 */
	RCPT_DELIVERED, /* finished from here on */
	RCPT_REPORTED,
	RCPT_DROPPED,
	RCPT_MERGED,
	RCPT_STATES,
};
#define RF_EXPANDED 1u
#define RF_SUSPECT  2u
#define RF_ASKED    4u	 /* a question is with the directory */
#define RF_HOLD	    8u	 /* hold when the flight ends */
#define RF_DROP	    16u	 /* drop when the flight ends */
#define RF_OWN	    32u	 /* the address is an allocation of its own */
#define RF_DIRTY    64u	 /* the ledger must hear of it */
#define RF_GATED    128u /* an operator's retry waits until it is durable */
#define RF_TOUCHED  256u /* in queue.touched */
#define RF_RELAYED  512u /* SUCCEEDED: the next hop will not report (RFC 3461 5.2.2) */
/* No address to deliver to: stands for the "expanded" report about the alias that it comes from. */
#define RF_NOTICE 1024u

/* The last outcome, shared by recipients that had the same. */
struct note {
	uint32_t refs;
	uint16_t code;
	bool remote_said;
	uint8_t enhanced_len;
	uint16_t text_len, remote_len;
	char octets[];
};
struct rcpt {
	const char *address;  /* a text: where to deliver */
	const char *envelope; /* of the envelope: two texts, address and original; else NULL */
	struct next_hop *hop;
	struct note *note;
	uint64_t due;
	union {
		uint32_t next;	 /* READY: the next of its batch */
		uint32_t flight; /* IN_FLIGHT: low bits of the job */
		uint32_t event;	 /* FAILED, SUCCEEDED: 0 until assigned */
	};
	uint32_t origin;
	uint16_t attempts, flags;
	uint8_t state;
	uint8_t notify; /* NOTIFY_* that hold for it; 0: not said */
};
/* Recipients of one message that may go to one next hop together. */
struct batch {
	struct list lane; /* in a lane of its site */
	struct list of_mail;
	struct mail *m;
	struct next_hop *hop;
	uint32_t first, last, n;
	bool front; /* while it waits for its MX set */
};
#define MAIL_REPORT  1u
#define MAIL_RELAY   2u
#define MAIL_WARNED  4u
#define MAIL_WARNING 8u	 /* the delay report is being written */
#define MAIL_DONE    16u /* finished; waits for the ledger */
#define MAIL_GHOST   32u /* replay: no COMMIT yet */
#define MAIL_NEW     64u /* recipients were expanded since the last settling */
#define MAIL_DAMAGED 128u
#define MAIL_FRONT   256u /* the operator wants it first */
#define MAIL_MOVED   512u /* its COMMIT is a copy: its id's own segment may be gone */
struct mail {
	struct timer timer;
	uint64_t id, arrival_wall, size;
	uint64_t hold_until; /* RFC 4865, wall; 0: not asked for */
	uint64_t deliver_by; /* RFC 2852, monotonic once it is started; 0: none */
	int64_t born;	     /* arrival in monotonic time: may lie before the clock's zero */
	struct record_ref commit;
	struct list ask;
	struct list batches;
	struct handed *jobs;
	struct rcpt *rcpts;
	char *via; /* a text, or NULL */
	uint32_t n_rcpts, n_env, cap_rcpts;
	uint32_t live, pending; /* unfinished; of these, waiting for the directory */
	uint32_t ask_next, next_event, epoch;
	uint16_t flags;
	uint8_t crashes, fruitless, body, by_mode;
	int8_t priority;
	struct rcpt inline_rcpts[];
};

/* Texts: u16 length and octets, unaligned. */
#define TEXT_MAX 4096u
struct span text_span(const char *text);
const char *text_next(const char *text);
char *text_new(struct span s); /* aborts without memory: recovery restores the queue */

/* -EBADMSG: texts or counts beyond the queue's limits; -ENOMEM. */
MUST_CHECK int mail_new(
	const struct message *m, const struct record_ref *commit, struct mail **ret);
MUST_CHECK int mail_new_ghost(uint64_t id, struct mail **ret);
/* Reverse path, client, login: they stand behind the envelope's recipients. NULL: a ghost. */
const char *mail_texts(const struct mail *m);
struct span mail_reverse_path(const struct mail *m);
bool mail_is_mute(const struct mail *m); /* null reverse path or a report: nobody to tell */
struct span rcpt_address(const struct rcpt *r);
/* As the sender named it. */
struct span rcpt_original(const struct mail *m, const struct rcpt *r);
/* The recipient of the envelope that it comes from. */
struct span rcpt_envelope(const struct mail *m, const struct rcpt *r);
/* RFC 3461 5.2.7.3 (b): what the members of an alias with several carry. */
uint8_t rcpt_child_notify(uint8_t notify);
/* Is its sender to be told of this (one NOTIFY_*)? */
bool rcpt_wants(const struct mail *m, const struct rcpt *r, uint8_t what);
bool rcpt_owes_report(const struct rcpt *r); /* in a state that ends with its report */
bool rcpt_is_live(const struct rcpt *r);
bool rcpt_is_waiting(const struct rcpt *r); /* live, and neither in flight, held nor failed */
