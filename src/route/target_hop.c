/* What a `deliver` or `via` value means for a delivery: how, where, and the key under which
 * connections and windows are shared. */
#include "route/route.h"

#include "mail/idna.h"

#define SITE_MAX 8192u

static int keep(struct buf *b, struct arena *a, struct span *ret)
{
	struct span s = b->error ? SPAN_NULL : arena_span(a, buf_span(b));

	buf_done(b);
	if (!s.ptr)
		return -ENOMEM;
	*ret = s;
	return 0;
}

/* {domain} is filled in from the configuration's own name; {local} is the mailbox process's work.
 */
static int maildir(const struct target *t, const char *domain, struct arena *a, struct hop *h)
{
	struct buf path = BUF_INIT(SITE_MAX), site = BUF_INIT(SITE_MAX);

	for (const char *p = t->path; *p;) {
		if (domain && strncmp(p, "{domain}", 8) == 0) {
			buf_str(&path, domain);
			p += 8;
		} else {
			buf_char(&path, *p++);
		}
	}
	h->kind = HOP_DELIVER;
	h->via = JOB_MAILDIR;
	buf_str(&site, "maildir:");
	buf_put(&site, buf_span(&path));
	int r = keep(&path, a, &h->path);
	int r2 = keep(&site, a, &h->site);
	return r < 0 ? r : r2;
}

static int server(
	const struct target *t, enum job_via via, const char *word, struct arena *a, struct hop *h)
{
	struct buf site = BUF_INIT(SITE_MAX);

	h->kind = HOP_DELIVER;
	h->via = via;
	h->port = t->port;
	h->host = arena_span(a, span_str(t->host));
	h->path = arena_span(a, span_str(t->path));
	buf_str(&site, word);
	if (t->path) {
		buf_str(&site, ":unix:");
		buf_str(&site, t->path);
	} else {
		buf_str(&site, "://");
		buf_str(&site, t->host);
		buf_char(&site, ':');
		buf_u64(&site, t->port);
	}
	return keep(&site, a, &h->site);
}

static int not_yet(struct hop *h, const char *text)
{
	h->kind = HOP_TEMPORARY;
	h->enhanced = SPAN_LIT("4.3.5");
	h->text = span_str(text);
	return 0;
}

/* "mx:example.org" until the DNS says whose site that is. */
static int by_mx(struct span domain, struct arena *a, struct hop *h)
{
	struct buf host = BUF_INIT(DOMAIN_MAX + 1), site = BUF_INIT(SITE_MAX);
	int r = idna_to_ascii(domain, &host);

	if (r == -EINVAL) {
		*h = (struct hop){.kind = HOP_FAIL,
			.enhanced = SPAN_LIT("5.1.2"),
			.text = SPAN_LIT("not a domain name")};
		buf_done(&host);
		return 0;
	}
	*h = (struct hop){.kind = HOP_MX, .via = JOB_SMTP, .port = 25};
	buf_str(&site, "mx:");
	buf_put(&site, buf_span(&host));
	int r2 = keep(&host, a, &h->host);
	int r3 = keep(&site, a, &h->site);
	return r < 0 ? r : r2 < 0 ? r2 : r3;
}

/* RFC 5321 5.1: an address literal is its own next hop. */
static int by_literal(const struct path *p, struct arena *a, struct hop *h)
{
	struct span host = span_make(p->domain.ptr + 1, p->domain.len - 2);
	struct buf site = BUF_INIT(SITE_MAX);

	if (p->domain_kind == DOMAIN_LITERAL_V6)
		host = span_from(host, 5); /* "IPv6:" */
	*h = (struct hop){.kind = HOP_DELIVER, .via = JOB_SMTP, .port = 25};
	h->host = arena_span(a, host);
	buf_str(&site, "smtp://");
	buf_put(&site, host);
	buf_str(&site, ":25");
	int r = keep(&site, a, &h->site);
	return h->host.ptr ? r : -ENOMEM;
}

int route_mx_hop(const struct path *p, struct arena *a, struct hop *ret)
{
	if (p->domain_kind == DOMAIN_LITERAL_V4 || p->domain_kind == DOMAIN_LITERAL_V6)
		return by_literal(p, a, ret);
	if (p->domain_kind == DOMAIN_NAME)
		return by_mx(p->domain, a, ret);
	*ret = (struct hop){.kind = HOP_FAIL,
		.enhanced = SPAN_LIT("5.1.2"),
		.text = SPAN_LIT("no host or domain to deliver to")};
	return 0;
}

int route_target_hop(const struct target *t, const struct path *p, const char *domain,
	struct arena *a, struct hop *ret)
{
	struct hop h = {0};
	int r = 0;

	switch (t->kind) {
	case TARGET_MAILDIR:
		r = maildir(t, domain, a, &h);
		break;
	case TARGET_SMTP:
		r = server(t, JOB_SMTP, "smtp", a, &h);
		break;
	case TARGET_SMTPS: /* RFC 8314 3.3: TLS from the first octet */
		r = server(t, JOB_SMTP, "smtps", a, &h);
		h.implicit_tls = true;
		break;
	case TARGET_LMTP:
		r = server(t, JOB_LMTP, "lmtp", a, &h);
		break;
	case TARGET_DISCARD:
		h = (struct hop){
			.kind = HOP_DELIVER, .via = JOB_DISCARD, .site = SPAN_LIT("discard:")};
		break;
	case TARGET_HOLD:
		h = (struct hop){.kind = HOP_HOLD,
			.site = SPAN_LIT("hold"),
			.text = SPAN_LIT(
				"held by the configuration; release it with queue release --via")};
		break;
	/* Without relay.via mail for others (reports, forwards) goes where the Internet says. */
	case TARGET_NONE:
	case TARGET_MX:
		r = route_mx_hop(p, a, &h);
		break;
	case TARGET_PIPE:
		r = not_yet(&h, "pipe: is not there yet");
		break;
	}
	if (r == 0)
		*ret = h;
	return r;
}
