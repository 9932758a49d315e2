/* The header of HAProxy's PROXY protocol, versions 1 and 2: who a load balancer's client is. Pure;
 * the octets come from a named network, but are parsed as a stranger's. */
#pragma once
#include "net/address.h"

/* Version 1 needs 107; version 2 may add TLVs, which are ignored. */
#define PROXY_HEADER_MAX 2048u

struct proxy_header {
	bool keep; /* LOCAL, UNKNOWN: the connection's own addresses stand */
	struct address source, destination;
};
/* How many octets the header needs beyond those in hand, at least: read no more than that, what
 * follows is the client's. 0: complete. -EINVAL: no header. */
MUST_CHECK int proxy_need(struct span have, size_t *ret_octets);
/* A complete header. -EINVAL. */
MUST_CHECK int proxy_parse(struct span header, struct proxy_header *ret);
