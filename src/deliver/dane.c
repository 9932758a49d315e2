/* When TLSA is asked and what its answer means, RFC 7672 2.1 and 2.2:
 *
 * - Only for a host whose address records are secure: behind an insecure zone a broken DNS server
 *   that chokes on TLSA must not stop mail (2.1.3, 2.2.2).
 * - The name where aliases led is tried first, then the host's own (2.2.2, 2.2.3); an alias chain
 *   that is secure only at its beginning still has a secure own name.
 * - An answer that is bogus, a server failure, or none at all puts this host out for now: an
 *   attacker can make any of them (2.1.2).
 * - PKIX-TA(0) and PKIX-EE(1) are unusable for SMTP (3.1.3); secure records without a usable one
 *   still say that there is TLS (2.2). */
#include "deliver/dane.h"
#include <openssl/err.h>
#include <openssl/x509.h>

#define SHA256_OCTETS 32u
#define SHA512_OCTETS 64u

static bool is_certificate(struct span der)
{
	const unsigned char *p = (const unsigned char *)der.ptr;
	X509 *x = d2i_X509(NULL, &p, (long)der.len);
	bool whole = x && p == (const unsigned char *)der.ptr + der.len;
	X509_free(x);
	ERR_clear_error();
	return whole;
}

static bool is_public_key(struct span der)
{
	const unsigned char *p = (const unsigned char *)der.ptr;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)der.len);
	bool whole = key && p == (const unsigned char *)der.ptr + der.len;
	EVP_PKEY_free(key);
	ERR_clear_error();
	return whole;
}

bool dane_is_usable(const struct resolve_tlsa *t)
{
	if ((t->usage != 2 && t->usage != 3) || t->selector > 1)
		return false;
	switch (t->matching) {
	case 0:
		return t->selector == 0 ? is_certificate(t->data) : is_public_key(t->data);
	case 1:
		return t->data.len == SHA256_OCTETS;
	case 2:
		return t->data.len == SHA512_OCTETS;
	default:
		return false;
	}
}

static int take_records(
	const struct resolve_answer *answer, struct span base, struct arena *a, struct dane *ret)
{
	uint32_t n = MIN(answer->n_rdata, DANE_RECORDS_MAX);
	*ret = (struct dane){.state = DANE_UNUSABLE, .base = base};
	ret->records = arena_alloc(a, (n + 1) * sizeof(*ret->records));
	if (!ret->records)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		struct resolve_tlsa *t = &ret->records[ret->n];
		if (resolve_tlsa(answer->rdata[i], t) >= 0 && dane_is_usable(t))
			ret->n++;
	}
	if (ret->n > 0)
		ret->state = DANE_USABLE;
	return 0;
}

/* 1: this base has the answer, 0: nothing here. */
SUSPENDS static int ask(struct resolve_client *resolver, struct span base, uint16_t port,
	struct arena *a, struct dane *ret)
{
	struct resolve_answer answer;
	struct buf name = BUF_INIT(RESOLVE_NAME_MAX + 16);
	buf_printf(&name, "_%u._tcp.%.*s", port, SPAN_FMT(base));
	struct span kept = name.error ? SPAN_NULL : arena_span(a, buf_span(&name));
	buf_done(&name);
	if (!kept.ptr)
		return 0; /* too long to have records */
	int r = resolve(resolver, kept, RESOLVE_TLSA, a, &answer);
	if (r < 0)
		return r;
	if (resolve_is_temporary(answer.status)) {
		*ret = (struct dane){.state = DANE_FAILED, .base = base, .why = answer.why};
		if (ret->why.len == 0)
			ret->why = span_str(resolve_status_name(answer.status));
		return 1;
	}
	if (answer.status != RESOLVE_OK || !answer.secure)
		return 0;
	r = take_records(&answer, base, a, ret);
	return r < 0 ? r : 1;
}

/* RFC 7672 2.2.2: the addresses are insecure, yet the host's own name may be a secure alias. */
SUSPENDS static int alias_is_secure(
	struct resolve_client *resolver, struct span host, struct arena *a, bool *ret_secure)
{
	struct resolve_answer answer;
	int r = resolve(resolver, host, RESOLVE_CNAME, a, &answer);
	if (r >= 0)
		*ret_secure = answer.status == RESOLVE_OK && answer.secure;
	return r;
}

int dane_find(struct resolve_client *resolver, struct span host, uint16_t port,
	const struct addresses *at, struct arena *a, struct dane *ret)
{
	bool secure = at->secure;
	*ret = (struct dane){.state = DANE_NONE};
	if (!resolver || at->numeric)
		return 0;
	int r = 0;
	if (!secure && at->canonical.len > 0)
		r = alias_is_secure(resolver, host, a, &secure);
	if (r < 0 || !secure)
		return r;
	if (at->secure && at->canonical.len > 0) {
		r = ask(resolver, at->canonical, port, a, ret);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	r = ask(resolver, host, port, a, ret);
	return r < 0 ? r : 0;
}
