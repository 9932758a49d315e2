/* From DNS answers to a next hop.
 *
 *   MX records            the hosts, best first; those that are not better than ourselves go
 *                         (RFC 5321 5.1: else mail would circle among equals); if that leaves
 *                         none, we are the best: 5.4.6
 *   one MX, "."           the domain takes no mail: 5.1.10 (RFC 7505)
 *   no MX, A or AAAA      the domain itself, preference 0 (RFC 5321 5.1)
 *   no MX, no address     5.4.4: the name exists, but nothing to connect to
 *   no such name          5.1.2
 *   SERVFAIL, bogus, timeout   4.4.3: this domain waits, nobody else. Bogus above all: whoever
 *                         forges answers would win a bounce (RFC 7672 2.1.1)
 *
 * An alias was followed by the resolver (RFC 5321 5.1: the resulting name counts as if it were the
 * first). MX records that name no host (unprintable, "." beside others) are left out; if nothing is
 * left, the domain is broken: 5.4.4 as for no address.
 *
 * The site's key names the set without its preferences: domains behind one provider share windows
 * and connections. */
#include "route/mx.h"
#include "base/siphash.h"
#include <stdlib.h>

static void fail(struct hop *ret, enum hop_kind kind, const char *enhanced, struct span text)
{
	*ret = (struct hop){.kind = kind, .enhanced = span_str(enhanced), .text = text};
}

/* A text about the domain, in the arena; static where there is no room. */
static struct span say(struct arena *a, struct span domain, const char *text, struct span why)
{
	struct buf b = BUF_INIT(1024);

	buf_escaped(&b, domain, 255);
	buf_printf(&b, ": %s", text);
	if (why.len) {
		buf_str(&b, ": ");
		buf_escaped(&b, why, RESOLVE_WHY_MAX);
	}
	struct span s = b.error ? SPAN_NULL : arena_span(a, buf_span(&b));
	buf_done(&b);
	return s.ptr ? s : span_str(text);
}

static bool is_own(const struct mx_facts *f, struct span host)
{
	for (size_t i = 0; i < f->n_own; i++)
		if (span_equal_nocase(f->own[i], host))
			return true;
	return false;
}

bool mx_wants_addresses(const struct resolve_answer *mx)
{
	return mx->status == RESOLVE_NODATA;
}

static const char *temporary_text(enum resolve_status s)
{
	switch (s) {
	case RESOLVE_BOGUS:
		return "DNSSEC validation failed";
	case RESOLVE_TIMEOUT:
		return "its name servers did not answer in time";
	case RESOLVE_UNAVAILABLE:
		return "the resolver is not available";
	default:
		return "its name servers answer with an error";
	}
}

/* An answer without records. */
static void decide_absent(const struct mx_facts *f, const struct resolve_answer *answer,
	struct arena *a, struct hop *ret)
{
	if (resolve_is_temporary(answer->status))
		fail(ret, HOP_TEMPORARY, "4.4.3",
			say(a, f->domain, temporary_text(answer->status), answer->why));
	else if (answer->status == RESOLVE_NXDOMAIN)
		fail(ret, HOP_FAIL, "5.1.2", say(a, f->domain, "no such domain", SPAN_NULL));
	else if (answer->status == RESOLVE_BAD_NAME)
		fail(ret, HOP_FAIL, "5.1.2", say(a, f->domain, "not a domain name", SPAN_NULL));
	else
		fail(ret, HOP_FAIL, "5.4.4",
			say(a, f->domain, "has neither a mail server nor an address", SPAN_NULL));
}

static int by_preference(const void *left, const void *right)
{
	const struct job_host *a = left, *b = right;

	if (a->preference != b->preference)
		return a->preference < b->preference ? -1 : 1;
	int order = memcmp(a->name.ptr, b->name.ptr, MIN(a->name.len, b->name.len));
	if (order != 0)
		return order;
	return a->name.len < b->name.len ? -1 : a->name.len > b->name.len;
}

static int by_name(const void *left, const void *right)
{
	struct job_host a = *(const struct job_host *)left, b = *(const struct job_host *)right;

	a.preference = b.preference = 0;
	return by_preference(&a, &b);
}

