/* What a delivery would meet at a host, found out without one, for `dns check`: by the very code of
 * deliveries, so that both say the same. */
#pragma once
#include "ipc/addresses.h"
#include "deliver/sts.h"
#include "deliver/tls_policy.h"

#define PROBE_CERTIFICATES_MAX 10u

struct prober; /* what the probes of one process share; nothing is kept on disk */
/* resolver is borrowed. Reads the roots that the configuration names (or the system's). */
MUST_CHECK int prober_new(
	const struct config *c, struct resolve_client *resolver, struct prober **ret_prober);
void prober_free(struct prober *p); /* NULL allowed */
/* The domain's MTA-STS policy, fetched. As sts_find. */
SUSPENDS MUST_CHECK int prober_policy(
	struct prober *p, struct span domain, struct arena *a, struct sts_answer *ret);

struct probe_ask {
	struct span domain, route, host; /* route: as struct job has it */
	uint16_t port;			 /* 25 */
	bool mx_secure;
	const struct sts_answer *sts;
	bool connect; /* else addresses and policies only */
};
struct probe_certificate {
	struct span names, issuer;
	int64_t begins_sec, ends_sec; /* wall */
};
struct probe {
	struct addresses addresses;
	enum dane_state dane;
	enum sts_state sts;
	struct tls_answer policy;		/* what the host must give */
	bool open;				/* a session that mail may use was had, and ended */
	struct span remote, tls;		/* its peer, its TLS; tls empty: clear text */
	struct span failure;			/* why there was none */
	struct probe_certificate *certificates; /* the host's own first */
	unsigned n_certificates;
	struct span webpki; /* "verifies", or why roots and name do not; empty: nothing seen */
};
/* All in the arena. 0 whatever was found; -ECANCELED, -ENOMEM. */
SUSPENDS MUST_CHECK int probe_host(
	struct prober *p, const struct probe_ask *ask, struct arena *a, struct probe *ret);
