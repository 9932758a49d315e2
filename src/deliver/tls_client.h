/* TLS towards next hops: one context, sessions kept for resumption, verification by names, roots,
 * fingerprints or TLSA, and what came of it in words and as RFC 8460 calls it. */
#pragma once
#include "deliver/dane.h"
#include "ipc/tls_result.h"
#include "net/certificate.h"
#include "net/tls.h"

#define TLS_SESSIONS_MAX 2000u

struct tls_client;
MUST_CHECK int tls_client_new(struct tls_client **ret_client);
void tls_client_free(struct tls_client *t); /* NULL allowed; no stream of it may live */

struct tls_target {
	enum tls_want want;	/* not CLEAR */
	bool test_names;	/* MAY, but tell whether the names and roots would have verified */
	bool san_only;		/* RFC 8461 4.2: no common names */
	struct span host;	/* SNI; empty: none */
	struct address literal; /* the host is this address: len > 0 */
	const struct span *names; /* reference identifiers; ".example.org": any below */
	unsigned n_names;
	const char *const *fingerprints;
	size_t n_fingerprints;
	struct roots *roots; /* parsed by the first handshake, if they were not; NULL: none */
	const struct certificate *certificate; /* of ours, with its key; NULL: none */
	EVP_PKEY *certificate_key;
	const struct dane *dane; /* for DANE */
	struct span key;	 /* what must be equal for a session to be resumed */
};
struct tls_verdict {
	enum tls_failure failure; /* also where it did not matter (want MAY, test_names) */
	const char *verified_by;  /* "dane", "pkix", "fingerprint", or NULL */
	struct buf text;	  /* "TLSv1.3 TLS_AES_256_GCM_SHA384 pkix"; or why it failed */
};
/* Shakes hands. A negative errno: the connection is of no use; verdict->failure and text say why.
 * verdict is initialised by the caller (text with a ceiling). */
SUSPENDS MUST_CHECK int tls_client_start(struct tls_client *t, struct stream *s,
	const struct tls_target *target, uint64_t timeout_usec, struct tls_verdict *verdict);
