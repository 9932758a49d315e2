/* RFC 5322 3.3 date-time. */
#pragma once
#include "base/buf.h"
/* "Sun, 22 Nov 2026 03:26:43 +0000" in local time of offset_minutes (0 = UTC). */
void date_format(uint64_t wall_usec, struct buf *out);
/* "2026-11-22T03:26:43.123Z" */
void date_format_iso(uint64_t wall_usec, struct buf *out);
/* The date-time of RFC 3339 in UTC ("Z" or "+00:00"), as RFC 4865 has it; fractions of a second are
 * dropped. -EINVAL. */
MUST_CHECK int date_parse_iso(struct span text, uint64_t *ret_wall_usec);
/* -EINVAL; obsolete forms (RFC 5322 4.3) too. */
MUST_CHECK int date_parse(struct span text, uint64_t *ret_wall_usec);
