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

struct report_rcpt {
	struct span address;
	struct span original; /* as the sender wrote it; empty or equal: left out */
	uint16_t code;	      /* SMTP reply, 0: none */
	struct span enhanced; /* "5.1.1"; anything else becomes x.0.0 */
	struct span text, remote;
	bool remote_said; /* code and text are the remote's own reply */
};
struct report {
	bool delay;		 /* still being tried, until expires */
	uint64_t message, event; /* what it is about: for its Message-ID, the same whenever it is
				    written again */
	struct span hostname;
	struct span to; /* the original's reverse-path, not empty */
	uint64_t now_wall_usec, arrival_wall_usec, expires_wall_usec;
	struct span original; /* the original's first octets */
	const struct report_rcpt *rcpts;
	uint32_t n_rcpts;
};
/* Appends the whole message, CRLF line ends, every octet 7 bit, no line over 998. out->error says
 * whether it fit. */
void report_write(const struct report *r, struct buf *out);
