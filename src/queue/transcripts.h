/* The last transcripts of sessions that failed, for `queue show`: in memory, bounded in number and
 * octets, the oldest go first. They outlive their message, so that a bounce can be explained. */
#pragma once
#include "base/list.h"
#include "base/span.h"

#define TRANSCRIPTS_KEPT_MAX   256u
#define TRANSCRIPTS_OCTETS_MAX (1u << 20)
#define TRANSCRIPT_TEXT_MAX    16384u /* of one; the beginning goes */

struct transcripts {
	struct list kept; /* the oldest first */
	unsigned n;
	size_t octets;
};
void transcripts_init(struct transcripts *t);
void transcripts_done(struct transcripts *t);
/* Copies; without memory nothing is kept. */
void transcripts_add(struct transcripts *t, uint64_t message, uint64_t wall_usec, struct span text);
/* The message's last ones, at most max, the oldest first; borrowed until the next call that
 * changes anything. */
struct transcript_shown {
	uint64_t wall_usec;
	struct span text;
};
unsigned transcripts_find(
	const struct transcripts *t, uint64_t message, struct transcript_shown *ret, unsigned max);
