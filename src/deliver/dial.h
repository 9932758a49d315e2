/* From addresses to a connected socket, by happy eyeballs (RFC 8305 5). */
#pragma once
#include "net/address.h"
#include "fiber/fiber.h"

#define DIAL_ATTEMPT_DELAY (250 * USEC_PER_MSEC) /* RFC 8305 8 */
#define DIAL_TOGETHER_MAX  12u

struct dial {
	const struct address *addresses; /* in the order to try; at most DIAL_TOGETHER_MAX */
	unsigned n;
	const struct address *from_v4, *from_v6; /* to connect from; NULL: the system chooses */
	uint64_t timeout_usec;			 /* of each attempt */
	uint64_t deadline_usec;			 /* of all */
};
/* The first that connects; the others are closed. An error is the last attempt's (-ECONNREFUSED,
 * -ETIMEDOUT, ...), or -ECANCELED. ret_index: which address, also on error. */
SUSPENDS MUST_CHECK int dial(const struct dial *ask, int *ret_fd, unsigned *ret_index);
/* Of a unix socket. -ENAMETOOLONG. */
MUST_CHECK int dial_unix_address(struct span path, struct address *ret_address);
