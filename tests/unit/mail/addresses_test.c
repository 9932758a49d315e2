/* Twin of mail/addresses.c: what stands in real From fields, and what wants to hide there. */
#include "../base/test.h"
#include "mail/addresses.h"

static const struct {
	const char *body, *want; /* the addresses, a blank between; NULL: refused */
} rows[] = {
	{" a@b.example", "a@b.example"},
	{" A B <a@b.example>", "a@b.example"},
	{" \"A, B\" <a@b.example>\r\n", "a@b.example"},
	{" \"x@evil.example\" <a@b.example>", "a@b.example"},
	{" x@evil.example <a@b.example>", "a@b.example"}, /* unquoted, as some programs do */
	{" A. B. <a@b.example>", "a@b.example"},
	{" a@b.example (A B)", "a@b.example"},
	{" (c (d) \\) e) a@b.example", "a@b.example"},
	{" A <a@b.example>, C <c@d.example>", "a@b.example c@d.example"},
	{" a@b.example,\r\n\tc@d.example", "a@b.example c@d.example"},
	{" ,, a@b.example ,", "a@b.example"},
	{" Us: a@b.example, C <c@d.example>;", "a@b.example c@d.example"},
	{" Undisclosed:;", ""},
	{" \"a b\"@b.example", "\"a b\"@b.example"},
	{" <\"a>b\"@b.example>", "\"a>b\"@b.example"},
	{" a @ b . example", "a@b.example"},
	{" <a(comment)@b.example>", "a@b.example"},
	{" a@[192.0.2.1]", "a@[192.0.2.1]"},
	{" A <a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]"},
	{" =?utf-8?q?J=C3=B6rg?= <j@b.example>", "j@b.example"},
	{" J\xc3\xb6rg <j@b.example>", "j@b.example"},
	{"", ""},
	/* refused */
	{" a", NULL},
	{" A B", NULL},
	{" a@b.example c@d.example", NULL},
	{" <a@b.example> <c@d.example>", NULL},
	{" <a@b.example> c@d.example", NULL},
	{" <a@b.example", NULL},
	{" a@b.example>", NULL},
	{" <>", NULL},
	{" <@c.example:a@b.example>", NULL},
	{" <a@b.example, c@d.example>", NULL},
	{" \"a <a@b.example>", NULL},
	{" (a <a@b.example>", NULL},
	{" a@b.example;", NULL},
	{" Us: a@b.example", NULL},
	{" a@b..example", NULL},
	{" a@b.example\\", NULL},
	{" a@[192.0.2.1", NULL},
};

static void addresses_parse__rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct addresses a;
		struct buf got = BUF_INIT(4096);

		addresses_init(&a);
		int r = addresses_parse(&a, span_str(rows[i].body));
		want_int(rows[i].body, rows[i].want ? 0 : -EINVAL, r);
		for (size_t j = 0; r == 0 && j < a.n; j++) {
			if (j)
				buf_char(&got, ' ');
			buf_put(&got, addresses_get(&a, j));
		}
		if (rows[i].want)
			want_span(rows[i].body, span_str(rows[i].want), buf_span(&got));
		addresses_done(&a);
		buf_done(&got);
	}
}

static void addresses_parse__bounds(void **state)
{
	struct addresses a;
	struct buf many = BUF_INIT(1 << 20);

	(void)state;
	for (unsigned i = 0; i <= ADDRESSES_MAX; i++)
		buf_str(&many, "a@b.example,");
	addresses_init(&a);
	want_int("too many", -E2BIG, addresses_parse(&a, buf_span(&many)));
	addresses_done(&a);
	buf_reset(&many);
	for (unsigned i = 0; i < 100000; i++)
		buf_str(&many, "(");
	addresses_init(&a);
	want_int("deep", -EINVAL, addresses_parse(&a, buf_span(&many)));
	addresses_done(&a);
	buf_reset(&many);
	for (unsigned i = 0; i < 10000; i++)
		buf_str(&many, "long name");
	buf_str(&many, " <a@b.example>");
	addresses_init(&a);
	want_int("a long name", 0, addresses_parse(&a, buf_span(&many)));
	want_u64("its address", 1, a.n);
	addresses_done(&a);
	buf_done(&many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_parse__rows),
		cmocka_unit_test(addresses_parse__bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
