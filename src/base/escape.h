/* Octets of anyone made fit for one line of text or a JSON string. Valid UTF-8 is kept, but for
 * controls and what hides or reorders text on a screen; everything else is escaped. */
#pragma once
#include "base/buf.h"

/* Room that max_out must have at least. */
#define ESCAPE_MIN_OUT 16

/* The inside of a JSON string: always valid, whatever the octets are. An octet that is not UTF-8
 * becomes \u00XX. Appends at most max_out octets; what does not fit ends in "..." and gives false.
 */
bool escape_json(struct buf *b, struct span s, size_t max_out);
/* A value for key=value: as it is, or in quotes with \" \\ \n \r \t \xHH where it is empty or has
 * spaces, quotes, '=' or anything to escape. Bounded in the same way, quotes included. */
bool escape_value(struct buf *b, struct span s, size_t max_out);
