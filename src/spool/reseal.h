/* Sealing what recovery found unsealed: a segment whose writer was killed, or that a power failure
 * left. Without this each start would read all of its octets again, and chunks once more for every
 * COMMIT, as long as one of its messages waits.
 *
 * The order makes each state on the way a true one: what was read is synced (a kill leaves it in
 * the page cache alone); the INDEX is synced; then the SEAL is, which makes it count. Were the SEAL
 * to be durable before the INDEX, records that were never acknowledged would pass for damage. */
#pragma once
#include "spool/store.h"

/* In the background, for a segment of state SEALED. index: struct recover_cursor.commits, copied.
 * The segment is held by a reference meanwhile. done (may be NULL) follows, never from inside. */
void reseal_begin(struct store *store, struct store_segment *s, uint64_t end, struct span index,
	void (*done)(void *arg, const char *name, int result), void *arg);
