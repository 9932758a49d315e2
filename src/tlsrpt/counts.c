/* A policy is the octets that described it, a failure likewise: equal octets are merged, so that
 * the size of a day is that of its different events, not of its mail. Octets come from tls_result's
 * decoder, which has checked them; the file is checked by the same decoder when it is read. */
#include "tlsrpt/counts.h"

#include "base/crc32c.h"
#include "base/map.h"
#include <stdlib.h>

#define FILE_MARK "postrider-tlsrpt 1\n"

int counts_new(uint64_t begin_sec, uint64_t end_sec, struct counts **ret_counts)
{
	struct counts *t = calloc(1, sizeof(*t));
	if (!t || !(t->by_name = map_new(0))) {
		free(t);
		return -ENOMEM;
	}
	t->begin_sec = begin_sec;
	t->end_sec = end_sec;
	list_init(&t->domains);
	*ret_counts = t;
	return 0;
}

static size_t cost(size_t node, struct span octets)
{
	return node + octets.len;
}

/* A node with its octets behind it; NULL: no room or no memory, by *ret_error. */
static void *node_new(struct counts *t, size_t size, struct span octets, int *ret_error)
{
	*ret_error = -ENOSPC;
	if (t->octets + cost(size, octets) > COUNTS_OCTETS_MAX)
		return NULL;
	char *node = calloc(1, size + octets.len + 1);
	*ret_error = -ENOMEM;
	if (!node)
		return NULL;
	if (octets.len > 0)
		memcpy(node + size, octets.ptr, octets.len);
	t->octets += cost(size, octets);
	*ret_error = 0;
	return node;
}

static void policy_free(struct counts *t, struct counts_policy *p)
{
	list_foreach_safe (it, tmp, &p->details) {
		struct counts_detail *d = CONTAINER_OF(it, struct counts_detail, node);
		t->octets -= cost(sizeof(*d), d->about);
		free(d);
	}
	t->octets -= cost(sizeof(*p), p->about);
	free(p);
}

void counts_remove(struct counts *t, struct counts_domain *d)
{
	(void)map_remove(t->by_name, d->name);
	list_remove(&d->node);
	list_foreach_safe (it, tmp, &d->policies)
		policy_free(t, CONTAINER_OF(it, struct counts_policy, node));
	t->octets -= cost(sizeof(*d), d->name);
	t->n--;
	t->dirty = true;
	free(d);
}

void counts_free(struct counts *t)
{
	if (!t)
		return;
	list_foreach_safe (it, tmp, &t->domains)
		counts_remove(t, CONTAINER_OF(it, struct counts_domain, node));
	map_free(t->by_name);
	free(t);
}

struct counts_domain *counts_find(const struct counts *t, struct span domain)
{
	return map_get(t->by_name, domain);
}

static struct counts_domain *add_domain(struct counts *t, struct span name, int *ret_error)
{
	struct counts_domain *d = counts_find(t, name);
	*ret_error = d ? 0 : -ENOSPC;
	if (d || t->n >= COUNTS_DOMAINS_MAX)
		return d;
	d = node_new(t, sizeof(*d), name, ret_error);
	if (!d)
		return NULL;
	d->name = span_make(d + 1, name.len);
	list_init(&d->policies);
	if (map_put(t->by_name, d->name, d) < 0) {
		t->octets -= cost(sizeof(*d), name);
		free(d);
		*ret_error = -ENOMEM;
		return NULL;
	}
	list_push_back(&t->domains, &d->node);
	t->n++;
	return d;
}

static struct counts_policy *add_policy(
	struct counts *t, struct counts_domain *d, struct span about, int *ret_error)
{
	list_foreach (it, &d->policies) {
		struct counts_policy *p = CONTAINER_OF(it, struct counts_policy, node);
		if (span_equal(p->about, about)) {
			*ret_error = 0;
			return p;
		}
	}
	*ret_error = -ENOSPC;
	struct counts_policy *p = d->n_policies < COUNTS_POLICIES_MAX
					  ? node_new(t, sizeof(*p), about, ret_error)
					  : NULL;
	if (!p)
		return NULL;
	p->about = span_make(p + 1, about.len);
	list_init(&p->details);
	list_push_back(&d->policies, &p->node);
	d->n_policies++;
	return p;
}

static struct counts_detail *find_detail(struct counts_policy *p, struct span about)
{
	list_foreach (it, &p->details) {
		struct counts_detail *d = CONTAINER_OF(it, struct counts_detail, node);
		if (span_equal(d->about, about))
			return d;
	}
	return NULL;
}

static int add_detail(struct counts *t, struct counts_policy *p, struct span about, uint64_t count)
{
	struct counts_detail *d = find_detail(p, about);
	int r = 0;
	if (!d) {
		d = node_new(t, sizeof(*d), about, &r);
		if (!d)
			return r;
		d->about = span_make(d + 1, about.len);
		list_push_back(&p->details, &d->node);
		p->n_details++;
	}
	d->count += count;
	return 0;
}

/* Beyond the bound a failure keeps its kind only: there are few. */
static int add_failure(struct counts *t, struct counts_policy *p, const struct tls_result *result)
{
	if (p->n_details < COUNTS_DETAILS_MAX || find_detail(p, result->about_session))
		return add_detail(t, p, result->about_session, 1);
	struct tls_result kind = {.domain = SPAN_LIT("x"), .failure = result->failure};
	struct tls_result again;
	struct buf b = BUF_INIT(256);
	struct arena *a = arena_new(4096);
	tls_result_encode(&kind, &b);
	int r = !a || b.error ? -ENOMEM : tls_result_decode(buf_span(&b), a, &again);
	if (r == 0)
		r = add_detail(t, p, again.about_session, 1);
	buf_done(&b);
	arena_free(a);
	return r;
}

