/* One arena per transaction: small things of a transaction live here and die with it.
 * Bounded: beyond max octets allocations return NULL. */
#pragma once
#include "base/span.h"

struct arena;
MUST_CHECK struct arena *arena_new(size_t max_octets);
void arena_free(struct arena *a); /* NULL allowed */
void arena_freep(struct arena **a);
void arena_reset(struct arena *a);	      /* forgets all, keeps one block */
void *arena_alloc(struct arena *a, size_t n); /* zeroed, 16-aligned; NULL at the ceiling */
/* Copies; the copy has a NUL behind it that is not counted. ptr NULL at the ceiling. */
struct span arena_span(struct arena *a, struct span s);
char *arena_str(struct arena *a, struct span s);
