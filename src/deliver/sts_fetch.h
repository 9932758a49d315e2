/* One HTTPS GET of a policy file, blocking: for a thread of the offload pool (RFC 8461 3.3). */
#pragma once
#include "base/buf.h"
#include "net/address.h"

struct sts_fetch {
	const char *domain; /* the policy's: the host is mta-sts.DOMAIN */
	const struct address *addresses;
	unsigned n_addresses;
	struct span roots; /* PEM */
	uint64_t timeout_usec;
	/* Out. */
	struct buf body; /* with its ceiling set */
	bool webpki;	 /* the certificate did not verify */
	char why[256];
};
/* 0: 200 with text/plain, the body is whole; -EPROTO and others, with why. */
int sts_fetch_run(void *fetch);
