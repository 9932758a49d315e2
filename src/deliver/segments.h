/* The segment files that the dispatcher handed over, read-only, by sequence. A job keeps a
 * reference to those it reads, so that a FORGET or a new dispatcher never closes an fd under a
 * running transfer. */
#pragma once
#include "base/map.h"

/* Read-only fds held by name; the dispatcher keeps far below this. */
#define SEGMENTS_MAX 4096u

struct segment {
	uint64_t sequence;
	int fd;
	unsigned references;
};
struct segments {
	struct map *by_sequence;
};
MUST_CHECK int segments_init(struct segments *s);
void segments_done(struct segments *s);
/* Takes over fd, also on error; replaces an older one of that sequence. -ENFILE at the bound. */
MUST_CHECK int segments_add(struct segments *s, uint64_t sequence, int fd);
void segments_forget(struct segments *s, uint64_t sequence);
void segments_forget_all(struct segments *s);
/* A reference of the caller's, or NULL when the sequence is not known. */
struct segment *segments_get(struct segments *s, uint64_t sequence);
void segment_release(struct segment *segment); /* NULL allowed */
