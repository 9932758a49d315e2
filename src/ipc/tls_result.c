/* The sender cuts, the reader refuses: a deliverer talks to strangers all day, so its counts are
 * believed and its octets are not. */
#include "ipc/tls_result.h"

const char *tls_failure_name(enum tls_failure f)
{
	static const char *const names[TLS_FAILURES] = {"ok", "starttls-not-supported",
		"certificate-host-mismatch", "certificate-expired", "certificate-not-trusted",
		"validation-failure", "tlsa-invalid", "dnssec-invalid", "dane-required",
		"sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"};
	return names[f];
}

const char *tls_result_policy_name(enum tls_result_policy p)
{
	static const char *const names[TLS_RESULT_POLICIES] = {"tlsa", "sts", "no-policy-found"};
	return names[p];
}

/* Words of OpenSSL, libcurl and other people's policies: what is not printable becomes "?". */
static void put_text(struct buf *out, struct span s, size_t max)
{
	s = span_head(s, max);
	wire_put_u32(out, (uint32_t)s.len);
	for (size_t i = 0; i < s.len; i++)
		buf_char(out, s.ptr[i] >= ' ' && s.ptr[i] <= '~' ? s.ptr[i] : '?');
}

static void put_list(struct buf *out, const struct span *list, uint32_t n)
{
	n = MIN(n, TLS_RESULT_STRINGS_MAX);
	wire_put_u32(out, n);
	for (uint32_t i = 0; i < n; i++)
		put_text(out, list[i], TLS_RESULT_TEXT_MAX);
}

void tls_result_encode(const struct tls_result *t, struct buf *out)
{
	put_text(out, t->domain, TLS_RESULT_NAME_MAX);
	wire_put_u8(out, (uint8_t)t->policy);
	put_text(out, t->policy_domain, TLS_RESULT_NAME_MAX);
	put_list(out, t->strings, t->n_strings);
	put_list(out, t->mx_hosts, t->n_mx_hosts);
	wire_put_u8(out, (uint8_t)t->failure);
	put_text(out, t->mx, TLS_RESULT_NAME_MAX);
	put_text(out, t->local, TLS_RESULT_NAME_MAX);
	put_text(out, t->remote, TLS_RESULT_NAME_MAX);
	put_text(out, t->reason, TLS_RESULT_TEXT_MAX);
}

static struct span get_text(struct wire *w, size_t max)
{
	struct span s = wire_get_span(w);
	if (s.len > max)
		w->error = -EBADMSG;
	for (size_t i = 0; i < s.len && !w->error; i++)
		if (s.ptr[i] < ' ' || s.ptr[i] > '~')
			w->error = -EBADMSG;
	return w->error ? SPAN_NULL : s;
}

static int get_list(struct wire *w, struct arena *a, struct span **ret_list, uint32_t *ret_n)
{
	uint32_t n = wire_get_u32(w);
	if (w->error || n > TLS_RESULT_STRINGS_MAX)
		return -EBADMSG;
	struct span *list = arena_alloc(a, (n + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		list[i] = get_text(w, TLS_RESULT_TEXT_MAX);
	*ret_list = list;
	*ret_n = n;
	return w->error;
}

int tls_result_decode(struct span payload, struct arena *a, struct tls_result *ret)
{
	struct wire w = wire_reader(payload);
	struct tls_result t = {.domain = get_text(&w, TLS_RESULT_NAME_MAX)};
	struct span begun = w.rest;
	uint8_t policy = wire_get_u8(&w);
	t.policy_domain = get_text(&w, TLS_RESULT_NAME_MAX);
	int r = get_list(&w, a, &t.strings, &t.n_strings);
	if (r == 0)
		r = get_list(&w, a, &t.mx_hosts, &t.n_mx_hosts);
	if (r < 0)
		return r;
	t.about_policy = span_head(begun, begun.len - w.rest.len);
	t.about_session = w.rest;
	uint8_t failure = wire_get_u8(&w);
	t.mx = get_text(&w, TLS_RESULT_NAME_MAX);
	t.local = get_text(&w, TLS_RESULT_NAME_MAX);
	t.remote = get_text(&w, TLS_RESULT_NAME_MAX);
	t.reason = get_text(&w, TLS_RESULT_TEXT_MAX);
	if (w.error || w.rest.len > 0 || policy >= TLS_RESULT_POLICIES || failure >= TLS_FAILURES ||
		t.domain.len == 0)
		return -EBADMSG;
	t.policy = (enum tls_result_policy)policy;
	t.failure = (enum tls_failure)failure;
	*ret = t;
	return 0;
}
