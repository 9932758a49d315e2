/* One line of a trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/trace.h"

#include "base/clock.h"

static const struct {
	uint64_t wall_msec;
	char kind;
	const char *text, *want;
} lines[] = {
	{0, '*', "begun", "00:00:00.000 * begun\n"},
	{86399999, '<', "250 ok", "23:59:59.999 < 250 ok\n"},
	{86400000ull * 20000 + 3723004, '>', "EHLO a", "01:02:03.004 > EHLO a\n"},
	{1, '<', "", "00:00:00.001 < \n"},
	{1, '<', "two\nlines\r", "00:00:00.001 < two lines \n"},
};

static void trace_line__form(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		struct buf b = BUF_INIT(1024);
		trace_line(lines[i].wall_msec * USEC_PER_MSEC, lines[i].kind,
			span_str(lines[i].text), &b);
		buf_char(&b, '\0');
		assert_string_equal(b.ptr, lines[i].want);
		buf_done(&b);
	}
}

static void trace_line__bounded(void **state)
{
	char text[TRACE_TEXT_MAX + 2];
	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t len = TRACE_TEXT_MAX - 1; len <= TRACE_TEXT_MAX + 1; len++) {
		struct buf b = BUF_INIT(1024);
		bool cut = len > TRACE_TEXT_MAX;
		trace_line(0, '<', span_make(text, len), &b);
		size_t want = 15 + (cut ? TRACE_TEXT_MAX + 3 : len) + 1;
		if (b.len != want)
			fail_msg("of %zu octets want %zu, got %zu", len, want, b.len);
		assert_int_equal(cut, memcmp(b.ptr + b.len - 4, "...\n", 4) == 0);
		buf_done(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trace_line__form),
		cmocka_unit_test(trace_line__bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
