/* Both families are asked at once. What one family's lookup failed of does not keep the other from
 * being used (RFC 8305 3); only when nothing is left does the worse of the two answers count, and
 * a temporary one is the worse, so that a half-broken zone is retried, not bounced.
 *
 * "Secure" (RFC 7672 2.2.2) is what carried the records: an empty answer of the other family
 * proves nothing and harms nothing. */
#include "ipc/addresses.h"
#include <netinet/in.h>

bool address_is_loopback(const struct address *a)
{
	struct network n;
	if (a->len == 0)
		return false;
	if (address_is_unix(a))
		return true;
	static const struct span networks[] = {SPAN_LIT("127.0.0.0/8"), SPAN_LIT("::1/128")};
	for (unsigned i = 0; i < ARRAY_LEN(networks); i++) {
		if (network_parse(networks[i], &n) >= 0 && network_contains(&n, a))
			return true;
	}
	return false;
}

void addresses_interleave(const struct address *v6, unsigned n_v6, const struct address *v4,
	unsigned n_v4, struct addresses *out)
{
	unsigned i6 = 0, i4 = 0;
	out->n = 0;
	while (out->n < ADDRESSES_MAX && (i6 < n_v6 || i4 < n_v4)) {
		if (i6 < n_v6)
			out->list[out->n++] = v6[i6++];
		if (i4 < n_v4 && out->n < ADDRESSES_MAX)
			out->list[out->n++] = v4[i4++];
	}
	out->loopback = out->n > 0;
	for (unsigned i = 0; i < out->n; i++)
		out->loopback = out->loopback && address_is_loopback(&out->list[i]);
}

void addresses_remove(struct addresses *a, unsigned i)
{
	assert(i < a->n);
	a->n--;
	memmove(&a->list[i], &a->list[i + 1], (a->n - i) * sizeof(a->list[0]));
}

static bool numeric(struct span host, uint16_t port, struct addresses *out)
{
	struct address v4, v6;
	if (host.len > 0 && host.ptr[host.len - 1] == '.')
		host.len--;
	/* RFC 6761 6.3: never a question to the DNS. IPv4 first: that is where what has no IPv6
	 * listens. */
	if (span_equal_nocase(host, SPAN_LIT("localhost"))) {
		if (address_parse(SPAN_LIT("127.0.0.1"), port, &v4) < 0 ||
			address_parse(SPAN_LIT("[::1]"), port, &v6) < 0)
			return false;
		addresses_interleave(NULL, 0, &v4, 1, out);
		out->list[out->n++] = v6;
		return true;
	}
	struct buf text = BUF_INIT(128);
	bool bare_v6 = span_index(host, ':') < host.len && host.ptr[0] != '[';
	buf_printf(&text, bare_v6 ? "[%.*s]" : "%.*s", SPAN_FMT(span_head(host, 100)));
	int r = text.error ? text.error : address_parse(buf_span(&text), port, &v4);
	buf_done(&text);
	if (r < 0)
		return false;
	addresses_interleave(NULL, 0, &v4, 1, out);
	return true;
}

/* The other family's question, answered beside the first. */
struct beside {
	struct resolve_query query;
	struct arena *arena;
	struct resolve_answer answer;
	int error;
	bool done;
	struct cond answered;
};

static void on_answer(struct resolve_query *q, const struct resolve_answer *a)
{
	struct beside *b = CONTAINER_OF(q, struct beside, query);
	b->error = resolve_answer_copy(a, b->arena, &b->answer);
	b->done = true;
	cond_signal(&b->answered);
}

SUSPENDS static int ask_both(struct resolve_client *resolver, struct span host, struct arena *a,
	struct resolve_answer *ret_v6, struct resolve_answer *ret_v4)
{
	struct beside b = {.arena = a, .query = {.name = host, .type = RESOLVE_AAAA}};
	b.query.done = on_answer;
	cond_init(&b.answered);
	int r = resolve_start(resolver, &b.query);
	if (r < 0)
		return r;
	r = resolve(resolver, host, RESOLVE_A, a, ret_v4);
	while (r >= 0 && !b.done)
		r = cond_wait(&b.answered, USEC_INFINITY); /* it has a deadline of its own */
	if (r < 0) {
		resolve_cancel(&b.query);
		return r;
	}
	*ret_v6 = b.answer;
	return b.error;
}

static unsigned read_addresses(
	const struct resolve_answer *answer, uint16_t port, struct address *list)
{
	unsigned n = 0;
	for (uint32_t i = 0; i < answer->n_rdata && n < ADDRESSES_MAX; i++) {
		if (answer->status == RESOLVE_OK &&
			resolve_address(answer->rdata[i], port, &list[n]) >= 0)
			n++;
	}
	return n;
}

int addresses_find(struct resolve_client *resolver, struct span host, uint16_t port,
	struct arena *a, struct addresses *ret)
{
	struct address v6[ADDRESSES_MAX], v4[ADDRESSES_MAX];
	struct resolve_answer six, four;
	*ret = (struct addresses){0};
	if (numeric(host, port, ret)) {
		ret->numeric = true;
		return 0;
	}
	if (!resolver) {
		ret->status = RESOLVE_UNAVAILABLE;
		return 0;
	}
	int r = ask_both(resolver, host, a, &six, &four);
	if (r < 0)
		return r;
	unsigned n6 = read_addresses(&six, port, v6), n4 = read_addresses(&four, port, v4);
	addresses_interleave(v6, n6, v4, n4, ret);
	const struct resolve_answer *say = n4 > 0 ? &four : &six;
	if (ret->n == 0)
		say = resolve_is_temporary(six.status) ? &six : &four;
	ret->status = ret->n == 0 && say->status == RESOLVE_OK ? RESOLVE_NODATA : say->status;
	ret->why = say->why;
	ret->canonical = say->canonical;
	ret->secure = ret->n > 0 && (n6 == 0 || six.secure) && (n4 == 0 || four.secure);
	return 0;
}
