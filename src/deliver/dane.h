/* TLSA records of one host: RFC 6698, 7671, 7672. */
#pragma once
#include "deliver/tls_policy.h"
#include "ipc/addresses.h"

#define DANE_RECORDS_MAX 32u

struct dane {
	enum dane_state state;
	struct span base;	      /* the TLSA base domain: SNI and first reference identifier */
	struct resolve_tlsa *records; /* the usable ones */
	unsigned n;
	struct span why;
};
/* host: a name whose addresses are `at`. All in the arena. -ECANCELED, -ENOMEM. */
SUSPENDS MUST_CHECK int dane_find(struct resolve_client *resolver, struct span host, uint16_t port,
	const struct addresses *at, struct arena *a, struct dane *ret);
/* RFC 7672 3.1: only DANE-TA(2) and DANE-EE(3) of known selectors and digests, whose data can be
 * what they say. */
bool dane_is_usable(const struct resolve_tlsa *record);
