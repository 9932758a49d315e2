/* Lines about a delivery, as `queue show` and `trace` print them: written where things happen,
 * passed on as they are. Octets of peers stand in them as they came: who prints makes them safe. */
#pragma once
#include "base/buf.h"

#define TRACE_TEXT_MAX 240u /* octets kept of a line; the rest is "..." */

/* kind: '>' we said, '<' the peer said, '*' what happened. Appends "12:03:04.567 < 250 ok" and LF;
 * the time is UTC's. What would end the line early becomes a space. */
void trace_line(uint64_t wall_usec, char kind, struct span text, struct buf *out);
