/* Whether octets need any thought about their line ends (RFC 5321 2.3.8): nearly all mail does not,
 * and one pass tells. */
#pragma once
#include "base/span.h"

struct lines_seen {
	bool whole;  /* every CR is followed by an LF, and every LF preceded by such a CR */
	bool dotted; /* an LF is followed by a dot */
	bool high;   /* an octet beyond ASCII */
};
/* Of what lies in these octets alone: a dot at their beginning is the caller's to look at. Empty:
 * whole, and nothing else. */
struct lines_seen lines_look(struct span octets);
/* Behind the first LF, at or behind `at`, that a dot follows; octets.len when there is none. */
size_t lines_until_dot(struct span octets, size_t at);
/* The longest line, without its CRLF, of whole ones that follow `*line` octets of an open one; the
 * octets of the last line, which is open, become the new `*line`. Lines of `enough` octets or fewer
 * need not be told apart: what is returned may be any number up to `enough` then. Both saturate. */
uint32_t lines_measure(struct span octets, uint32_t enough, uint32_t *line);
