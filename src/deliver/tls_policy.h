/* Which TLS a host must give, from what is configured, published and asked for. Pure: the facts
 * are gathered elsewhere (dane.h, sts.h, way.h). RFC 7672, 8461, 8689; docs/tls-out.md has the
 * table. */
#pragma once
#include "config/config.h"

/* What the TLSA lookup of a host said (RFC 7672 2.1). */
enum dane_state {
	DANE_NONE,     /* not asked, not secure, or no records: DANE says nothing */
	DANE_USABLE,   /* secure records, at least one that we can use */
	DANE_UNUSABLE, /* secure records, none that we can use: TLS, unauthenticated */
	DANE_FAILED,   /* the answer was bogus or did not come: this host is out for now */
};
/* What MTA-STS says about a host (RFC 8461 4). */
enum sts_state {
	STS_NONE,     /* no policy, or mode none */
	STS_TESTING,  /* failures are reported, mail goes */
	STS_ENFORCED, /* the host matches the policy */
	STS_MISMATCH, /* enforce, and the host is not in the policy */
};
enum tls_want {
	TLS_WANT_CLEAR,
	TLS_WANT_MAY, /* falls back to clear text */
	TLS_WANT_ENCRYPT,
	TLS_WANT_PKIX, /* a certificate for one of the names, by trusted roots or fingerprint */
	TLS_WANT_DANE,
};
struct tls_question {
	enum tls_level level;
	bool implicit, credentials; /* smtps:, AUTH will follow */
	bool loopback;		    /* all addresses of the host are this machine's */
	bool requiretls, optional;  /* MESSAGE_REQUIRETLS, MESSAGE_TLS_OPTIONAL */
	bool by_mx, mx_secure;	    /* else the host is of the configuration */
	enum dane_state dane;
	enum sts_state sts;
};
struct tls_answer {
	enum tls_want want;
	const char *by;	   /* "none", "route", "dane", "sts", "auto", "requiretls" */
	bool test_names;   /* STS testing: check the names, report, go on */
	bool requiretls;   /* the peer must offer REQUIRETLS, and MAIL says it */
	const char *skip;  /* not NULL: this host cannot be used; why */
	bool skip_forever; /* waiting will not mend it */
};
struct tls_answer tls_decide(const struct tls_question *q);
/* Does the level ask the DNS for TLSA, the domain for an MTA-STS policy? */
bool tls_level_uses_dane(enum tls_level level);
bool tls_level_uses_sts(enum tls_level level);
/* "may" */
const char *tls_want_name(enum tls_want want);
