/* What a whole message may be refused for by its octets alone. Pure. */
#pragma once
#include "mail/verdict.h"

struct content_ask {
	bool bare_newline;     /* a CR or LF that is not part of CRLF was seen */
	bool tolerate_bare;    /* the client is in limits.bare_newlines */
	uint64_t longest_line; /* octets without CRLF */
	uint64_t line_length;  /* limits.line_length; 0: no rule */
	uint64_t received;     /* Received fields in the header */
	uint64_t hops;	       /* limits.hops; 0: no rule */
};
/* 250, 554 5.6.0 (bare newline, a line too long), 554 5.4.6 (loop). */
struct verdict check_content(const struct content_ask *ask);
