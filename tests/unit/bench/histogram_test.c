/* Percentiles within the buckets' width. */
#include "../base/test.h"
#include "bench/histogram.h"

static void histogram_permille__within_three_percent(void **state)
{
	static struct histogram h; /* too large for a frame */
	const struct {
		unsigned permille;
		uint64_t want;
	} rows[] = {
		{1, 100}, {500, 50000}, {900, 90000}, {990, 99000}, {999, 99900}, {1000, 100000}};
	(void)state;

	for (uint64_t i = 1; i <= 100000; i++)
		histogram_add(&h, i);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t got = histogram_permille(&h, rows[i].permille);
		uint64_t slack = rows[i].want * 3 / 100 + 1;
		if (got + slack < rows[i].want || got > rows[i].want + slack)
			fail_msg("permille %u: want %" PRIu64 ", got %" PRIu64, rows[i].permille,
				rows[i].want, got);
	}
	want_u64("mean", 50000, histogram_mean(&h));
}

static void histogram_add__extremes(void **state)
{
	static struct histogram h;
	static const struct histogram empty;
	(void)state;

	want_u64("empty", 0, histogram_permille(&h, 500));
	for (unsigned shift = 0; shift < 64; shift++) {
		uint64_t v = UINT64_C(1) << shift;
		h = empty;
		histogram_add(&h, v);
		want_u64("one value", v, histogram_permille(&h, 500));
		want_u64("min", v, h.min);
		want_u64("max", v, h.max);
	}
	histogram_add(&h, 0);
	want_u64("zero", 0, h.min);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(histogram_permille__within_three_percent),
		cmocka_unit_test(histogram_add__extremes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
