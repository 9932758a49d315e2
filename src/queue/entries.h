/* The ledger's entries: what the queue remembers about messages (docs/queue.md has the table of
 * what is durable before what). Entries are absolute per recipient: the later one wins, whatever
 * came before, so that a replay of old entries followed by a checkpoint's is right. */
#pragma once
#include "base/wire.h"

enum entry_type {
	ENTRY_HANDED = 1,  /* a job goes to a deliverer; recipients with their final addresses */
	ENTRY_OUTCOME = 2, /* the job has ended; recipients whose state changed by it */
	ENTRY_STATE = 3,   /* recipients' states; no job ends by it */
	ENTRY_BOUNCED = 4, /* the report of (message, event) is durable in the spool */
	ENTRY_DONE = 5,	   /* nothing of the message is needed any more */
	ENTRY_BEGIN = 6,   /* a checkpoint begins; the next job's id */
	ENTRY_SEGMENT =
		7, /* part of a checkpoint: all COMMITs of a segment below known_end are known */
	ENTRY_END = 8, /* the checkpoint is whole: what it did not mention is done */
	/* The owner's: 16 octets, the boot in which all that precedes it has been started. The
	 * queue takes no notice. */
	ENTRY_BOOT = 9,
	/* Compaction: the message's octets and COMMIT are durable in another place too, and the old
	 * one may go. */
	ENTRY_MOVED = 10,
	/* A report whose write or sync failed: should its COMMIT stand somewhere all the same, it
	 * is done and has told nobody of anything. */
	ENTRY_VOID = 11,
};
enum entry_rcpt_state {
	ENTRY_PENDING = 0, /* to be delivered, at due_wall_usec or at once */
	ENTRY_HELD = 1,
	ENTRY_FAILED = 2, /* for good; the report of `event` is owed */
	ENTRY_DELIVERED = 3,
	ENTRY_REPORTED = 4, /* failed, and the sender was told or cannot be */
	ENTRY_DROPPED = 5,
	ENTRY_MERGED = 6, /* stands for nothing: replaced by children, or an address named twice */
	ENTRY_SUCCEEDED = 7, /* the report of `event` is owed, which says so (RFC 3461) */
};
#define ENTRY_RCPT_STATES 8u
#define ENTRY_EXPANDED	  1u  /* the address is final: aliases are behind it */
#define ENTRY_SUSPECT	  2u  /* an earlier attempt may have succeeded */
#define ENTRY_HOLD	  4u  /* hold it when its flight ends */
#define ENTRY_DROP	  8u  /* drop it when its flight ends */
#define ENTRY_RELAYED	  16u /* SUCCEEDED: by a next hop that does not report */
#define ENTRY_NOTICE	  32u /* an "expanded" report, no recipient */

#define ENTRY_WARNED 1u /* message: the delay warning was sent */

/* The event of a message's delay warning; failures count from EVENT_FIRST. */
#define EVENT_DELAY 1u
#define EVENT_FIRST 2u

struct entry_rcpt {
	uint32_t index;	 /* within the message: envelope first, then children */
	uint32_t origin; /* envelope recipient that it comes from */
	enum entry_rcpt_state state;
	uint8_t flags;
	uint16_t attempts;
	uint32_t event;		/* of its report, or 0; MERGED: how many children it has */
	uint64_t due_wall_usec; /* 0: at once */
	struct span address;	/* empty: as in the envelope */
	bool has_note;		/* the last outcome: */
	bool remote_said;
	uint16_t code;
	struct span enhanced, text, remote;
};
struct entry {
	enum entry_type type;
	uint64_t id;	   /* message; 0 in BEGIN, SEGMENT, END */
	uint64_t job;	   /* HANDED, OUTCOME; BEGIN: the next one */
	uint32_t event;	   /* BOUNCED */
	uint8_t flags;	   /* STATE: ENTRY_WARNED */
	uint8_t crashes;   /* STATE: deliverers lost with it */
	struct span via;   /* STATE: the operator's next hop, or empty */
	uint64_t sequence; /* SEGMENT, MOVED */
	uint64_t known_end;
	uint64_t offset;   /* MOVED: of the COMMIT */
	uint32_t length;   /* of its payload */
	struct wire rcpts; /* HANDED, OUTCOME, STATE: for entry_next_rcpt */
};

/* The fixed part; recipients of HANDED, OUTCOME, STATE follow by entry_put_rcpt. */
void entry_put(struct buf *b, const struct entry *e);
void entry_put_rcpt(struct buf *b, const struct entry_rcpt *r);
/* 0; -EBADMSG. Recipients are checked by walking them: entry_next_rcpt, then rcpts.error. */
MUST_CHECK int entry_get(uint8_t type, struct span payload, struct entry *ret);
bool entry_next_rcpt(struct wire *w, struct entry_rcpt *ret);
