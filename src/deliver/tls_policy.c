/* The decision in one place, as a table could say it:
 *
 * - What an operator wrote for a route is exact: neither DANE nor MTA-STS adds to it. That is how
 *   a partner's broken records are overridden. `auto` is for everything else.
 * - DANE goes before MTA-STS (RFC 8461 2): a host with TLSA records is authenticated by them. Where
 *   DNSSEC does not prove the MX set, the policy still chooses which hosts may be used at all, so
 *   that a forged MX set cannot lead to somebody's own well-signed host.
 * - "TLS-Required: No" (RFC 8689 3) lifts what the recipient's domain asks for, not what the
 *   operator does; together with REQUIRETLS it is ignored (RFC 8689 4.1 step 2).
 * - REQUIRETLS (RFC 8689 4.2.1) needs a host whose name is proved and a certificate that verifies;
 *   it raises, and never lowers.
 * - A password is only sent to whom the certificate proves; loopback aside. */
#include "deliver/tls_policy.h"

bool tls_level_uses_dane(enum tls_level level)
{
	return level == TLS_LEVEL_AUTO || level == TLS_LEVEL_VERIFY || level == TLS_LEVEL_DANE;
}

bool tls_level_uses_sts(enum tls_level level)
{
	return level == TLS_LEVEL_AUTO;
}

const char *tls_want_name(enum tls_want want)
{
	static const char *const names[] = {"none", "may", "encrypt", "verify", "dane"};
	return names[want];
}

static struct tls_answer skip(const char *by, const char *why, bool forever)
{
	return (struct tls_answer){.by = by, .skip = why, .skip_forever = forever};
}

static struct tls_answer decide_dane_level(const struct tls_question *q)
{
	switch (q->dane) {
	case DANE_USABLE:
		return (struct tls_answer){.want = TLS_WANT_DANE, .by = "dane"};
	case DANE_UNUSABLE:
		return skip("route", "the route asks for DANE and no TLSA record is usable", false);
	case DANE_FAILED:
		return skip("dane", "its TLSA records cannot be validated", false);
	case DANE_NONE:
		break;
	}
	return skip("route", "the route asks for DANE and there are no secure TLSA records", false);
}

/* RFC 8461 5, once DANE has nothing to say. */
static struct tls_answer decide_sts(const struct tls_question *q, enum tls_want least)
{
	switch (q->sts) {
	case STS_ENFORCED:
		return (struct tls_answer){.want = TLS_WANT_PKIX, .by = "sts"};
	case STS_MISMATCH:
		return skip("sts", "it is not in the domain's MTA-STS policy", false);
	case STS_TESTING:
		return (struct tls_answer){.want = least, .by = "sts", .test_names = true};
	case STS_NONE:
		break;
	}
	return (struct tls_answer){.want = least, .by = "auto"};
}

static struct tls_answer decide_auto(const struct tls_question *q)
{
	enum tls_want least = TLS_WANT_MAY;
	if (q->implicit || q->credentials)
		least = q->loopback ? TLS_WANT_ENCRYPT : TLS_WANT_PKIX;
	if (q->optional) {
		enum tls_want want = q->implicit || q->credentials ? least : TLS_WANT_MAY;
		return (struct tls_answer){.want = want, .by = "tls-required: no"};
	}
	switch (q->dane) {
	case DANE_FAILED:
		/* RFC 7672 2.1.2: an attacker may have suppressed the records. */
		return skip("dane", "its TLSA records cannot be validated", false);
	case DANE_USABLE:
		if (q->sts == STS_MISMATCH && !q->mx_secure)
			return decide_sts(q, TLS_WANT_DANE);
		return (struct tls_answer){.want = TLS_WANT_DANE, .by = "dane"};
	case DANE_UNUSABLE: { /* RFC 7672 2.2: TLS is mandatory all the same */
		struct tls_answer a =
			decide_sts(q, least < TLS_WANT_ENCRYPT ? TLS_WANT_ENCRYPT : least);
		if (a.want == TLS_WANT_ENCRYPT)
			a.by = "dane";
		return a;
	}
	case DANE_NONE:
		break;
	}
	return decide_sts(q, least);
}

static struct tls_answer decide_level(const struct tls_question *q)
{
	switch (q->level) {
	case TLS_LEVEL_AUTO:
		return decide_auto(q);
	case TLS_LEVEL_NONE:
		return (struct tls_answer){
			.want = q->implicit ? TLS_WANT_ENCRYPT : TLS_WANT_CLEAR, .by = "route"};
	case TLS_LEVEL_MAY:
		return (struct tls_answer){
			.want = q->implicit ? TLS_WANT_ENCRYPT : TLS_WANT_MAY, .by = "route"};
	case TLS_LEVEL_ENCRYPT:
		return (struct tls_answer){.want = TLS_WANT_ENCRYPT, .by = "route"};
	case TLS_LEVEL_VERIFY:
		if (q->dane == DANE_FAILED)
			return skip("dane", "its TLSA records cannot be validated", false);
		return (struct tls_answer){
			.want = q->dane == DANE_USABLE ? TLS_WANT_DANE : TLS_WANT_PKIX,
			.by = q->dane == DANE_USABLE ? "dane" : "route"};
	case TLS_LEVEL_DANE:
		return decide_dane_level(q);
	}
	return skip("route", "an unknown level", false);
}

struct tls_answer tls_decide(const struct tls_question *given)
{
	struct tls_question q = *given;
	if (q.requiretls)
		q.optional = false;
	struct tls_answer a = decide_level(&q);
	if (a.skip || !q.requiretls)
		return a;
	if (q.level == TLS_LEVEL_NONE && !q.implicit)
		return skip("route", "the message requires TLS and the route forbids it", true);
	/* RFC 8689 4.2.1 steps 1 and 2: its name is proved. */
	if (q.by_mx && !q.mx_secure && q.sts != STS_ENFORCED)
		return skip("requiretls",
			"the message requires TLS, and neither DNSSEC nor MTA-STS proves that this "
			"host is the domain's",
			true);
	if (a.want < TLS_WANT_PKIX) {
		a.want = TLS_WANT_PKIX;
		a.by = "requiretls";
		a.test_names = false;
	}
	a.requiretls = true;
	return a;
}
