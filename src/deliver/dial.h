/* From a job's next hop to a connected socket. */
#pragma once
#include "ipc/job.h"
#include "net/address.h"

/* Connects to job's host and port, or to its unix path. Literals and "localhost" (RFC 6761 6.3)
 * need no question to anyone; -EHOSTUNREACH with ret_peer->len 0: a name that only the DNS knows.
 * Else the last address's errno (-ECONNREFUSED, -ETIMEDOUT, ...), -ECANCELED. Each address has
 * job->connect_timeout. ret_peer: the address tried last, also on error. */
SUSPENDS MUST_CHECK int dial(const struct job *job, int *ret_fd, struct address *ret_peer);
