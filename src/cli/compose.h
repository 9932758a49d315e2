/* A message as programs hand it to sendmail, made ready for SMTP. */
#pragma once
#include "base/buf.h"

struct compose {
	struct buf message;    /* CRLF line ends, complete header */
	struct buf recipients; /* with `from_header`: addresses found in To, Cc, Bcc, each with a
				  NUL */
};
struct compose_options {
	bool from_header;      /* sendmail -t: recipients from To, Cc and Bcc, Bcc taken out */
	struct span sender;    /* for a missing From field */
	struct span full_name; /* sendmail -F */
	struct span hostname;  /* for a missing Message-ID */
	uint64_t wall_usec;
	uint64_t unique;
};
/* in: as read, LF or CRLF line ends, an mbox "From " first line is dropped (RFC 4155). Adds Date,
 * Message-ID and From where they are missing (RFC 5322 3.6, RFC 6409 8). 0, -EMSGSIZE, -ENOMEM. */
MUST_CHECK int compose(struct span in, const struct compose_options *o, struct compose *ret);
void compose_done(struct compose *c);
/* Addresses of an address-list (RFC 5322 3.4), each appended with a NUL: display names, comments,
 * quoted strings and groups are understood, routes dropped. */
void address_list(struct span body, struct buf *out);
