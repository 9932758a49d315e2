/* Twin of src/resolver/anchor.c: what IANA, BIND and Unbound write, and what is no anchor. */
#include "resolver/anchor.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void anchor_parse__forms(void **state)
{
	static const struct {
		const char *text;
		int want;
		size_t n, line;
		const char *first;
	} rows[] = {
		{". IN DS 1 8 2 AB\n", 0, 1, 0, ". IN DS 1 8 2 AB"},
		{"; a comment\n\n.\t172800 IN DNSKEY 257 3 8 Aw== ; KSK\n", 0, 1, 0,
			".\t172800 IN DNSKEY 257 3 8 Aw=="},
		{"example. DNSKEY 257 3 13 (\n  AAAA\n  BBBB )\nexample. 3600 DS 1 8 2 AB", 0, 2, 0,
			"example. DNSKEY 257 3 13     AAAA   BBBB"},
		{". in ds 1 8 2 AB\r\n", 0, 1, 0, ". in ds 1 8 2 AB"},
		{"", -EINVAL, 0, 0, NULL},
		{"; nothing\n", -EINVAL, 0, 0, NULL},
		{". IN DS 1 8 2 AB\nwhat is this\n", -EINVAL, 0, 2, NULL},
		{"example IN DS 1 8 2 AB\n", -EINVAL, 0, 1, NULL},
		{". IN NS a.root.\n", -EINVAL, 0, 1, NULL},
		{". IN DS\n", -EINVAL, 0, 1, NULL},
		{". IN DS ( 1 8 2 AB\n", -EINVAL, 0, 1, NULL},
		{". IN DS ) 1 8 2 AB\n", -EINVAL, 0, 1, NULL},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf out = BUF_INIT(65536);
		size_t n = 0, line = 99;
		int r = anchor_parse(span_str(rows[i].text), &out, &n, &line);
		if (r != rows[i].want || n != rows[i].n || (r < 0 && line != rows[i].line) ||
			(r == 0 && strcmp(out.ptr, rows[i].first) != 0))
			fail_msg("row %zu: want %d, %zu records, line %zu; got %d, %zu, %zu '%s'",
				i, rows[i].want, rows[i].n, rows[i].line, r, n, line,
				r == 0 ? out.ptr : "");
		buf_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(anchor_parse__forms),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