/* "mx:a.example,b.example", sorted, cut with a hash when long; "/route" behind it. */
static int site_key(
	const struct mx_facts *f, const struct hop *h, struct arena *a, struct span *ret)
{
	struct job_host sorted[MX_HOSTS_MAX];
	struct buf names = BUF_INIT((RESOLVE_NAME_MAX + 2) * MX_HOSTS_MAX + 64);

	memcpy(sorted, h->hosts, h->n_hosts * sizeof(sorted[0]));
	qsort(sorted, h->n_hosts, sizeof(sorted[0]), by_name);
	buf_str(&names, "mx:");
	for (uint32_t i = 0; i < h->n_hosts; i++) {
		if (i > 0 && span_equal(sorted[i].name, sorted[i - 1].name))
			continue;
		if (i > 0)
			buf_char(&names, ',');
		buf_put(&names, sorted[i].name);
	}
	if (names.len > MX_SITE_MAX) {
		uint64_t hash = siphash((struct siphash_key){0}, buf_span(&names));
		names.len = MX_SITE_MAX;
		buf_printf(&names, "...%016llx", (unsigned long long)hash);
	}
	if (f->route.len) {
		buf_char(&names, '/');
		buf_put(&names, f->route);
	}
	struct span key = names.error ? SPAN_NULL : arena_span(a, buf_span(&names));
	buf_done(&names);
	*ret = key;
	return key.ptr ? 0 : -ENOMEM;
}

static int deliver(const struct mx_facts *f, struct job_host *hosts, uint32_t n, bool secure,
	struct arena *a, struct hop *ret)
{
	struct hop h = {.kind = HOP_DELIVER,
		.via = JOB_SMTP,
		.port = 25,
		.hosts = hosts,
		.n_hosts = MIN(n, MX_HOSTS_MAX),
		.mx_secure = secure,
		.domain = arena_span(a, f->domain)};
	int r = h.domain.ptr ? site_key(f, &h, a, &h.site) : -ENOMEM;

	if (r == 0)
		*ret = h;
	return r;
}

static void fail_loop(const struct mx_facts *f, struct arena *a, struct hop *ret)
{
	fail(ret, HOP_FAIL, "5.4.6",
		say(a, f->domain,
			"mail loops back to this server: it is the best MX, but the domain is not "
			"configured here",
			SPAN_NULL));
}

static int decide_mx(const struct mx_facts *f, struct arena *a, struct hop *ret)
{
	const struct resolve_answer *mx = f->mx;
	struct job_host *hosts = arena_alloc(a, (mx->n_rdata + 1) * sizeof(*hosts));
	uint32_t n = 0, own = UINT32_MAX;

	if (!hosts)
		return -ENOMEM;
	for (uint32_t i = 0; i < mx->n_rdata; i++) {
		struct resolve_mx record;
		int r = resolve_mx(mx->rdata[i], a, &record);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			continue;
		if (record.host.len == 0) {
			if (mx->n_rdata > 1)
				continue;
			fail(ret, HOP_FAIL, "5.1.10",
				say(a, f->domain, "takes no mail (null MX)", SPAN_NULL));
			return 0;
		}
		if (is_own(f, record.host))
			own = MIN(own, record.preference);
		hosts[n++] = (struct job_host){record.host, record.preference};
	}
	bool any = n > 0;
	qsort(hosts, n, sizeof(*hosts), by_preference);
	while (n > 0 && hosts[n - 1].preference >= own)
		n--;
	if (n > 0)
		return deliver(f, hosts, n, mx->secure, a, ret);
	if (any)
		fail_loop(f, a, ret);
	else
		fail(ret, HOP_FAIL, "5.4.4",
			say(a, f->domain, "its MX records name no host", SPAN_NULL));
	return 0;
}

/* RFC 5321 5.1: the domain itself, if it has an address. */
static int decide_implicit(const struct mx_facts *f, struct arena *a, struct hop *ret)
{
	const struct resolve_answer *v4 = f->a, *v6 = f->aaaa;

	if (v4->status != RESOLVE_OK && v6->status != RESOLVE_OK) {
		decide_absent(f, resolve_is_temporary(v4->status) ? v4 : v6, a, ret);
		return 0;
	}
	if (is_own(f, f->domain)) {
		fail_loop(f, a, ret);
		return 0;
	}
	struct job_host *host = arena_alloc(a, sizeof(*host));
	if (!host)
		return -ENOMEM;
	host->name = arena_span(a, f->domain);
	if (!host->name.ptr)
		return -ENOMEM;
	return deliver(f, host, 1, f->mx->secure, a, ret);
}

int mx_decide(const struct mx_facts *f, struct arena *a, struct hop *ret)
{
	if (f->mx->status == RESOLVE_OK)
		return decide_mx(f, a, ret);
	if (mx_wants_addresses(f->mx) && f->a && f->aaaa)
		return decide_implicit(f, a, ret);
	decide_absent(f, f->mx, a, ret);
	return 0;
}
