#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/buf.h"
#include "mail/lines.h"

#define LONGEST 150u
#define ROUNDS	20000u

static void lines_are_whole__by_hand(void **state)
{
	static const struct {
		const char *text;
		bool whole;
	} rows[] = {
		{"", true},
		{"x", true},
		{"\r\n", true},
		{"\r\n\r\n", true},
		{"a\r\nb", true},
		{"\n", false},
		{"\r", false},
		{"\na\r\n", false},
		{"a\r\n\r", false},
		{"a\r\r\n", false},
		{"a\r\n\nb", false},
		{"a\nb", false},
		{"a\rb", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (lines_are_whole(span_str(rows[i].text)) != rows[i].whole)
			fail_msg("row %zu: want %d", i, rows[i].whole);
}

static bool by_octet(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '\r' && (i + 1 == len || p[i + 1] != '\n'))
			return false;
		if (p[i] == '\n' && (i == 0 || p[i - 1] != '\r'))
			return false;
	}
	return true;
}

/* Every length, so that what is at fault falls on each place of a vector and behind it. */
static void lines_are_whole__as_octet_by_octet(void **state)
{
	uint32_t random = 1;
	unsigned whole = 0;

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		char text[LONGEST + 1];
		size_t len = round % LONGEST, n = 0;
		while (n < len) {
			random = random * 1664525u + 1013904223u;
			unsigned lot = (random >> 16) % 128;
			if (lot > 1 && lot < 20 && n + 1 < len)
				text[n++] = '\r';
			text[n++] = lot == 0 ? '\r' : lot < 20 ? '\n' : 'x';
		}
		bool want = by_octet(text, len), got = lines_are_whole(span_make(text, len));
		if (want != got)
			fail_msg("round %u, %zu octets: want %d, got %d", round, len, want, got);
		whole += want;
	}
	assert_in_range(whole, ROUNDS / 10, ROUNDS - ROUNDS / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_whole__by_hand),
		cmocka_unit_test(lines_are_whole__as_octet_by_octet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
