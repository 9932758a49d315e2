/* Where a domain wants its reports: the TXT record at _smtp._tls.DOMAIN (RFC 8460 3). Pure, fuzzed.
 */
#pragma once
#include "base/span.h"

#define TLSRPT_URIS_MAX 4u    /* that are used; RFC 7489 6.4, the model, asks for two */
#define TLSRPT_URI_MAX	1024u /* octets; a longer one is left out */

struct tlsrpt_uri {
	struct span text;
	bool mail; /* mailto: */
	/* https: only */
	struct span host;
	uint16_t port;
};
struct tlsrpt_record {
	struct tlsrpt_uri uris[TLSRPT_URIS_MAX];
	unsigned n; /* 0: none of a kind that we know */
};
/* "v=TLSRPTv1; rua=mailto:tls@example.org,https://tls.example.org/v1" -EINVAL: no such record, or a
 * broken one. Spans borrow. */
MUST_CHECK int tlsrpt_record_parse(struct span txt, struct tlsrpt_record *ret);
/* Of several TXT records: exactly one must begin with the version. -ENOENT: none or several,
 * -EINVAL: it is broken. */
MUST_CHECK int tlsrpt_record_choose(const struct span *txts, unsigned n, struct tlsrpt_record *ret);
/* One URI, "mailto:" or "https:". -EINVAL: neither, or not in a form that can be used. */
MUST_CHECK int tlsrpt_uri_parse(struct span text, struct tlsrpt_uri *ret);
