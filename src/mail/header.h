/* The header of a message as octets, RFC 5322 2.2: a cursor over fields, tolerant of anything. */
#pragma once
#include "base/buf.h"

struct header_field {
	struct span whole; /* name to the end of its last line, line ends included */
	struct span name;
	struct span body; /* after the colon, raw, folding included */
};
struct header_cursor {
	struct span rest;
};
struct header_cursor header_cursor(struct span message);
/* Next field; false at the empty line, at the end, or where the header stops looking like one. */
bool header_next(struct header_cursor *c, struct header_field *ret_field);
/* Counts fields of that name within the span given (loop detection counts "Received"). Works on a
 * message's first octets; a truncated last field counts. */
unsigned header_count(struct span message, struct span name);
/* First field's body, unfolded and trimmed into out; false when absent. */
bool header_find(struct span message, struct span name, struct buf *out);
/* Streaming counter for Received/Delivered-To while the body arrives in slices; starts as {0}.
 * Agrees with header_count over the same octets. It also sees "TLS-Required: No". */
struct header_scanner {
	uint8_t state;
	uint8_t matched;
	unsigned received, delivered_to;
	unsigned octets; /* of header, the empty line included; saturates */
	bool ended;
	uint8_t value; /* of a TLS-Required field, as far as it matches */
	bool tls_optional;
};
void header_scan(struct header_scanner *s, struct span in);
/* RFC 8689 5: a field "TLS-Required: No" was there. */
bool header_tls_optional(const struct header_scanner *s);
