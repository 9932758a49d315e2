/* What came of the TLS of one session towards a recipient's domain: deliverers tell the reporter,
 * which counts (RFC 8460). */
#pragma once
#include "base/arena.h"
#include "base/wire.h"

/* RFC 8460 4.3. */
enum tls_failure {
	TLS_OK,
	TLS_NOT_OFFERED,	/* starttls-not-supported */
	TLS_NAME_MISMATCH,	/* certificate-host-mismatch */
	TLS_EXPIRED,		/* certificate-expired */
	TLS_NOT_TRUSTED,	/* certificate-not-trusted */
	TLS_OTHER,		/* validation-failure */
	TLS_TLSA_INVALID,	/* tlsa-invalid */
	TLS_DNSSEC_INVALID,	/* dnssec-invalid */
	TLS_DANE_REQUIRED,	/* dane-required */
	TLS_STS_FETCH_ERROR,	/* sts-policy-fetch-error */
	TLS_STS_INVALID,	/* sts-policy-invalid */
	TLS_STS_WEBPKI_INVALID, /* sts-webpki-invalid */
};
#define TLS_FAILURES 12u
const char *tls_failure_name(enum tls_failure f); /* "starttls-not-supported"; TLS_OK: "ok" */

/* RFC 8460 4.4: policy-type. */
enum tls_result_policy { TLS_RESULT_TLSA, TLS_RESULT_STS, TLS_RESULT_NO_POLICY };
#define TLS_RESULT_POLICIES 3u
const char *tls_result_policy_name(enum tls_result_policy p); /* "tlsa" */

#define TLS_RESULT_STRINGS_MAX 128u /* of policy-string, of mx-host */
#define TLS_RESULT_TEXT_MAX    512u /* octets of one string; the rest is cut off */
#define TLS_RESULT_NAME_MAX    255u /* octets of a domain or a host */

struct tls_result {	    /* FRAME_TLS_RESULT */
	struct span domain; /* the recipient's, lower case A-labels: its record is asked */
	enum tls_result_policy policy;
	struct span policy_domain; /* RFC 8460 1.1: of DANE, the TLSA base domain */
	struct span *strings;	   /* the policy as it was found, a string a TLSA record or line */
	uint32_t n_strings;
	struct span *mx_hosts; /* the patterns of an MTA-STS policy */
	uint32_t n_mx_hosts;
	enum tls_failure failure; /* TLS_OK: a session in TLS, as the policy wants it */
	/* Of a failure; what is not known is empty. */
	struct span mx, local, remote; /* receiving host, our and its address as text */
	struct span reason;
	/* Set by the decoder: the octets from `policy` to `mx_hosts`, and those behind. */
	struct span about_policy, about_session;
};
/* Whoever fills it in may give more and longer strings than the bounds: they are cut. */
void tls_result_encode(const struct tls_result *t, struct buf *out);
/* Spans borrow from payload, arrays live in the arena. Everything is within the bounds above, texts
 * are printable ASCII. -EBADMSG, -ENOMEM. */
MUST_CHECK int tls_result_decode(struct span payload, struct arena *a, struct tls_result *ret);
