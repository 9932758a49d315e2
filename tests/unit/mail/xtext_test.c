/* src/mail/xtext.c: RFC 3461 4, RFC 6533 3. NULL: refused. */
#include "mail/xtext.h"
#include "check.h"

struct xtext_row {
	const char *in, *out;
};

static void decode_rows(const struct xtext_row *rows, size_t n,
	int (*decode)(struct span in, bool utf8, struct buf *out), bool utf8)
{
	for (size_t i = 0; i < n; i++) {
		struct buf out = BUF_INIT(1024);
		int r = decode(span_str(rows[i].in), utf8, &out);
		check_number(rows[i].in, "result", r, rows[i].out ? 0 : -EINVAL);
		if (rows[i].out)
			check_text(rows[i].in, buf_span(&out), rows[i].out);
		buf_done(&out);
	}
}

static int plain(struct span in, bool utf8, struct buf *out)
{
	(void)utf8;
	return xtext_decode(in, out);
}

static void xtext_decode__table(void **state)
{
	static const struct xtext_row rows[] = {
		{"", ""},
		{"abc", "abc"},
		{"a+20b", "a b"},
		{"+2B+3D", "+="},
		{"+0D+0A", "\r\n"},
		{"+C3+A4", "\xC3\xA4"},
		{"+2b", NULL},
		{"+", NULL},
		{"a+2", NULL},
		{"+GG", NULL},
		{"a=b", NULL},
		{"a b", NULL},
		{"\x7F", NULL},
		{"\xC3\xA4", NULL},
	};
	(void)state;
	decode_rows(rows, ARRAY_LEN(rows), plain, false);
}

static void utf8_address_decode__table(void **state)
{
	static const struct xtext_row ascii[] = {
		{"a@b.example", "a@b.example"},
		{"\\x{E4}@b.example", "\xC3\xA4@b.example"},
		{"\\x{20AC}\\x{1F600}", "\xE2\x82\xAC\xF0\x9F\x98\x80"},
		{"\\x{5C}\\x{2B}\\x{3D}\\x{10}", "\\+=\x10"},
		{"a+b@c", "a+b@c"},
		{"", NULL},
		{"\\", NULL},
		{"\\x{}", NULL},
		{"\\x{e4}", NULL},
		{"\\x{0E4}", NULL},
		{"\\x{D800}", NULL},
		{"\\x{DFFF}", NULL},
		{"\\x{110000}", NULL},
		{"\\x{1000000}", NULL},
		{"\\x{E4", NULL},
		{"a=b", NULL},
		{"a b", NULL},
		{"\xC3\xA4", NULL},
	};
	static const struct xtext_row unicode[] = {
		{"\xC3\xA4@b", "\xC3\xA4@b"},
		{"\\x{E4}\xC3\xA4", "\xC3\xA4\xC3\xA4"},
		{"\xC3", NULL},
		{"\xED\xA0\x80", NULL},
	};
	(void)state;
	decode_rows(ascii, ARRAY_LEN(ascii), utf8_address_decode, false);
	decode_rows(unicode, ARRAY_LEN(unicode), utf8_address_decode, true);
}

static void orcpt_decode__table(void **state)
{
	static const struct xtext_row rows[] = {
		{"rfc822;bob@b.example", "rfc822;bob@b.example"},
		{"RFC822;b+2Bx@b", "RFC822;b+x@b"},
		{"rfc822;a+20b@c", "rfc822;a b@c"},
		{"utf-8;\\x{E4}@b", "utf-8;\xC3\xA4@b"},
		{"UTF-8;a@b", "UTF-8;a@b"},
		{"x400;anything", "x400;anything"},
		{"rfc822;", NULL},
		{";a@b", NULL},
		{"a@b", NULL},
		{"rfc 822;a@b", NULL},
		{"rfc822;a+0D+0AX:+20y", NULL},
		{"rfc822;a+00", NULL},
		{"rfc822;j+C3+BCrgen@b", "utf-8;j\xC3\xBCrgen@b"},
		{"RFC822;+C3+A4", "utf-8;\xC3\xA4"},
		{"rfc822;+C3", NULL},
		{"rfc822;+C3+28", NULL},
		{"rfc822;+C3+A4+0D", NULL},
		{"x400;+C3+A4", NULL},
		{"utf-8;a\\x{10}b", NULL},
		{"utf-8;a\\x{7F}b", NULL},
	};
	(void)state;
	decode_rows(rows, ARRAY_LEN(rows), orcpt_decode, false);
}

static void encode__round_trip(void **state)
{
	static const char *const texts[] = {"", "a b", "+=\\", "\xC3\xA4@x", "\r\n", "q(\"x\")~!"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct buf wire = BUF_INIT(1024), back = BUF_INIT(1024);
		xtext_encode(span_str(texts[i]), &wire);
		assert_true(text_is_printable(buf_span(&wire)));
		assert_int_equal(xtext_decode(buf_span(&wire), &back), 0);
		check_text("xtext", buf_span(&back), texts[i]);
		buf_reset(&wire);
		buf_reset(&back);
		utf8_address_encode(span_str(texts[i]), &wire);
		assert_true(text_is_printable(buf_span(&wire)));
		if (texts[i][0])
			assert_int_equal(utf8_address_decode(buf_span(&wire), false, &back), 0);
		check_text("utf-8-addr-xtext", buf_span(&back), texts[i]);
		buf_done(&wire);
		buf_done(&back);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(xtext_decode__table),
		cmocka_unit_test(utf8_address_decode__table),
		cmocka_unit_test(orcpt_decode__table),
		cmocka_unit_test(encode__round_trip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
