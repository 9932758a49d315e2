/* Counting, its bounds, its octets, and the report that comes of it (RFC 8460 4.4). */
#include "tlsrpt/rpt.h"
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>
#include <cmocka.h>

#define DAY 1795219200u /* 2026-11-21T00:00:00Z */

static struct counts *fresh(void)
{
	struct counts *t;
	assert_int_equal(counts_new(DAY, DAY + 86400, &t), 0);
	return t;
}

/* As it comes from a deliverer. */
static int add(struct counts *t, const struct tls_result *given)
{
	struct buf b = BUF_INIT(1 << 20);
	struct arena *a = arena_new(1 << 20);
	struct tls_result result;
	tls_result_encode(given, &b);
	assert_int_equal(b.error, 0);
	assert_int_equal(tls_result_decode(buf_span(&b), a, &result), 0);
	int r = counts_add(t, &result);
	arena_free(a);
	buf_done(&b);
	return r;
}

static struct tls_result failure(const char *domain, enum tls_failure what, const char *remote)
{
	static struct span record = SPAN_LIT("3 1 1 AB");
	return (struct tls_result){
		.domain = span_str(domain),
		.policy = TLS_RESULT_TLSA,
		.policy_domain = SPAN_LIT("mx.example.org"),
		.strings = &record,
		.n_strings = 1,
		.failure = what,
		.mx = SPAN_LIT("mx.example.org"),
		.remote = span_str(remote),
	};
}

static void counts_add__merges_what_is_equal(void **state)
{
	struct counts *t = fresh();
	struct tls_result one = failure("a.example", TLS_EXPIRED, "192.0.2.1");
	struct tls_result two = failure("a.example", TLS_EXPIRED, "192.0.2.2");
	struct tls_result fine = failure("a.example", TLS_OK, "");
	uint64_t ok, failed;
	(void)state;
	for (int i = 0; i < 5; i++)
		assert_int_equal(add(t, &one), 0);
	assert_int_equal(add(t, &two), 0);
	assert_int_equal(add(t, &fine), 0);
	struct counts_domain *d = counts_find(t, SPAN_LIT("a.example"));
	assert_non_null(d);
	counts_sum(d, &ok, &failed);
	assert_int_equal(ok, 1);
	assert_int_equal(failed, 6);
	assert_int_equal(d->n_policies, 1);
	assert_int_equal(CONTAINER_OF(d->policies.next, struct counts_policy, node)->n_details, 2);
	counts_free(t);
}

/* More kinds than there is room for: the sums stay right, the details lose their addresses. */
static void counts_add__stays_within_its_bounds(void **state)
{
	struct counts *t = fresh();
	char text[64];
	uint64_t ok, failed;
	(void)state;
	for (unsigned i = 0; i < 3 * COUNTS_DETAILS_MAX; i++) {
		(void)snprintf(text, sizeof(text), "192.0.2.%u", i);
		struct tls_result f = failure("a.example", i & 1 ? TLS_EXPIRED : TLS_OTHER, text);
		assert_int_equal(add(t, &f), 0);
	}
	struct counts_domain *d = counts_find(t, SPAN_LIT("a.example"));
	counts_sum(d, &ok, &failed);
	assert_int_equal(failed, 3 * COUNTS_DETAILS_MAX);
	struct counts_policy *p = CONTAINER_OF(d->policies.next, struct counts_policy, node);
	assert_int_equal(p->n_details, COUNTS_DETAILS_MAX + 2);
	/* Policies beyond theirs are lost, and counted as that. */
	for (unsigned i = 0; i < COUNTS_POLICIES_MAX + 3; i++) {
		(void)snprintf(text, sizeof(text), "mx%u.example", i);
		struct tls_result f = failure("a.example", TLS_OK, "");
		f.policy_domain = span_str(text);
		int r = add(t, &f);
		if (r != (i < COUNTS_POLICIES_MAX - 1 ? 0 : -ENOSPC))
			fail_msg("policy %u: got %d", i, r);
	}
	assert_int_equal(t->lost, 4);
	counts_free(t);
}

static void counts_remove__gives_all_back(void **state)
{
	struct counts *t = fresh();
	struct tls_result f = failure("a.example", TLS_EXPIRED, "192.0.2.1");
	(void)state;
	assert_int_equal(add(t, &f), 0);
	assert_true(t->octets > 0);
	counts_remove(t, counts_find(t, SPAN_LIT("a.example")));
	assert_int_equal(t->octets, 0);
	assert_int_equal(t->n, 0);
	counts_free(t);
}

static void encoded(struct buf *out)
{
	struct counts *t = fresh();
	struct tls_result list[] = {failure("a.example", TLS_EXPIRED, "192.0.2.1"),
		failure("a.example", TLS_OK, ""), failure("b.example", TLS_OTHER, "192.0.2.9")};
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		assert_int_equal(add(t, &list[i]), 0);
	counts_encode(t, out);
	assert_int_equal(out->error, 0);
	counts_free(t);
}

