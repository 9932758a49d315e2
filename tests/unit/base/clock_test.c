/* Clocks move forward, dates are right, randomness is not constant. */
#include "test.h"
#include "base/clock.h"

#include <string.h>
#include <time.h>

static void clock_monotonic_usec__never_goes_back(void **state)
{
	(void)state;
	uint64_t last = clock_monotonic_usec();
	for (int i = 0; i < 1000; i++) {
		uint64_t now = clock_monotonic_usec();
		assert_true(now >= last);
		last = now;
	}
}

static void clock_wall_usec__is_the_time(void **state)
{
	(void)state;
	uint64_t before = (uint64_t)time(NULL), got = clock_wall_usec() / USEC_PER_SEC;
	/* time(2) may lag by one tick of its coarser clock. */
	assert_true(got >= before && got <= (uint64_t)time(NULL) + 1);
}

static void clock_date_utc__as_the_c_library_has_it(void **state)
{
	static const struct {
		const char *row;
		uint64_t seconds;
		unsigned year, month, day, weekday;
	} rows[] = {
		{"epoch", 0, 1970, 1, 1, 4},
		{"leap day 2000", 951782400, 2000, 2, 29, 2},
		{"leap day 2024", 1709164800, 2024, 2, 29, 4},
		{"no leap day 2100", 4107542400, 2100, 3, 1, 1},
		{"last second of 1999", 946684799, 1999, 12, 31, 5},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct clock_date d = clock_date_utc(rows[i].seconds * USEC_PER_SEC + 123456);
		want_u64(rows[i].row, rows[i].year, d.year);
		want_u64(rows[i].row, rows[i].month, d.month);
		want_u64(rows[i].row, rows[i].day, d.day);
		want_u64(rows[i].row, rows[i].weekday, d.weekday);
		want_u64(rows[i].row, 123456, d.usec);
	}
	/* Every day of 430 years, at a wandering hour. */
	for (uint64_t day = 0; day < 157000; day++) {
		time_t t = (time_t)(day * 86400 + day * 7919 % 86400);
		struct clock_date d = clock_date_utc((uint64_t)t * USEC_PER_SEC);
		struct tm tm;
		assert_non_null(gmtime_r(&t, &tm));
		if ((int)d.year != tm.tm_year + 1900 || (int)d.month != tm.tm_mon + 1 ||
			(int)d.day != tm.tm_mday || (int)d.weekday != tm.tm_wday ||
			(int)d.hour != tm.tm_hour || (int)d.minute != tm.tm_min ||
			(int)d.second != tm.tm_sec)
			fail_msg("want %d-%d-%d, got %u-%u-%u", tm.tm_year + 1900, tm.tm_mon + 1,
				tm.tm_mday, d.year, d.month, d.day);
	}
}

static void random_octets__fills_all(void **state)
{
	(void)state;
	unsigned char a[1000] = {0}, b[1000] = {0};
	random_octets(a, sizeof(a));
	random_octets(b, sizeof(b));
	assert_true(memcmp(a, b, sizeof(a)) != 0);
	/* 16 zeros at the end by chance: once in 2^128 runs. */
	static const unsigned char zeros[16];
	assert_true(memcmp(a + sizeof(a) - 16, zeros, 16) != 0);
	random_octets(NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clock_monotonic_usec__never_goes_back),
		cmocka_unit_test(clock_wall_usec__is_the_time),
		cmocka_unit_test(clock_date_utc__as_the_c_library_has_it),
		cmocka_unit_test(random_octets__fills_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
