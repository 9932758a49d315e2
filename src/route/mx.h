/* What the DNS says about a domain's mail, as a next hop (RFC 5321 5.1, RFC 7505). Pure: answers
 * come in, a hop goes out. */
#pragma once
#include "ipc/lookup.h"
#include "ipc/resolve.h"

#define MX_HOSTS_MAX 50u  /* more hosts than anyone needs: the best ones */
#define MX_SITE_MAX  200u /* octets of a site's key before it ends in a hash */

struct mx_facts {
	struct span domain;	/* A-labels, lower case */
	struct span route;	/* part of the site: other settings, other connections */
	const struct span *own; /* names of this server */
	size_t n_own;
	const struct resolve_answer *mx;
	/* Asked for only when the domain has no MX (mx_wants_addresses). */
	const struct resolve_answer *a, *aaaa;
};
/* No MX record: is the domain itself a host (implicit MX)? */
bool mx_wants_addresses(const struct resolve_answer *mx);
/* HOP_DELIVER (hosts, domain, mx_secure, site), HOP_FAIL or HOP_TEMPORARY, with reason. Spans live
 * in the arena or are static. -ENOMEM. */
MUST_CHECK int mx_decide(const struct mx_facts *f, struct arena *a, struct hop *ret);
