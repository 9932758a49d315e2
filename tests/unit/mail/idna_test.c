/* src/mail/idna.c: RFC 5891, UTS 46. NULL: refused. */
#include "mail/idna.h"
#include "check.h"

static void idna_to_ascii__table(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"Example.ORG", "example.org"},
		{"b\xC3\xBC"
		 "cher.example",
			"xn--bcher-kva.example"},
		{"B\xC3\x9C"
		 "CHER.Example",
			"xn--bcher-kva.example"},
		{"bu\xCC\x88"
		 "cher.example",
			"xn--bcher-kva.example"}, /* not composed */
		{"stra\xC3\x9F"
		 "e.example",
			"xn--strae-oqa.example"}, /* non-transitional: not "ss" */
		{"\xE4\xBE\x8B\xE5\xAD\x90.example", "xn--fsqu00a.example"},
		{"\xEF\xBD\x85xample.org", "example.org"}, /* a full-width e is an e */
		{"xn--bcher-kva.\xE4\xBE\x8B", "xn--bcher-kva.xn--fsq"},
		{"\xE2\x98\x83\xE2\x80\x8B..x", NULL},
		{"a\xE3\x80\x82\xE3\x80\x82"
		 "b",
			NULL}, /* two ideographic full stops: an empty label */
		{"\xC3\xA4 b", NULL},
		{"-\xC3\xA4", NULL},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf out = BUF_INIT(256);
		int r = idna_to_ascii(span_str(rows[i].in), &out);
		check_number(rows[i].in, "result", r, rows[i].out ? 0 : -EINVAL);
		if (rows[i].out)
			check_text(rows[i].in, buf_span(&out), rows[i].out);
		buf_done(&out);
	}
}

static void idna_to_ascii__too_long(void **state)
{
	struct buf out = BUF_INIT(256), in = BUF_INIT(1024);
	(void)state;

	for (int i = 0; i < 40; i++)
		buf_str(&in, "\xC3\xA4\xC3\xB6\xC3\xBC.");
	buf_str(&in, "example");
	assert_int_equal(idna_to_ascii(buf_span(&in), &out), -EINVAL);
	buf_done(&in);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idna_to_ascii__table),
		cmocka_unit_test(idna_to_ascii__too_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
