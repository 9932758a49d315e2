/* src/mail/date.c: RFC 5322 3.3 and 4.3 by tables; the C library's calendar as a second opinion. */
#include "mail/date.h"
#include <time.h>
#include "check.h"

static void date_parse__table(void **state)
{
	static const struct {
		const char *in;
		long long want; /* seconds; -1: not a date */
	} table[] = {
		{"Thu, 01 Jan 1970 00:00:00 +0000", 0},
		{"1 Jan 1970 00:00 +0000", 0},
		{"Sun, 22 Nov 2026 03:26:43 +0000", 1795318003},
		{"sun,22 nov 2026 03:26:43 gmt", 1795318003},
		{"22 Nov 2026 04:26:43 +0100", 1795318003},
		{"Sat, 21 Nov 2026 22:26:43 EST", 1795318003},
		{"22 Nov 26 03:26:43 UT", 1795318003},
		{"22 Nov 126 03:26:43 Z", 1795318003},
		{"22 Nov 2026 03:26:43 A", 1795318003},
		{"22 Nov 2026 03:26:43 -0000 (a (nested) \\) comment)", 1795318003},
		{"(c) Sun (c) , (c) 22 (c) Nov (c) 2026 (c) 03 (c) : 26 : 43 (c) +0000",
			1795318003},
		{"Sun,\r\n 22 Nov 2026 03:26:43 +0000", 1795318003},
		{"Mon, 22 Nov 2026 03:26:43 +0000", 1795318003}, /* the wrong day of the week */
		{"21 Nov 97 09:55:06 GMT", 880106106},
		{"29 Feb 2024 00:00:00 +0000", 1709164800},
		{"29 Feb 2023 00:00:00 +0000", -1},
		{"29 Feb 2100 00:00:00 +0000", -1},
		{"31 Apr 2024 00:00:00 +0000", -1},
		{"0 Jan 2024 00:00:00 +0000", -1},
		{"31 Dec 2016 23:59:60 +0000", 1483228800},
		{"1 Jan 2024 24:00:00 +0000", -1},
		{"1 Jan 2024 00:60:00 +0000", -1},
		{"1 Jan 2024 00:00:61 +0000", -1},
		{"1 Jan 2024 00:00:00", -1},
		{"1 Jan 2024 00:00:00 +00", -1},
		{"1 Jan 2024 00:00:00 +0060", -1},
		{"1 Jan 2024 00:00:00 +00000", -1},
		{"1 Jan 2024 00:00:00 +0000 x", -1},
		{"1 Jan 2024", -1},
		{"1 Foo 2024 00:00:00 +0000", -1},
		{"Foo, 1 Jan 2024 00:00:00 +0000", -1},
		{"1 Jan 20240 00:00:00 +0000", -1},
		{"1 Jan 1969 00:00:00 +0000", -1},
		{"1 Jan 1970 00:00:00 +0100", -1},
		{"31 Dec 1969 23:00:00 -0200", 3600},
		{"1 Jan 9999 00:00:00 +0000", 253370764800},
		{"", -1},
		{"(", -1},
		{"((((((((", -1},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		uint64_t usec = 0;
		int r = date_parse(span_str(table[i].in), &usec);
		check_number(table[i].in, "result", r, table[i].want < 0 ? -EINVAL : 0);
		if (r >= 0)
			check_number(table[i].in, "seconds", (long long)(usec / USEC_PER_SEC),
				table[i].want);
	}
}

static void date_format__as_the_library_does(void **state)
{
	(void)state;
	/* A prime step through two centuries and a half, all times of the day. */
	for (uint64_t s = 0; s < UINT64_C(8000000000); s += 12345701) {
		struct buf mail = BUF_INIT(64), iso = BUF_INIT(64);
		char want[64];
		time_t t = (time_t)s;
		struct tm tm;
		uint64_t back;
		assert_non_null(gmtime_r(&t, &tm));
		date_format(s * USEC_PER_SEC + 7, &mail);
		assert_int_not_equal(
			strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S +0000", &tm), 0);
		check_text("mail", buf_span(&mail), want);
		assert_int_equal(date_parse(buf_span(&mail), &back), 0);
		/* NOLINTNEXTLINE(bugprone-misplaced-widening-cast) */
		check_number(want, "back", (long long)back, (long long)(s * USEC_PER_SEC));
		date_format_iso(s * USEC_PER_SEC + 123999, &iso);
		assert_int_not_equal(
			strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.123Z", &tm), 0);
		check_text("iso", buf_span(&iso), want);
		buf_done(&mail);
		buf_done(&iso);
	}
}

static void date_format__any_value_is_safe(void **state)
{
	struct buf out = BUF_INIT(128);
	(void)state;
	date_format(UINT64_MAX, &out);
	date_format_iso(UINT64_MAX, &out);
	assert_int_equal(out.error, 0);
	buf_done(&out);
}

static void date_parse_iso__table(void **state)
{
	static const struct {
		const char *in;
		uint64_t seconds; /* UINT64_MAX: refused */
	} rows[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-11-22T03:26:43Z", 1795318003},
		{"2026-11-22t03:26:43.25z", 1795318003},
		{"2024-02-29T23:59:60Z", 1709251200},
		{"2026-11-22T03:26:43+00:00", 1795318003},
		{"2026-11-22T03:26:43", UINT64_MAX},
		{"2026-11-22T03:26:43+01:00", UINT64_MAX},
		{"2026-11-22 03:26:43Z", UINT64_MAX},
		{"2026-11-22T03:26:43.Z", UINT64_MAX},
		{"2025-02-29T00:00:00Z", UINT64_MAX},
		{"2026-13-01T00:00:00Z", UINT64_MAX},
		{"2026-00-01T00:00:00Z", UINT64_MAX},
		{"2026-01-01T24:00:00Z", UINT64_MAX},
		{"1969-12-31T23:59:59Z", UINT64_MAX},
		{"2026-11-2T03:26:43Z", UINT64_MAX},
		{"", UINT64_MAX},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t usec = 0;
		bool refused = rows[i].seconds == UINT64_MAX;
		int r = date_parse_iso(span_str(rows[i].in), &usec);
		check_number(rows[i].in, "result", r, refused ? -EINVAL : 0);
		if (!refused)
			check_number(rows[i].in, "seconds", (long long)(usec / USEC_PER_SEC),
				(long long)rows[i].seconds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(date_parse_iso__table),
		cmocka_unit_test(date_parse__table),
		cmocka_unit_test(date_format__as_the_library_does),
		cmocka_unit_test(date_format__any_value_is_safe),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
