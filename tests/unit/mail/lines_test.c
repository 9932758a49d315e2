#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/buf.h"
#include "mail/lines.h"

#define LONGEST 150u
#define ROUNDS	20000u

static void lines_look__by_hand(void **state)
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
		if (lines_look(span_str(rows[i].text)).whole != rows[i].whole)
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

static bool dotted_by_octet(const char *p, size_t len)
{
	for (size_t i = 1; i < len; i++)
		if (p[i] == '.' && p[i - 1] == '\n')
			return true;
	return false;
}

static bool high_by_octet(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((p[i] & 0x80) != 0)
			return true;
	return false;
}

static uint32_t draw(uint32_t *random)
{
	*random = *random * 1664525u + 1013904223u;
	return *random >> 16;
}

static size_t random_text(uint32_t *random, char *text, size_t len)
{
	size_t n = 0;
	while (n < len) {
		unsigned lot = draw(random) % 128;
		if (lot > 1 && lot < 20 && n + 1 < len)
			text[n++] = '\r';
		text[n++] = lot == 0	? '\r'
			    : lot < 20	? '\n'
			    : lot < 28	? '.'
			    : lot == 28 ? (char)0xe4
					: 'x';
	}
	return n;
}

static void check_bit(const char *what, unsigned round, size_t len, bool want, bool got)
{
	if (want != got)
		fail_msg("round %u, %zu octets, %s: want %d, got %d", round, len, what, want, got);
}

/* Every length, so that what is at fault falls on each place of a vector and behind it; each text
 * ends where its memory does, so that a sanitizer sees a step beyond. */
static void lines_look__as_octet_by_octet(void **state)
{
	uint32_t random = 1;
	unsigned whole = 0, dotted = 0, high = 0;

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t len = round % LONGEST;
		char *text = test_malloc(len + 1);
		char *at = text + 1; /* unaligned */
		random_text(&random, at, len);
		struct lines_seen got = lines_look(span_make(at, len));
		check_bit("whole", round, len, by_octet(at, len), got.whole);
		check_bit("dotted", round, len, dotted_by_octet(at, len), got.dotted);
		check_bit("high", round, len, high_by_octet(at, len), got.high);
		whole += got.whole;
		dotted += got.dotted;
		high += got.high;
		test_free(text);
	}
	assert_in_range(whole, ROUNDS / 10, ROUNDS - ROUNDS / 10);
	assert_in_range(dotted, ROUNDS / 10, ROUNDS - ROUNDS / 10);
	assert_in_range(high, ROUNDS / 10, ROUNDS - ROUNDS / 10);
}

static void lines_until_dot__as_octet_by_octet(void **state)
{
	uint32_t random = 7;
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		char text[LONGEST];
		size_t len = 1 + round % (LONGEST - 1), from = draw(&random) % len, want = len;
		random_text(&random, text, len);
		for (size_t i = len - 1; i > from; i--)
			if (text[i] == '.' && text[i - 1] == '\n')
				want = i;
		size_t got = lines_until_dot(span_make(text, len), from);
		if (want != got)
			fail_msg("round %u, %zu octets from %zu: want %zu, got %zu", round, len,
				from, want, got);
	}
}

/* Lines of lengths that are known, in slices of all sizes (a CRLF is never cut: whole lines). */
static void lines_measure__in_slices(void **state)
{
	static const size_t lengths[] = {0, 3, 70, 1, 0, 200, 5, 0};
	static const uint32_t enough[] = {0, 1, 69, 70, 199, 200, 300, UINT32_MAX};
	struct buf b = BUF_INIT(1024);
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		for (size_t n = 0; n < lengths[i]; n++)
			buf_char(&b, 'x');
		buf_str(&b, i + 1 < ARRAY_LEN(lengths) ? "\r\n" : "yy");
	}
	assert_int_equal(b.error, 0);
	for (size_t e = 0; e < ARRAY_LEN(enough); e++) {
		for (size_t step = 2; step <= b.len; step++) {
			uint32_t longest = 0, line = 0;
			for (size_t at = 0, n; at < b.len; at += n) {
				n = MIN(step, b.len - at);
				if (b.ptr[at + n - 1] == '\r')
					n--;
				uint32_t got =
					lines_measure(span_make(b.ptr + at, n), enough[e], &line);
				longest = MAX(longest, got);
			}
			if (line != 2 || (enough[e] < 200 ? longest != 200 : longest > enough[e]))
				fail_msg("enough %u, step %zu: longest %u, open %u", enough[e],
					step, longest, line);
		}
	}
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_look__by_hand),
		cmocka_unit_test(lines_look__as_octet_by_octet),
		cmocka_unit_test(lines_until_dot__as_octet_by_octet),
		cmocka_unit_test(lines_measure__in_slices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