int counts_add(struct counts *t, const struct tls_result *result)
{
	int r = 0;
	struct counts_domain *d = add_domain(t, result->domain, &r);
	struct counts_policy *p = d ? add_policy(t, d, result->about_policy, &r) : NULL;
	t->dirty = true;
	if (!p) {
		t->lost++;
		return r;
	}
	if (result->failure == TLS_OK) {
		p->ok++;
		return 0;
	}
	p->failed++;
	return add_failure(t, p, result);
}

void counts_sum(const struct counts_domain *d, uint64_t *ret_ok, uint64_t *ret_failed)
{
	uint64_t ok = 0, failed = 0;
	list_foreach (it, &d->policies) {
		const struct counts_policy *p = CONTAINER_OF(it, struct counts_policy, node);
		ok += p->ok;
		failed += p->failed;
	}
	*ret_ok = ok;
	*ret_failed = failed;
}

/* ---- octets ---- */

static void encode_policy(const struct counts_policy *p, struct buf *out)
{
	wire_put_span(out, p->about);
	wire_put_u64(out, p->ok);
	wire_put_u64(out, p->failed);
	wire_put_u32(out, p->n_details);
	list_foreach (it, &p->details) {
		const struct counts_detail *d = CONTAINER_OF(it, struct counts_detail, node);
		wire_put_span(out, d->about);
		wire_put_u64(out, d->count);
	}
}

void counts_encode(const struct counts *t, struct buf *out)
{
	buf_str(out, FILE_MARK);
	wire_put_u64(out, t->begin_sec);
	wire_put_u64(out, t->end_sec);
	wire_put_u32(out, t->n);
	list_foreach (it, &t->domains) {
		const struct counts_domain *d = CONTAINER_OF(it, struct counts_domain, node);
		wire_put_span(out, d->name);
		wire_put_u32(out, d->n_policies);
		list_foreach (ip, &d->policies)
			encode_policy(CONTAINER_OF(ip, struct counts_policy, node), out);
	}
	if (!out->error)
		wire_put_u32(out, crc32c(0, out->ptr, out->len));
}

int counts_read(const struct counts_domain *d, const struct counts_policy *p,
	const struct counts_detail *detail, struct arena *a, struct tls_result *ret)
{
	static const char no_failure[1 + 4 * sizeof(uint32_t)] = {TLS_OK}; /* and empty texts */
	struct buf b = BUF_INIT(1 << 20);
	wire_put_span(&b, d->name);
	buf_put(&b, p->about);
	buf_put(&b, detail ? detail->about : span_make(no_failure, sizeof(no_failure)));
	struct span whole = b.error ? SPAN_NULL : arena_span(a, buf_span(&b));
	buf_done(&b);
	return whole.ptr ? tls_result_decode(whole, a, ret) : -ENOMEM;
}

/* Does the decoder take it? Strangers' octets lie in the file. */
static int check(const struct counts_domain *d, const struct counts_policy *p,
	const struct counts_detail *detail, struct arena *a)
{
	struct tls_result result;
	arena_reset(a);
	return counts_read(d, p, detail, a, &result);
}

static int decode_policy(struct counts *t, struct counts_domain *d, struct wire *w, struct arena *a)
{
	int r = 0;
	struct counts_policy *p = add_policy(t, d, wire_get_span(w), &r);
	if (!p)
		return r;
	p->ok = wire_get_u64(w);
	p->failed = wire_get_u64(w);
	uint32_t n = wire_get_u32(w);
	r = w->error ? w->error : check(d, p, NULL, a);
	for (uint32_t i = 0; i < n && r == 0; i++) {
		struct span about = wire_get_span(w);
		uint64_t count = wire_get_u64(w);
		struct counts_detail one = {.about = about};
		r = w->error ? w->error : check(d, p, &one, a);
		if (r == 0)
			r = add_detail(t, p, about, count);
	}
	return r;
}

static int decode_all(struct counts *t, struct wire *w, struct arena *a)
{
	uint32_t n = wire_get_u32(w);
	int r = 0;
	for (uint32_t i = 0; i < n && r == 0; i++) {
		struct span name = wire_get_span(w);
		uint32_t n_policies = wire_get_u32(w);
		struct counts_domain *d = w->error ? NULL : add_domain(t, name, &r);
		if (!d)
			return w->error ? w->error : r;
		for (uint32_t j = 0; j < n_policies && r == 0; j++)
			r = decode_policy(t, d, w, a);
	}
	return r == 0 && w->rest.len > 0 ? -EBADMSG : r;
}

int counts_decode(struct span octets, struct counts **ret_counts)
{
	static const struct span mark = SPAN_LIT(FILE_MARK);
	if (octets.len < mark.len + sizeof(uint32_t) ||
		!span_equal(span_head(octets, mark.len), mark))
		return -EBADMSG;
	struct span whole = span_head(octets, octets.len - sizeof(uint32_t));
	struct wire crc = wire_reader(span_from(octets, whole.len));
	if (wire_get_u32(&crc) != crc32c(0, whole.ptr, whole.len))
		return -EBADMSG;
	struct wire w = wire_reader(span_from(whole, mark.len));
	uint64_t begin = wire_get_u64(&w), end = wire_get_u64(&w);
	struct counts *t = NULL;
	struct arena *a = arena_new(1 << 20);
	int r = a ? counts_new(begin, end, &t) : -ENOMEM;
	if (r == 0)
		r = decode_all(t, &w, a);
	arena_free(a);
	if (r < 0) {
		counts_free(t);
		return r == -ENOMEM ? r : -EBADMSG;
	}
	t->dirty = false;
	*ret_counts = t;
	return 0;
}
