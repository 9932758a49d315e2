/* RFC 8460 4.4. Keys whose value we do not know are left out; the schema has none that must be
 * there with an unknown value. The period's end is told as its last second, as in the RFC's own
 * example (appendix B). jansson escapes; what came from strangers is printable ASCII here. */
#include "tlsrpt/rpt.h"

#include "mail/date.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define GZIP_WINDOW (15 + 16) /* zlib: the largest window, with gzip's head and tail */

static void put_time(uint64_t sec, struct buf *out)
{
	struct buf iso = BUF_INIT(64);
	date_format_iso(sec * USEC_PER_SEC, &iso);
	/* RFC 3339, whole seconds. */
	struct span s = buf_span(&iso);
	buf_put(out, span_head(s, span_index(s, '.')));
	buf_char(out, 'Z');
	buf_done(&iso);
}

void rpt_id(const struct rpt_head *h, struct span domain, struct buf *out)
{
	put_time(h->begin_sec, out);
	buf_printf(out, ".%.*s@%s", SPAN_FMT(domain), h->hostname);
}

static int set(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) < 0 ? -ENOMEM : 0;
}

static json_t *text(struct span s)
{
	return json_stringn(s.ptr ? s.ptr : "", s.len);
}

static json_t *built(const struct buf *b)
{
	return b->error ? NULL : text(buf_span(b));
}

static int set_time(json_t *object, const char *key, uint64_t sec)
{
	struct buf b = BUF_INIT(64);
	put_time(sec, &b);
	int r = set(object, key, built(&b));
	buf_done(&b);
	return r;
}

static int set_known(json_t *object, const char *key, struct span s)
{
	return s.len > 0 ? set(object, key, text(s)) : 0;
}

static int set_list(json_t *object, const char *key, const struct span *list, uint32_t n)
{
	json_t *array = json_array();
	int r = array ? 0 : -ENOMEM;
	for (uint32_t i = 0; i < n && r == 0; i++)
		r = json_array_append_new(array, text(list[i])) < 0 ? -ENOMEM : 0;
	if (r < 0) {
		json_decref(array);
		return r;
	}
	return set(object, key, array);
}

static int add_detail(json_t *array, const struct tls_result *t, uint64_t count)
{
	json_t *o = json_object();
	int r = o ? set(o, "result-type", json_string(tls_failure_name(t->failure))) : -ENOMEM;
	if (r == 0)
		r = set_known(o, "sending-mta-ip", t->local);
	if (r == 0)
		r = set_known(o, "receiving-mx-hostname", t->mx);
	if (r == 0)
		r = set_known(o, "receiving-ip", t->remote);
	if (r == 0)
		r = set(o, "failed-session-count", json_integer((json_int_t)count));
	if (r == 0)
		r = set_known(o, "failure-reason-code", t->reason);
	if (r < 0) {
		json_decref(o);
		return r;
	}
	return json_array_append_new(array, o) < 0 ? -ENOMEM : 0;
}

static int write_details(
	json_t *row, const struct counts_domain *d, const struct counts_policy *p, struct arena *a)
{
	json_t *array = json_array();
	int r = set(row, "failure-details", array);
	list_foreach (it, &p->details) {
		const struct counts_detail *detail = CONTAINER_OF(it, struct counts_detail, node);
		struct tls_result t;
		arena_reset(a);
		if (r == 0)
			r = counts_read(d, p, detail, a, &t);
		if (r == 0)
			r = add_detail(array, &t, detail->count);
	}
	return r;
}

static int write_summary(json_t *row, const struct counts_policy *p)
{
	json_t *o = json_object();
	int r = set(row, "summary", o);
	if (r == 0)
		r = set(o, "total-successful-session-count", json_integer((json_int_t)p->ok));
	if (r == 0)
		r = set(o, "total-failure-session-count", json_integer((json_int_t)p->failed));
	return r;
}

static int write_policy(json_t *row, const struct tls_result *t)
{
	json_t *o = json_object();
	int r = set(row, "policy", o);
	if (r == 0)
		r = set(o, "policy-type", json_string(tls_result_policy_name(t->policy)));
	if (r == 0 && t->n_strings > 0)
		r = set_list(o, "policy-string", t->strings, t->n_strings);
	if (r == 0)
		r = set(o, "policy-domain", text(t->policy_domain));
	if (r == 0 && t->n_mx_hosts > 0)
		r = set_list(o, "mx-host", t->mx_hosts, t->n_mx_hosts);
	return r;
}

static int write_policies(json_t *root, const struct counts_domain *d, struct arena *a)
{
	json_t *array = json_array();
	int r = set(root, "policies", array);
	list_foreach (it, &d->policies) {
		const struct counts_policy *p = CONTAINER_OF(it, struct counts_policy, node);
		struct tls_result t;
		json_t *row = r == 0 ? json_object() : NULL;
		arena_reset(a);
		if (r == 0)
			r = row && json_array_append_new(array, row) == 0 ? 0 : -ENOMEM;
		if (r == 0)
			r = counts_read(d, p, NULL, a, &t);
		if (r == 0)
			r = write_policy(row, &t);
		if (r == 0)
			r = write_summary(row, p);
		if (r == 0 && p->n_details > 0)
			r = write_details(row, d, p, a);
	}
	return r;
}

static int write_head(json_t *root, const struct rpt_head *h, struct span domain)
{
	json_t *range = json_object();
	struct buf id = BUF_INIT(1024);
	rpt_id(h, domain, &id);
	int r = set(root, "organization-name", json_string(h->organization));
	if (r < 0) {
		json_decref(range);
	} else {
		r = set(root, "date-range", range);
		if (r == 0)
			r = set_time(range, "start-datetime", h->begin_sec);
		if (r == 0)
			r = set_time(range, "end-datetime", h->end_sec - 1);
	}
	if (r == 0)
		r = set(root, "contact-info", json_string(h->contact));
	if (r == 0)
		r = set(root, "report-id", built(&id));
	buf_done(&id);
	return r;
}

int rpt_write(const struct rpt_head *h, const struct counts_domain *d, struct buf *out)
{
	json_t *root = json_object();
	struct arena *a = arena_new(1 << 20);
	int r = root && a ? write_head(root, h, d->name) : -ENOMEM;
	if (r == 0)
		r = write_policies(root, d, a);
	char *dumped = r == 0 ? json_dumps(root, JSON_COMPACT) : NULL;
	if (r == 0 && !dumped)
		r = -ENOMEM;
	if (r == 0) {
		buf_str(out, dumped);
		r = out->error;
	}
	free(dumped);
	arena_free(a);
	json_decref(root);
	return r;
}

int rpt_compress(struct span s, struct buf *out)
{
	z_stream z = {.next_in = (z_const Bytef *)(uintptr_t)s.ptr, .avail_in = (uInt)s.len};
	if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) !=
		Z_OK)
		return -ENOMEM;
	size_t bound = deflateBound(&z, (uLong)s.len);
	char *room = buf_reserve(out, bound);
	int r = room ? 0 : out->error;
	if (r == 0) {
		z.next_out = (Bytef *)room;
		z.avail_out = (uInt)bound;
		r = deflate(&z, Z_FINISH) == Z_STREAM_END ? 0 : -ENOMEM;
	}
	if (r == 0)
		out->len += z.total_out;
	(void)deflateEnd(&z);
	return r;
}
