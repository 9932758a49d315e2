/* The MTA-STS policy of a domain (RFC 8461): asked for, fetched, kept. */
#pragma once
#include "deliver/roots.h"
#include "deliver/sts_policy.h"
#include "deliver/tls_policy.h"
#include "ipc/resolve_client.h"
#include <openssl/x509.h>

#define STS_CACHE_MAX	10000u		     /* domains in memory */
#define STS_FETCHES_MAX 4u		     /* at once: each takes a thread */
#define STS_FETCH_USEC	(20 * USEC_PER_SEC)  /* of one fetch, all in all */
#define STS_QUEUE_USEC	(10 * USEC_PER_SEC)  /* of waiting for a turn */
#define STS_RETRY_USEC	(300 * USEC_PER_SEC) /* behind a failed fetch (RFC 8461 3.3) */

struct sts;
/* folder: where policies outlive the process, borrowed; -1: nowhere. */
MUST_CHECK int sts_new(int folder, struct sts **ret_sts);
void sts_free(struct sts *s); /* nothing may be fetching; NULL allowed */
/* For the HTTPS servers' certificates; a reference is taken. NULL: none. */
void sts_set_roots(struct sts *s, struct roots *roots);

enum sts_problem { STS_FINE, STS_FETCH_FAILED, STS_BROKEN, STS_WEBPKI };
struct sts_answer {
	bool found; /* a valid policy, perhaps an older one that is still in force */
	struct sts_policy policy;
	struct span text;	  /* of the policy, as it was served */
	enum sts_problem problem; /* of the last fetch, for reports */
	struct span why;
};
/* All in the arena. found false: the domain has none, or it cannot be had: the mail goes as without
 * (RFC 8461 3.3). 0, -ECANCELED, -ENOMEM. */
SUSPENDS MUST_CHECK int sts_find(struct sts *s, struct resolve_client *resolver, struct span domain,
	struct arena *a, struct sts_answer *ret);
/* What the policy says about that host. */
enum sts_state sts_state_of(const struct sts_answer *a, struct span host);
