/* One host of a job, looked up and judged: its addresses, its TLSA records, what TLS it must give,
 * and the key under which its sessions are shared. */
#pragma once
#include "deliver/outbound.h"
#include "deliver/tls_policy.h"

struct candidate_ask {
	const struct delivery *d;
	const struct outbound *out;
	const struct way *way;
	struct span host;
	enum sts_state sts; /* of this host */
};
#define CANDIDATE_NAMES_MAX 36u
struct candidate {
	struct span host;
	struct addresses addresses;
	struct dane dane;
	struct tls_answer policy;
	struct tls_target target;
	struct span names[CANDIDATE_NAMES_MAX];
	struct span key;
	/* No address: why, and whether there will be none (NXDOMAIN, no data). */
	bool nowhere;
};
/* All in the arena of the delivery. 0, -ECANCELED, -ENOMEM. */
SUSPENDS MUST_CHECK int candidate_find(const struct candidate_ask *ask, struct candidate **ret);
