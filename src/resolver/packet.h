/* A DNS answer in wire form (RFC 1035 4.1) to the records that were asked for. Pure; what it reads
 * was written by strangers and passed on by libunbound. */
#pragma once
#include "ipc/resolve.h"

#define PACKET_ALIASES_MAX 16u /* CNAMEs in a row */

/* Follows aliases from name (text) to the records of `type`. Fills status (OK, NODATA, NXDOMAIN,
 * SERVFAIL for every other rcode), ttl, canonical and rdata, names in rdata uncompressed; spans
 * live in the arena. -EBADMSG: no DNS message; -ENOMEM. */
MUST_CHECK int packet_read(struct span packet, struct span name, uint16_t type, struct arena *a,
	struct resolve_answer *ret);
