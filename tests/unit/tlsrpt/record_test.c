/* RFC 8460 3: records and URIs, good and bad. */
#include "tlsrpt/record.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#define V "v=TLSRPTv1;"

static void tlsrpt_record_choose__table(void **state)
{
	static const struct {
		const char *txts[3];
		int want;
		const char *uris[3]; /* in order */
	} table[] = {
		{{V "rua=mailto:reports@example.com"}, 0, {"mailto:reports@example.com"}},
		{{"v=TLSRPTv1; rua=https://r.example/v1 ;"}, 0, {"https://r.example/v1"}},
		{{"v=TLSRPTv1 ; rua=https://r.example"}, 0, {"https://r.example"}},
		{{V "rua=mailto:a@b.example , https://r.example:8443/x?y"}, 0,
			{"mailto:a@b.example", "https://r.example:8443/x?y"}},
		{{V "ext=1; rua=HTTPS://R.example/;last-2=x:y"}, 0, {"HTTPS://R.example/"}},
		{{"other", V "rua=mailto:a@b.example"}, 0, {"mailto:a@b.example"}},
		{{V "rua=mailto:a@b.example", V "rua=mailto:a@b.example"}, -ENOENT, {NULL}},
		{{"v=spf1 -all"}, -ENOENT, {NULL}},
		{{"v=tlsrptv1;rua=mailto:a@b.example"}, -ENOENT, {NULL}},
		{{"v=TLSRPTv12;rua=mailto:a@b.example"}, -ENOENT, {NULL}},
		{{"v=TLSRPTv1"}, -ENOENT, {NULL}},
		{{NULL}, -ENOENT, {NULL}},
		/* No rua, two, nothing in between, words that are no fields. */
		{{V}, -EINVAL, {NULL}},
		{{V "ext=1"}, -EINVAL, {NULL}},
		{{V "rua=mailto:a@b.example;rua=mailto:c@b.example"}, -EINVAL, {NULL}},
		{{V ";rua=mailto:a@b.example"}, -EINVAL, {NULL}},
		{{V "rua=mailto:a@b.example;;"}, -EINVAL, {NULL}},
		{{V "word;rua=mailto:a@b.example"}, -EINVAL, {NULL}},
		{{V "-x=1;rua=mailto:a@b.example"}, -EINVAL, {NULL}},
		{{V "x==1;rua=mailto:a@b.example"}, -EINVAL, {NULL}},
		{{V "RUA=mailto:a@b.example"}, -EINVAL, {NULL}},
		/* URIs that are passed over. */
		{{V "rua="}, 0, {NULL}},
		{{V "rua=ftp://r.example/,http://r.example/,mailto:,https://"}, 0, {NULL}},
		{{V "rua=https://user@r.example/,https://[::1]/,https://r.example:0/"}, 0, {NULL}},
		{{V "rua=https://r.example:65536/,https://r.example:x/"}, 0, {NULL}},
		{{V "rua=https://a b.example/,mailto:x@y.example"}, 0, {"mailto:x@y.example"}},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct span txts[3];
		struct tlsrpt_record got = {.n = 0};
		unsigned n = 0, n_want = 0;
		for (; n < 3 && table[i].txts[n]; n++)
			txts[n] = span_str(table[i].txts[n]);
		while (n_want < 3 && table[i].uris[n_want])
			n_want++;
		int r = tlsrpt_record_choose(txts, n, &got);
		if (r != table[i].want || got.n != n_want)
			fail_msg("%zu %s: want %d with %u, got %d with %u", i, table[i].txts[0],
				table[i].want, n_want, r, got.n);
		for (unsigned j = 0; j < n_want; j++)
			if (!span_equal(got.uris[j].text, span_str(table[i].uris[j])))
				fail_msg("%zu: want %s, got %.*s", i, table[i].uris[j],
					SPAN_FMT(got.uris[j].text));
	}
}

static void tlsrpt_uri_parse__takes_hosts_apart(void **state)
{
	static const struct {
		const char *uri, *host;
		uint16_t port;
	} table[] = {
		{"https://r.example/v1", "r.example", 443},
		{"https://r.example", "r.example", 443},
		{"https://r.example?q", "r.example", 443},
		{"https://r.example:8443#f", "r.example", 8443},
		{"https://192.0.2.1/", "192.0.2.1", 443},
		{"mailto:a@b.example", "", 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct tlsrpt_uri u;
		assert_int_equal(tlsrpt_uri_parse(span_str(table[i].uri), &u), 0);
		if (!span_equal(u.host, span_str(table[i].host)) || u.port != table[i].port ||
			u.mail != (table[i].port == 0))
			fail_msg("%s: want %s %u, got %.*s %u", table[i].uri, table[i].host,
				table[i].port, SPAN_FMT(u.host), u.port);
	}
}

static void tlsrpt_record_parse__uses_so_many_uris(void **state)
{
	struct tlsrpt_record got;
	(void)state;
	assert_int_equal(tlsrpt_record_parse(SPAN_LIT(V "rua=mailto:1@a.b,mailto:2@a.b,mailto:3@a.b"
							",mailto:4@a.b,mailto:5@a.b"),
				 &got),
		0);
	assert_int_equal(got.n, TLSRPT_URIS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tlsrpt_record_choose__table),
		cmocka_unit_test(tlsrpt_uri_parse__takes_hosts_apart),
		cmocka_unit_test(tlsrpt_record_parse__uses_so_many_uris),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
