/* Twin of src/route/mx.c: RFC 5321 5.1, RFC 7505 and what broken zones say. */
#include "route/mx.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define OWN "mx.own.example"

/* "10 a.example" records; NULL ends the list. */
static struct resolve_answer records(struct arena *a, const char *const *list)
{
	struct resolve_answer answer = {.status = RESOLVE_OK, .secure = true};

	answer.rdata = arena_alloc(a, 64 * sizeof(*answer.rdata));
	for (; list[answer.n_rdata]; answer.n_rdata++) {
		struct buf b = BUF_INIT(512);
		const char *text = list[answer.n_rdata], *host = strchr(text, ' ') + 1;
		unsigned preference = (unsigned)strtoul(text, NULL, 10);
		buf_char(&b, (char)(preference >> 8));
		buf_char(&b, (char)(preference & 0xff));
		if (strcmp(host, "BROKEN") == 0)
			buf_append(&b, "\3a b\0", 5);
		else
			assert_int_equal(resolve_name_to_wire(span_str(host), &b), 0);
		answer.rdata[answer.n_rdata] = arena_span(a, buf_span(&b));
		buf_done(&b);
	}
	return answer;
}

static struct hop decide(struct arena *a, const struct resolve_answer *mx,
	const struct resolve_answer *v4, const struct resolve_answer *v6, const char *domain)
{
	const struct span own[] = {SPAN_LIT(OWN), SPAN_LIT("second.own.example")};
	struct mx_facts f = {.domain = span_str(domain),
		.own = own,
		.n_own = ARRAY_LEN(own),
		.mx = mx,
		.a = v4,
		.aaaa = v6};
	struct hop h;

	assert_int_equal(mx_decide(&f, a, &h), 0);
	return h;
}

static void hosts_text(const struct hop *h, struct buf *out)
{
	for (uint32_t i = 0; i < h->n_hosts; i++) {
		if (i)
			buf_char(out, ' ');
		buf_put(out, h->hosts[i].name);
	}
	buf_char(out, '\0');
}

