/* A message in the spool: a list of pieces plus tagged facts; the payload of a COMMIT record.
 * Unknown tags are kept by whoever rewrites it. Facts are wire.h facts. */
#pragma once
#include "base/arena.h"
#include "base/wire.h"
#include "mail/facts.h"
#include "spool/segment.h"

enum message_fact {
	FACT_ARRIVAL = 1,      /* u64 wall microseconds */
	FACT_REVERSE_PATH = 2, /* canonical text, empty for <> */
	FACT_RECIPIENT = 3,    /* repeated, in order: nested facts RCPT_* */
	FACT_INLINE = 4,       /* octets that stand here in the message (a new header field) */
	FACT_PIECE = 5,	       /* u64 segment, u64 record, u64 offset, u32 length */
	FACT_SIZE = 6,	       /* u64, octets of the whole message with CRLF line ends */
	FACT_BODY = 7,	       /* u64: 0 7BIT, 1 8BITMIME, 2 BINARYMIME */
	FACT_CLIENT = 8,       /* address text of the SMTP client */
	FACT_HELO = 9,
	FACT_PROTOCOL = 10, /* RFC 3848 keyword */
	FACT_LISTENER = 11,
	FACT_LOGIN = 12,  /* authenticated identity */
	FACT_UID = 13,	  /* u64, of a local submitter */
	FACT_FLAGS = 14,  /* u64 MESSAGE_* */
	FACT_PARENT = 15, /* u64: the message that this report is about */
	FACT_RELAY = 16,  /* u64 1: foreign recipients go by relay.via */
	FACT_EVENT = 17,  /* u64: which event of the parent this report tells of */
	/* RFC 3461 */
	FACT_ENVID = 18, /* decoded from xtext */
	FACT_RET = 19,	 /* u64 MESSAGE_RET_* */
	FACT_PRIORITY =
		20, /* u64: MT-PRIORITY (RFC 6710) -9..9 plus MESSAGE_PRIORITY_BIAS; absent: 0 */
	FACT_HOLD_UNTIL = 21,	   /* u64 wall microseconds, RFC 4865 */
	FACT_DELIVER_BY = 22,	   /* u64 wall microseconds, RFC 2852 */
	FACT_DELIVER_BY_MODE = 23, /* u64 MESSAGE_BY_* */
	FACT_AUTH_SENDER = 24,	   /* MAIL's AUTH= (RFC 4954 5), decoded from xtext */
	FACT_TLS = 25,		   /* text: how the client's connection was protected */
};
enum rcpt_fact {
	RCPT_ADDRESS = 1,  /* canonical forward-path */
	RCPT_ORIGINAL = 2, /* as given at RCPT, when it differs (RFC 3464 Original-Recipient) */
	RCPT_FLAGS = 3,
	RCPT_NOTIFY = 4, /* u64 NOTIFY_*; absent: not said, which means failure and delay */
	RCPT_ORCPT = 5,	 /* "rfc822;bob@example.org", address decoded from xtext */
};
struct message_rcpt {
	struct span address, original;
	uint64_t flags;
	uint64_t notify; /* 0: not said */
	struct span orcpt;
};
struct message_piece {
	bool is_inline;
	struct span
		octets; /* inline: borrowed; its place in the file is computed by message_ranges */
	struct piece piece;
};
struct message {
	uint64_t id;
	uint64_t arrival_wall_usec, size, body, uid, flags, parent, relay, event;
	uint64_t ret, priority, hold_until_wall_usec, deliver_by_wall_usec, deliver_by_mode;
	struct span reverse_path, client, helo, protocol, listener, login;
	struct span envid, auth_sender, tls;
	struct message_rcpt *rcpts;
	uint32_t n_rcpts;
	struct message_piece *pieces;
	uint32_t n_pieces;
	struct span unknown; /* facts with unknown tags, encoded */
};
/* MT-PRIORITY of a message, -9..9. */
static inline int message_priority(const struct message *m)
{
	return m->priority ? (int)m->priority - MESSAGE_PRIORITY_BIAS : 0;
}
void message_encode(const struct message *m, struct buf *out);
/* A COMMIT's payload again, with other pieces; every other fact as it stands, known or not.
 * -EBADMSG, or the buffer's error. */
MUST_CHECK int message_replace_pieces(
	struct span payload, const struct message_piece *pieces, uint32_t n, struct buf *out);
/* Untrusted octets. Arrays and strings live in (or are borrowed through) the arena; payload must
 * outlive them. -EBADMSG, -ENOMEM. */
MUST_CHECK int message_decode(
	uint64_t id, struct span payload, struct arena *a, struct message *ret);
/* The message as file ranges in order: inline pieces lie inside the COMMIT record at `commit`
 * (payload is its payload, the spans of m point into it). */
MUST_CHECK int message_ranges(const struct message *m, struct span payload,
	const struct record_ref *commit, struct arena *a, struct piece **ret_pieces,
	uint32_t *ret_n);
