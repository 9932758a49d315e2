/* RFC 8461 3.1 and 3.2: records and policies, good and bad; 4.1: names against patterns. */
#include "support.h"

#include "deliver/sts_policy.h"

static void sts_txt_choose__table(void **state)
{
	static const struct {
		const char *txts[3];
		int want;
		const char *id;
	} table[] = {
		{{"v=STSv1; id=20160831085700Z;"}, 0, "20160831085700Z"},
		{{"v=STSv1;id=1"}, 0, "1"},
		{{"v=STSv1; foo=bar; id=a"}, 0, "a"},
		{{"v=STSv1 ; id = abc ; "}, 0, "abc"},
		{{"something else", "v=STSv1; id=7"}, 0, "7"},
		{{"v=STSv1; id=7", "v=STSv1; id=8"}, -EINVAL, NULL},
		{{"v=spf1 -all"}, -ENOENT, NULL},
		{{NULL}, -ENOENT, NULL},
		{{"v=STSv1"}, -EINVAL, NULL},
		{{"v=STSv1; id="}, -EINVAL, NULL},
		{{"v=STSv1; id=a-b"}, -EINVAL, NULL},
		{{"v=STSv1; id=123456789012345678901234567890123"}, -EINVAL, NULL},
		{{"v=STSv1; nonsense"}, -EINVAL, NULL},
		{{"v=stsv1; id=1"}, -ENOENT, NULL},
		{{"id=1; v=STSv1"}, -ENOENT, NULL},
		{{"v=STSv12; id=1"}, -ENOENT, NULL},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct span txts[3], id = SPAN_NULL;
		unsigned n = 0;
		for (; n < 3 && table[i].txts[n]; n++)
			txts[n] = span_str(table[i].txts[n]);
		int got = sts_txt_choose(txts, n, &id);
		if (got != table[i].want || !span_equal(id, span_str(table[i].id)))
			fail_msg("%s: want %d %s, got %d %.*s", table[i].txts[0], table[i].want,
				table[i].id, got, SPAN_FMT(id));
	}
}

#define HEAD "version: STSv1\nmode: enforce\nmax_age: 604800\n"

static void sts_policy_parse__table(void **state)
{
	static const struct {
		const char *text;
		const char *why; /* NULL: sound */
		enum sts_mode mode;
		unsigned n_mx;
		uint32_t max_age;
	} table[] = {
		{HEAD "mx: mail.example.com\nmx: *.example.net\n", NULL, STS_MODE_ENFORCE, 2,
			604800},
		{"version: STSv1\r\nmode: testing\r\nmx: a.example\r\nmax_age: 86400\r\n", NULL,
			STS_MODE_TESTING, 1, 86400},
		{"version: STSv1\nmode: none\nmax_age: 5", NULL, STS_MODE_NONE, 0, 5},
		{HEAD "mx: A.Example.\nunknown: thing\n", NULL, STS_MODE_ENFORCE, 1, 604800},
		{HEAD "mode: none\nmx: a.example\n", NULL, STS_MODE_ENFORCE, 1, 604800},
		{"version:STSv1\nmode:enforce\nmax_age:4294967295\nmx:a.example", NULL,
			STS_MODE_ENFORCE, 1, STS_MAX_AGE_MAX},
		{HEAD, "it names no mx", 0, 0, 0},
		{"mode: enforce\nmax_age: 1\nmx: a.example\n", "the version is missing", 0, 0, 0},
		{"version: STSv2\n" HEAD "mx: a.example\n", "the version is not STSv1", 0, 0, 0},
		{"version: STSv1\nmax_age: 1\nmx: a.example\n", "the mode is missing", 0, 0, 0},
		{"version: STSv1\nmode: strict\n", "mode is none of enforce, testing, none", 0, 0,
			0},
		{"version: STSv1\nmode: enforce\nmx: a.example\n", "max_age is missing", 0, 0, 0},
		{"version: STSv1\nmax_age: -1\n", "max_age is no number", 0, 0, 0},
		{HEAD "mx: a b\n", "mx is no name or pattern", 0, 0, 0},
		{HEAD "mx: a.*.example\n", "mx is no name or pattern", 0, 0, 0},
		{HEAD "mx: *\n", "mx is no name or pattern", 0, 0, 0},
		{HEAD "mx:\n", "mx is no name or pattern", 0, 0, 0},
		{"<html>\n", "a line is no \"name: value\"", 0, 0, 0},
		{"", "the version is missing", 0, 0, 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct arena *a = arena_new(1 << 16);
		struct sts_policy p = {0};
		const char *why = NULL;
		int r = sts_policy_parse(span_str(table[i].text), a, &p, &why);
		if (table[i].why) {
			assert_int_equal(r, -EBADMSG);
			assert_string_equal(why, table[i].why);
		} else {
			assert_int_equal(r, 0);
			assert_int_equal(p.mode, table[i].mode);
			assert_int_equal(p.n_mx, table[i].n_mx);
			assert_int_equal(p.max_age, table[i].max_age);
		}
		arena_free(a);
	}
}

static void sts_policy_matches__table(void **state)
{
	static const struct {
		const char *pattern, *host;
		bool want;
	} table[] = {
		{"mail.example.com", "mail.example.com", true},
		{"mail.example.com", "MAIL.example.com.", true},
		{"mail.example.com", "mail.example.net", false},
		{"*.example.com", "a.example.com", true},
		{"*.example.com", "a.b.example.com", false},
		{"*.example.com", "example.com", false},
		{"*.example.com", ".example.com", false},
		{"example.com", "a.example.com", false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct span mx = span_str(table[i].pattern);
		struct sts_policy p = {.mx = &mx, .n_mx = 1};
		if (sts_policy_matches(&p, span_str(table[i].host)) != table[i].want)
			fail_msg("%s against %s: want %d", table[i].host, table[i].pattern,
				table[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sts_txt_choose__table),
		cmocka_unit_test(sts_policy_parse__table),
		cmocka_unit_test(sts_policy_matches__table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