static void mx_decide__records(void **state)
{
	static const struct {
		const char *list[6];
		enum hop_kind want;
		const char *hosts; /* or the enhanced code */
	} rows[] = {
		{{"20 b.example", "10 a.example"}, HOP_DELIVER, "a.example b.example"},
		{{"10 b.example", "10 a.example", "5 c.example"}, HOP_DELIVER,
			"c.example a.example b.example"},
		{{"0 ."}, HOP_FAIL, "5.1.10"},
		{{"5 ."}, HOP_FAIL, "5.1.10"},
		{{"0 .", "10 a.example"}, HOP_DELIVER, "a.example"},
		{{"0 .", "0 ."}, HOP_FAIL, "5.4.4"},
		{{"10 a.example", "20 " OWN, "30 c.example"}, HOP_DELIVER, "a.example"},
		{{"10 a.example", "20 b.example", "20 MX.own.EXAMPLE"}, HOP_DELIVER, "a.example"},
		{{"10 " OWN, "20 a.example"}, HOP_FAIL, "5.4.6"},
		{{"10 " OWN, "10 a.example"}, HOP_FAIL, "5.4.6"},
		{{"10 second.own.example"}, HOP_FAIL, "5.4.6"},
		{{"10 BROKEN", "20 a.example"}, HOP_DELIVER, "a.example"},
		{{"10 BROKEN"}, HOP_FAIL, "5.4.4"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct arena *a = arena_new(1 << 20);
		struct resolve_answer mx = records(a, rows[i].list);
		struct hop h = decide(a, &mx, NULL, NULL, "example.org");
		struct buf got = BUF_INIT(4096);
		if (h.kind == HOP_DELIVER)
			hosts_text(&h, &got);
		else
			buf_printf(&got, "%.*s", SPAN_FMT(h.enhanced)), buf_char(&got, '\0');
		if (h.kind != rows[i].want || strcmp(got.ptr, rows[i].hosts) != 0)
			fail_msg("row %zu: want %d '%s', got %d '%s' (%.*s)", i, rows[i].want,
				rows[i].hosts, h.kind, got.ptr, SPAN_FMT(h.text));
		if (h.kind == HOP_DELIVER && (!h.mx_secure || h.port != 25 || h.via != JOB_SMTP))
			fail_msg("row %zu: not a secure SMTP hop", i);
		buf_done(&got);
		arena_free(a);
	}
}

static void mx_decide__absence_and_trouble(void **state)
{
	static const struct {
		enum resolve_status mx, a, aaaa;
		enum hop_kind want;
		const char *enhanced;
	} rows[] = {
		{RESOLVE_NXDOMAIN, 0, 0, HOP_FAIL, "5.1.2"},
		{RESOLVE_BAD_NAME, 0, 0, HOP_FAIL, "5.1.2"},
		{RESOLVE_SERVFAIL, 0, 0, HOP_TEMPORARY, "4.4.3"},
		{RESOLVE_BOGUS, 0, 0, HOP_TEMPORARY, "4.4.3"},
		{RESOLVE_TIMEOUT, 0, 0, HOP_TEMPORARY, "4.4.3"},
		{RESOLVE_UNAVAILABLE, 0, 0, HOP_TEMPORARY, "4.4.3"},
		{RESOLVE_NODATA, RESOLVE_OK, RESOLVE_NODATA, HOP_DELIVER, ""},
		{RESOLVE_NODATA, RESOLVE_NODATA, RESOLVE_OK, HOP_DELIVER, ""},
		{RESOLVE_NODATA, RESOLVE_OK, RESOLVE_TIMEOUT, HOP_DELIVER, ""},
		{RESOLVE_NODATA, RESOLVE_NODATA, RESOLVE_NODATA, HOP_FAIL, "5.4.4"},
		{RESOLVE_NODATA, RESOLVE_NODATA, RESOLVE_SERVFAIL, HOP_TEMPORARY, "4.4.3"},
		{RESOLVE_NODATA, RESOLVE_BOGUS, RESOLVE_NODATA, HOP_TEMPORARY, "4.4.3"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct arena *a = arena_new(1 << 20);
		struct resolve_answer mx = {.status = rows[i].mx, .why = SPAN_LIT("\nbad")};
		struct resolve_answer v4 = {.status = rows[i].a}, v6 = {.status = rows[i].aaaa};
		struct hop h = decide(a, &mx, &v4, &v6, "example.org");
		if (h.kind != rows[i].want || !span_equal(h.enhanced, span_str(rows[i].enhanced)))
			fail_msg("row %zu: want %d %s, got %d %.*s", i, rows[i].want,
				rows[i].enhanced, h.kind, SPAN_FMT(h.enhanced));
		if (memchr(h.text.ptr ? h.text.ptr : "", '\n', h.text.len))
			fail_msg("row %zu: a raw line feed in '%.*s'", i, SPAN_FMT(h.text));
		arena_free(a);
	}
}

static void mx_decide__implicit(void **state)
{
	struct arena *a = arena_new(1 << 20);
	struct resolve_answer mx = {.status = RESOLVE_NODATA, .secure = true},
			      ok = {.status = RESOLVE_OK};
	(void)state;

	struct hop h = decide(a, &mx, &ok, &ok, "example.org");
	assert_int_equal(h.n_hosts, 1);
	assert_true(span_equal(h.hosts[0].name, SPAN_LIT("example.org")));
	assert_true(h.mx_secure);
	h = decide(a, &mx, &ok, &ok, OWN);
	assert_int_equal(h.kind, HOP_FAIL);
	assert_true(span_equal(h.enhanced, SPAN_LIT("5.4.6")));
	arena_free(a);
}

static void mx_decide__sites_by_set(void **state)
{
	struct arena *a = arena_new(1 << 20);
	struct resolve_answer one =
		records(a, (const char *const[]){"10 a.example", "20 b.example", NULL});
	struct resolve_answer same = records(
		a, (const char *const[]){"7 b.example", "5 A.example", "9 a.example", NULL});
	struct resolve_answer other = records(a, (const char *const[]){"10 a.example", NULL});
	(void)state;

	struct hop h = decide(a, &one, NULL, NULL, "x.example");
	assert_true(span_equal(h.site, SPAN_LIT("mx:a.example,b.example")));
	assert_true(span_equal(decide(a, &same, NULL, NULL, "y.example").site, h.site));
	assert_false(span_equal(decide(a, &other, NULL, NULL, "x.example").site, h.site));
	struct mx_facts f = {.domain = SPAN_LIT("x.example"), .route = SPAN_LIT("*"), .mx = &one};
	assert_int_equal(mx_decide(&f, a, &h), 0);
	assert_true(span_equal(h.site, SPAN_LIT("mx:a.example,b.example/*")));
	arena_free(a);
}

static void mx_decide__too_many(void **state)
{
	struct arena *a = arena_new(1 << 20);
	static char text[60][64];
	const char *list[61] = {NULL};
	(void)state;

	for (unsigned i = 0; i < 60; i++) {
		(void)snprintf(
			text[i], sizeof(text[i]), "%u a-rather-long-host-name-%u.example", i, i);
		list[i] = text[i];
	}
	struct resolve_answer mx = records(a, list);
	struct hop h = decide(a, &mx, NULL, NULL, "x.example");
	assert_int_equal(h.n_hosts, MX_HOSTS_MAX);
	assert_int_equal(h.hosts[MX_HOSTS_MAX - 1].preference, MX_HOSTS_MAX - 1);
	assert_true(h.site.len < MX_SITE_MAX + 32);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mx_decide__records),
		cmocka_unit_test(mx_decide__absence_and_trouble),
		cmocka_unit_test(mx_decide__implicit),
		cmocka_unit_test(mx_decide__sites_by_set),
		cmocka_unit_test(mx_decide__too_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
