/* Connection limits: in all, and for each client address. One table for all receivers, in memory
 * that the supervisor makes and every receiver maps (or in private memory, where there is none):
 * each receiver counts in a row of its own and adds up the others'. Hints only: a corrupted row
 * costs at most a wrong limit. */
#pragma once
#include "config/config.h"

#define PERMIT_ROWS    256u /* as many receivers as the configuration allows */
#define PERMIT_BUCKETS 8192u

struct permit_table {
	uint64_t key; /* of the hash: random, not 0; set by the first receiver */
	uint32_t totals[PERMIT_ROWS];
	uint16_t buckets[PERMIT_ROWS][PERMIT_BUCKETS]; /* by hash of the address */
};
/* Size of the shared memory, all zero at first ("permits" among the role's fds). */
#define PERMIT_OCTETS sizeof(struct permit_table)

struct permits;
/* fd: the shared memory, borrowed, or -1. row: this receiver's index; what an earlier process left
 * in the row is forgotten. */
MUST_CHECK int permits_new(int fd, unsigned row, struct permits **ret_permits);
void permits_free(struct permits *p); /* NULL allowed */

enum permit_result { PERMIT_OK, PERMIT_ALL_TAKEN, PERMIT_ADDRESS_TAKEN };
/* A connection from client (NULL: a local one without address) wants in. PERMIT_OK must be followed
 * by permits_leave, with *ret_bucket. */
enum permit_result permits_enter(struct permits *p, const struct config *c,
	const struct address *client, uint32_t *ret_bucket);
void permits_leave(struct permits *p, uint32_t bucket);
