/* A delivery status notification as octets: RFC 3464 in a multipart/report of RFC 6522. A pure
 * function of what happened; who asks for it, when, and where it is kept is the dispatcher's. */
#pragma once
#include "base/buf.h"

/* Octets of the original's header that go back with the report. */
#define REPORT_HEADER_MAX (64u * 1024u)
/* Recipients named in the part for people; the part for programs names all. */
#define REPORT_NAMED_MAX 100u
/* Octets of one reply that are shown. */
#define REPORT_TEXT_MAX 1024u
/* Ceiling for the buf that report_write is given. */
#define REPORT_OCTETS_MAX (128u * 1024u * 1024u)

/* A whole message is only returned up to this size, and with its header alone beyond. */
#define REPORT_FULL_MAX (1024u * 1024u)

enum report_action { /* RFC 3464 2.3.3, in the order of queue.h */
	REPORT_FAILED,
	REPORT_DELAYED,
	REPORT_DELIVERED,
	REPORT_RELAYED,
	REPORT_EXPANDED,
};
struct report_rcpt {
	enum report_action action;
	struct span address;
	struct span original; /* as the sender wrote it; empty or equal: left out */
	uint16_t code;	      /* SMTP reply, 0: none */
	struct span orcpt;    /* "rfc822;bob@example.org" as the sender's ORCPT said, decoded */
	struct span enhanced; /* "5.1.1"; anything else becomes x.0.0 */
	struct span text, remote;
	bool remote_said; /* code and text are the remote's own reply */
};
struct report {
	bool delay;		 /* still being tried, until expires */
	bool success;		 /* nothing failed */
	uint64_t message, event; /* what it is about: for its Message-ID, the same whenever it is
				    written again */
	struct span hostname;
	struct span to; /* the original's reverse-path, not empty */
	uint64_t now_wall_usec, arrival_wall_usec, expires_wall_usec;
	struct span envid;	/* the sender's ENVID (RFC 3461 4.4), decoded; or empty */
	bool utf8;		/* RFC 6533: whoever gets it takes SMTPUTF8; else all is 7 bit */
	struct span original;	/* the original's first octets */
	bool original_utf8;	/* its header is RFC 6532's */
	bool original_is_whole; /* RET=FULL, and it is all there: return it with its body */
	const struct report_rcpt *rcpts;
	uint32_t n_rcpts;
};
/* Appends the whole message: CRLF line ends, no line over 998, every octet 7 bit unless utf8 or a
 * returned 8-bit body says otherwise. out->error says whether it fit. */
void report_write(const struct report *r, struct buf *out);
