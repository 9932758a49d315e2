/* Spans: comparisons, trimming and the numbers that people and peers write. */
#include "test.h"
#include "base/span.h"

static void span_equal_nocase__ascii_only(void **state)
{
	static const struct {
		struct span a, b;
		bool equal, starts;
	} rows[] = {
		{SPAN_LIT("MAIL"), SPAN_LIT("mail"), true, true},
		{SPAN_LIT("MAIL FROM"), SPAN_LIT("mail"), false, true},
		{SPAN_LIT("mai"), SPAN_LIT("mail"), false, false},
		{SPAN_LIT(""), SPAN_LIT(""), true, true},
		{{NULL, 0}, {NULL, 0}, true, true},
		{SPAN_LIT("a"), {NULL, 0}, false, true},
		{SPAN_LIT("@"), SPAN_LIT("`"), false, false}, /* 0x40 and 0x60 are no letters */
		{SPAN_LIT("["), SPAN_LIT("{"), false, false},
		{SPAN_LIT("\xc4"), SPAN_LIT("\xe4"), false, false}, /* no Latin-1 folding */
		{SPAN_LIT("a\0B"), SPAN_LIT("A\0b"), true, true},
		{SPAN_LIT("a\0b"), SPAN_LIT("a\0c"), false, false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		want_int(rows[i].a.ptr, rows[i].equal, span_equal_nocase(rows[i].a, rows[i].b));
		want_int(rows[i].a.ptr, rows[i].starts, span_starts_nocase(rows[i].a, rows[i].b));
	}
}

static void span_index__first_or_length(void **state)
{
	(void)state;
	want_u64("found", 1, span_index(SPAN_LIT("a:b:c"), ':'));
	want_u64("absent", 3, span_index(SPAN_LIT("abc"), ':'));
	want_u64("NUL is data", 1, span_index(SPAN_LIT("a\0b"), '\0'));
	want_u64("empty", 0, span_index(SPAN_NULL, ':'));
}

static void span_trim__takes_blanks_off(void **state)
{
	static const struct {
		struct span in, want;
	} rows[] = {
		{SPAN_LIT(" \t a b \r\n"), SPAN_LIT("a b")},
		{SPAN_LIT("a"), SPAN_LIT("a")},
		{SPAN_LIT(" \r\n\t "), SPAN_LIT("")},
		{SPAN_LIT(""), SPAN_LIT("")},
		{SPAN_LIT("\0 "), SPAN_LIT("\0")},
		{SPAN_LIT("\va\f"), SPAN_LIT("\va\f")},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		want_span(rows[i].in.ptr, rows[i].want, span_trim(rows[i].in));
}

static void span_from_head__stay_inside(void **state)
{
	(void)state;
	want_span("from", SPAN_LIT("c"), span_from(SPAN_LIT("abc"), 2));
	want_span("beyond", SPAN_LIT(""), span_from(SPAN_LIT("abc"), 9));
	want_span("head", SPAN_LIT("ab"), span_head(SPAN_LIT("abc"), 2));
	want_span("longer head", SPAN_LIT("abc"), span_head(SPAN_LIT("abc"), 9));
}

struct number_row {
	struct span in;
	int want;
	uint64_t value;
};

static void check_numbers(
	const struct number_row *rows, size_t n, int (*f)(struct span, uint64_t *))
{
	for (size_t i = 0; i < n; i++) {
		uint64_t got = 4711; /* an error leaves the output alone */
		want_int(rows[i].in.ptr, rows[i].want, f(rows[i].in, &got));
		want_u64(rows[i].in.ptr, rows[i].want < 0 ? 4711 : rows[i].value, got);
	}
}

static int to_u64_any(struct span s, uint64_t *ret_value)
{
	return span_to_u64(s, UINT64_MAX, ret_value);
}

static int to_u64_100(struct span s, uint64_t *ret_value)
{
	return span_to_u64(s, 100, ret_value);
}

static void span_to_u64__digits_only(void **state)
{
	static const struct number_row rows[] = {
		{SPAN_LIT("0"), 0, 0},
		{SPAN_LIT("007"), 0, 7},
		{SPAN_LIT("18446744073709551615"), 0, UINT64_MAX},
		{SPAN_LIT("18446744073709551616"), -ERANGE, 0},
		{SPAN_LIT("99999999999999999999999"), -ERANGE, 0},
		{SPAN_LIT("99999999999999999999999x"), -EINVAL, 0},
		{SPAN_LIT(""), -EINVAL, 0},
		{SPAN_LIT("-1"), -EINVAL, 0},
		{SPAN_LIT("+1"), -EINVAL, 0},
		{SPAN_LIT(" 1"), -EINVAL, 0},
		{SPAN_LIT("1 "), -EINVAL, 0},
		{SPAN_LIT("0x10"), -EINVAL, 0},
		{SPAN_LIT("1\0"), -EINVAL, 0},
	};
	static const struct number_row bounded[] = {
		{SPAN_LIT("100"), 0, 100},
		{SPAN_LIT("101"), -ERANGE, 0},
	};
	(void)state;
	check_numbers(rows, ARRAY_LEN(rows), to_u64_any);
	check_numbers(bounded, ARRAY_LEN(bounded), to_u64_100);
}

static void span_to_octets__suffixes(void **state)
{
	static const struct number_row rows[] = {
		{SPAN_LIT("512"), 0, 512},
		{SPAN_LIT("64K"), 0, 64 << 10},
		{SPAN_LIT("50M"), 0, 50 << 20},
		{SPAN_LIT("1g"), 0, 1 << 30},
		{SPAN_LIT("2T"), 0, UINT64_C(2) << 40},
		{SPAN_LIT("16777215T"), 0, UINT64_C(16777215) << 40},
		{SPAN_LIT("16777216T"), -ERANGE, 0},
		{SPAN_LIT("18446744073709551616"), -ERANGE, 0},
		{SPAN_LIT(""), -EINVAL, 0},
		{SPAN_LIT("M"), -EINVAL, 0},
		{SPAN_LIT("5MB"), -EINVAL, 0},
		{SPAN_LIT("5 M"), -EINVAL, 0},
		{SPAN_LIT("5X"), -EINVAL, 0},
		{SPAN_LIT("1.5M"), -EINVAL, 0},
		{SPAN_LIT("5\0"), -EINVAL, 0},
	};
	(void)state;
	check_numbers(rows, ARRAY_LEN(rows), span_to_octets);
}

static void span_to_usec__units_and_sums(void **state)
{
	static const struct number_row rows[] = {
		{SPAN_LIT("0"), 0, 0},
		{SPAN_LIT("90"), 0, 90 * USEC_PER_SEC},
		{SPAN_LIT("30s"), 0, 30 * USEC_PER_SEC},
		{SPAN_LIT("500ms"), 0, 500 * USEC_PER_MSEC},
		{SPAN_LIT("5m"), 0, 300 * USEC_PER_SEC},
		{SPAN_LIT("4h"), 0, 4 * 3600 * USEC_PER_SEC},
		{SPAN_LIT("5d"), 0, 5 * 86400 * USEC_PER_SEC},
		{SPAN_LIT("1w"), 0, 7 * 86400 * USEC_PER_SEC},
		{SPAN_LIT("1h30m"), 0, 5400 * USEC_PER_SEC},
		{SPAN_LIT("1W1D1H1M1S1MS"), 0, 694861 * USEC_PER_SEC + USEC_PER_MSEC},
		{SPAN_LIT("1h30"), -EINVAL, 0},
		{SPAN_LIT("30m1h"), -EINVAL, 0},
		{SPAN_LIT("5m5m"), -EINVAL, 0},
		{SPAN_LIT(""), -EINVAL, 0},
		{SPAN_LIT("h"), -EINVAL, 0},
		{SPAN_LIT("-5m"), -EINVAL, 0},
		{SPAN_LIT("5 m"), -EINVAL, 0},
		{SPAN_LIT("5y"), -EINVAL, 0},
		{SPAN_LIT("99999999999999999999s"), -ERANGE, 0},
		{SPAN_LIT("18446744073709551615s"), -ERANGE, 0},
		{SPAN_LIT("30500568w30500568w"), -EINVAL, 0},
		{SPAN_LIT("30500568w9999999d"), -ERANGE, 0},
	};
	(void)state;
	check_numbers(rows, ARRAY_LEN(rows), span_to_usec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(span_equal_nocase__ascii_only),
		cmocka_unit_test(span_index__first_or_length),
		cmocka_unit_test(span_trim__takes_blanks_off),
		cmocka_unit_test(span_from_head__stay_inside),
		cmocka_unit_test(span_to_u64__digits_only),
		cmocka_unit_test(span_to_octets__suffixes),
		cmocka_unit_test(span_to_usec__units_and_sums),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
