/* What a `deliver` or `via` value means for a delivery: how, where, and the key under which
 * connections and windows are shared. */
#include "route/route.h"

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
	if (t->path)
		buf_printf(&site, "%s:unix:%s", word, t->path);
	else
		buf_printf(&site, "%s://%s:%u", word, t->host, t->port);
	return keep(&site, a, &h->site);
}

static int not_yet(struct hop *h, const char *text)
{
	h->kind = HOP_TEMPORARY;
	h->enhanced = SPAN_LIT("4.3.5");
	h->text = span_str(text);
	return 0;
}

int route_target_hop(const struct target *t, const char *domain, struct arena *a, struct hop *ret)
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
		r = not_yet(&h, "delivery by MX needs the resolver, which is not there yet");
		break;
	case TARGET_PIPE:
		r = not_yet(&h, "pipe: is not there yet");
		break;
	}
	if (r == 0)
		*ret = h;
	return r;
}
