/* Message ids as text, there and back. */
#include "test.h"
#include "base/ident.h"

static void ident_format__and_back(void **state)
{
	static const struct {
		uint64_t id;
		const char *text;
	} rows[] = {
		{0, "0"},
		{1, "1"},
		{31, "Z"},
		{32, "10"},
		{0x5555, "NAN"},
		{UINT64_C(1) << 24 | 5, "G0005"},
		{UINT64_MAX, "FZZZZZZZZZZZZ"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t got = 4711;
		assert_string_equal(ident_format(rows[i].id).s, rows[i].text);
		want_int(rows[i].text, 0, ident_parse(span_str(rows[i].text), &got));
		want_u64(rows[i].text, rows[i].id, got);
	}
	for (uint64_t id = 1; id < UINT64_MAX / 3; id = id * 3 + 1) {
		uint64_t got = 0;
		struct ident_text t = ident_format(id);
		want_int(t.s, 0, ident_parse(span_str(t.s), &got));
		want_u64(t.s, id, got);
	}
}

static void ident_parse__takes_lower_case_only_besides(void **state)
{
	static const struct {
		struct span in;
		int want;
		uint64_t id;
	} rows[] = {
		{SPAN_LIT("nan"), 0, 0x5555},
		{SPAN_LIT("00nAn"), 0, 0x5555},
		{SPAN_LIT("fzzzzzzzzzzzz"), 0, UINT64_MAX},
		{SPAN_LIT("G000000000000"), -EINVAL, 0},  /* 65 bits */
		{SPAN_LIT("00000000000000"), -EINVAL, 0}, /* too long */
		{SPAN_LIT(""), -EINVAL, 0},
		{SPAN_LIT("I"), -EINVAL, 0},
		{SPAN_LIT("l"), -EINVAL, 0},
		{SPAN_LIT("O"), -EINVAL, 0},
		{SPAN_LIT("u"), -EINVAL, 0},
		{SPAN_LIT("A-B"), -EINVAL, 0},
		{SPAN_LIT("A\0"), -EINVAL, 0},
		{SPAN_LIT(" A"), -EINVAL, 0},
		{SPAN_LIT("\xe9"), -EINVAL, 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t got = 4711;
		want_int(rows[i].in.ptr, rows[i].want, ident_parse(rows[i].in, &got));
		want_u64(rows[i].in.ptr, rows[i].want < 0 ? 4711 : rows[i].id, got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ident_format__and_back),
		cmocka_unit_test(ident_parse__takes_lower_case_only_besides),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