static void counts_decode__is_the_same_again(void **state)
{
	struct buf b = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
	struct counts *t;
	(void)state;
	encoded(&b);
	assert_int_equal(counts_decode(buf_span(&b), &t), 0);
	assert_int_equal(t->begin_sec, DAY);
	assert_int_equal(t->n, 2);
	assert_false(t->dirty);
	counts_encode(t, &again);
	assert_true(span_equal(buf_span(&b), buf_span(&again)));
	counts_free(t);
	buf_done(&b);
	buf_done(&again);
}

/* Every truncation, every flipped octet: refused, and nothing read beyond. */
static void counts_decode__refuses_damage(void **state)
{
	struct buf b = BUF_INIT(1 << 20);
	struct counts *t = NULL;
	(void)state;
	encoded(&b);
	for (size_t n = 0; n < b.len; n++) {
		char *cut = malloc(n + 1); /* for the sanitizer: exactly so long */
		assert_non_null(cut);
		memcpy(cut, b.ptr, n);
		if (counts_decode(span_make(cut, n), &t) != -EBADMSG)
			fail_msg("cut at %zu: taken", n);
		free(cut);
		b.ptr[n] = (char)(b.ptr[n] ^ 0x20);
		if (counts_decode(buf_span(&b), &t) != -EBADMSG)
			fail_msg("flipped at %zu: taken", n);
		b.ptr[n] = (char)(b.ptr[n] ^ 0x20);
	}
	buf_done(&b);
}

static void tls_result_decode__refuses_damage(void **state)
{
	struct tls_result f = failure("a.example", TLS_EXPIRED, "192.0.2.1"), got;
	struct buf b = BUF_INIT(4096);
	struct arena *a = arena_new(1 << 20);
	(void)state;
	f.reason = SPAN_LIT("not\nprintable\xff");
	tls_result_encode(&f, &b);
	assert_int_equal(tls_result_decode(buf_span(&b), a, &got), 0);
	assert_true(span_equal(got.reason, SPAN_LIT("not?printable?")));
	for (size_t n = 0; n < b.len; n++)
		if (tls_result_decode(span_head(buf_span(&b), n), a, &got) != -EBADMSG)
			fail_msg("cut at %zu: taken", n);
	arena_free(a);
	buf_done(&b);
}

static void inflated(struct span gz, char *out, size_t room)
{
	z_stream z = {.next_in = (z_const Bytef *)(uintptr_t)gz.ptr,
		.avail_in = (uInt)gz.len,
		.next_out = (Bytef *)out,
		.avail_out = (uInt)room - 1};
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	out[z.total_out] = '\0';
	assert_int_equal(inflateEnd(&z), Z_OK);
}

/* The whole text, so that nothing slips in; the interop test reads it field by field. */
static void rpt_write__is_the_schema(void **state)
{
	static const char want[] =
		"{\"organization-name\":\"Example\",\"date-range\":{\"start-datetime\":"
		"\"2026-11-21T00:00:00Z\",\"end-datetime\":\"2026-11-21T23:59:59Z\"},"
		"\"contact-info\":\"p@mx.example\",\"report-id\":"
		"\"2026-11-21T00:00:00Z.a.example@mx.example\",\"policies\":[{\"policy\":{"
		"\"policy-type\":\"tlsa\",\"policy-string\":[\"3 1 1 AB\"],"
		"\"policy-domain\":\"mx.example.org\"},\"summary\":{"
		"\"total-successful-session-count\":0,\"total-failure-session-count\":1},"
		"\"failure-details\":[{\"result-type\":\"certificate-expired\","
		"\"receiving-mx-hostname\":\"mx.example.org\",\"receiving-ip\":\"192.0.2.1\","
		"\"failed-session-count\":1,\"failure-reason-code\":\"a \\\"reason\\\"\"}]}]}";
	const struct rpt_head head = {.organization = "Example",
		.contact = "p@mx.example",
		.hostname = "mx.example",
		.begin_sec = DAY,
		.end_sec = DAY + 86400};
	struct counts *t = fresh();
	struct tls_result f = failure("a.example", TLS_EXPIRED, "192.0.2.1");
	struct buf text = BUF_INIT(REPORT_OCTETS_MAX), gz = BUF_INIT(1 << 20);
	char back[2048];
	(void)state;
	f.reason = SPAN_LIT("a \"reason\"");
	assert_int_equal(add(t, &f), 0);
	assert_int_equal(rpt_write(&head, counts_find(t, SPAN_LIT("a.example")), &text), 0);
	if (!span_equal(buf_span(&text), SPAN_LIT(want)))
		fail_msg("want %s\ngot  %.*s", want, SPAN_FMT(buf_span(&text)));
	assert_int_equal(rpt_compress(buf_span(&text), &gz), 0);
	inflated(buf_span(&gz), back, sizeof(back));
	assert_string_equal(back, want);
	buf_done(&text);
	buf_done(&gz);
	counts_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_add__merges_what_is_equal),
		cmocka_unit_test(counts_add__stays_within_its_bounds),
		cmocka_unit_test(counts_remove__gives_all_back),
		cmocka_unit_test(counts_decode__is_the_same_again),
		cmocka_unit_test(counts_decode__refuses_damage),
		cmocka_unit_test(tls_result_decode__refuses_damage),
		cmocka_unit_test(rpt_write__is_the_schema),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
