/* The addresses of one host: a literal's, loopback's, or what the resolver says. */
#pragma once
#include "ipc/resolve_client.h"

#define ADDRESSES_MAX 12u /* of one host; the rest is left out */

struct addresses {
	struct address list[ADDRESSES_MAX]; /* as RFC 8305 4 wants them tried */
	unsigned n;
	bool numeric;	       /* a literal or localhost: no name to look anything up under */
	bool secure;	       /* DNSSEC proved them and every alias on the way */
	bool loopback;	       /* all of them */
	struct span canonical; /* where aliases led, or empty */
	/* When n is 0. */
	enum resolve_status status;
	struct span why;
};
/* resolver NULL: names are RESOLVE_UNAVAILABLE. Octets live in the arena. 0 whatever the status;
 * -ECANCELED, -ENOMEM. */
SUSPENDS MUST_CHECK int addresses_find(struct resolve_client *resolver, struct span host,
	uint16_t port, struct arena *a, struct addresses *ret);
/* IPv6 and IPv4 in turn, IPv6 first (RFC 8305 4), at most ADDRESSES_MAX. */
void addresses_interleave(const struct address *v6, unsigned n_v6, const struct address *v4,
	unsigned n_v4, struct addresses *out);
void addresses_remove(struct addresses *a, unsigned i);
bool address_is_loopback(const struct address *a);
