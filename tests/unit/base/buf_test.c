/* Owned octets: growth, the ceiling, the error that sticks. */
#include "test.h"
#include "base/buf.h"
#include <stdio.h>

static void buf_append__grows_and_keeps_octets(void **state)
{
	(void)state;
	CLEANUP(buf_done) struct buf b = BUF_INIT(100000);
	for (int i = 0; i < 100000; i++)
		buf_char(&b, (char)(i % 251));
	want_int("error", 0, b.error);
	want_u64("len", 100000, b.len);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(b.ptr[i], (char)(i % 251));
	assert_true(b.cap <= 100001);
}

static void buf_append__error_sticks_at_the_ceiling(void **state)
{
	(void)state;
	CLEANUP(buf_done) struct buf b = BUF_INIT(5);
	buf_str(&b, "abc");
	buf_str(&b, "def");
	want_int("too long", -EMSGSIZE, b.error);
	buf_char(&b, 'x');
	want_span("content as before", SPAN_LIT("abc"), buf_span(&b));
	buf_printf(&b, "%d", 1);
	assert_null(buf_reserve(&b, 1));
	want_span("still", SPAN_LIT("abc"), buf_span(&b));
	buf_reset(&b);
	buf_str(&b, "12345");
	want_int("exactly the ceiling", 0, b.error);
	want_span("full", SPAN_LIT("12345"), buf_span(&b));
	buf_put(&b, SPAN_NULL);
	want_int("nothing fits always", 0, b.error);
}

static void buf_printf__up_to_the_ceiling(void **state)
{
	static const struct {
		const char *text;
		int error;
		struct span want;
	} rows[] = {
		{"12345", 0, SPAN_LIT("x=12345")},
		{"123456", 0, SPAN_LIT("x=123456")},
		{"1234567", -EMSGSIZE, SPAN_LIT("x")},
		{"", 0, SPAN_LIT("x=")},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(buf_done) struct buf b = BUF_INIT(8);
		buf_char(&b, 'x');
		buf_printf(&b, "=%s", rows[i].text);
		want_int(rows[i].text, rows[i].error, b.error);
		want_span(rows[i].text, rows[i].want, buf_span(&b));
	}
}

static void buf_printf__long_text_grows(void **state)
{
	(void)state;
	CLEANUP(buf_done) struct buf b = BUF_INIT(5000);
	buf_printf(&b, "%04000d", 7);
	buf_printf(&b, "%s", "end");
	want_u64("len", 4003, b.len);
	want_span("tail", SPAN_LIT("0007end"), span_from(buf_span(&b), 3996));
}

static void buf_reserve__gives_space(void **state)
{
	(void)state;
	CLEANUP(buf_done) struct buf b = BUF_INIT(300);
	char *p = buf_reserve(&b, 300);
	assert_non_null(p);
	memset(p, 'x', 300);
	b.len += 300;
	assert_non_null(buf_reserve(&b, 0));
	assert_null(buf_reserve(&b, 1));
	want_int("error", -EMSGSIZE, b.error);

	CLEANUP(buf_done) struct buf empty = BUF_INIT(0);
	assert_non_null(buf_reserve(&empty, 0));
	CLEANUP(buf_done) struct buf huge = BUF_INIT(SIZE_MAX);
	buf_char(&huge, 'x');
	assert_null(buf_reserve(&huge, SIZE_MAX));
	want_int("length overflow", -EMSGSIZE, huge.error);
}

static void buf_consume__drops_the_front(void **state)
{
	(void)state;
	CLEANUP(buf_done) struct buf b = BUF_INIT(100);
	buf_str(&b, "hello world");
	buf_consume(&b, 6);
	want_span("rest", SPAN_LIT("world"), buf_span(&b));
	buf_consume(&b, 0);
	buf_consume(&b, 5);
	want_u64("all", 0, b.len);
	CLEANUP(buf_done) struct buf fresh = BUF_INIT(1);
	buf_consume(&fresh, 0);
}

static void buf_done__keeps_the_ceiling(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(3);
	buf_str(&b, "abcd");
	buf_done(&b);
	want_int("error", 0, b.error);
	want_u64("max", 3, b.max);
	buf_str(&b, "abc");
	want_span("usable again", SPAN_LIT("abc"), buf_span(&b));
	buf_done(&b);
	buf_done(NULL);
}

static void buf_escaped__only_plain_ascii_stays(void **state)
{
	static const struct {
		struct span in;
		size_t max;
		struct span want;
	} rows[] = {
		{SPAN_LIT("a<b>~ "), 100, SPAN_LIT("a<b>~ ")},
		{SPAN_LIT("\r\n\0\x7f"), 100, SPAN_LIT("\\x0d\\x0a\\x00\\x7f")},
		{SPAN_LIT("\"\\"), 100, SPAN_LIT("\\x22\\x5c")},
		{SPAN_LIT("\xc3\xa9"), 100, SPAN_LIT("\\xc3\\xa9")},
		{SPAN_LIT("abcdef"), 3, SPAN_LIT("abc...")},
		{SPAN_LIT("abc"), 3, SPAN_LIT("abc")},
		{SPAN_LIT("abc"), 0, SPAN_LIT("...")},
		{SPAN_LIT(""), 0, SPAN_LIT("")},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(buf_done) struct buf b = BUF_INIT(100);
		buf_escaped(&b, rows[i].in, rows[i].max);
		want_span(rows[i].want.ptr, rows[i].want, buf_span(&b));
	}
}

static void buf_read_fd__all_from_the_beginning(void **state)
{
	(void)state;
	for (size_t len = 0; len <= (size_t)3 * BUF_READ_STEP; len += BUF_READ_STEP / 2 + 1) {
		FILE *f = tmpfile();
		assert_non_null(f);
		for (size_t i = 0; i < len; i++)
			assert_int_not_equal(fputc('a' + (int)(i % 26), f), EOF);
		assert_int_equal(fflush(f), 0); /* the position is at the end now */
		CLEANUP(buf_done) struct buf b = BUF_INIT((size_t)5 * BUF_READ_STEP);
		buf_str(&b, "x");
		assert_int_equal(buf_read_fd(&b, fileno(f)), 0);
		assert_int_equal(b.len, len + 1);
		for (size_t i = 0; i < len; i++)
			assert_int_equal(b.ptr[i + 1], 'a' + (int)(i % 26));
		CLEANUP(buf_done) struct buf small = BUF_INIT(BUF_READ_STEP);
		assert_int_equal(buf_read_fd(&small, fileno(f)), len ? -EMSGSIZE : 0);
		(void)fclose(f);
	}
	CLEANUP(buf_done) struct buf b = BUF_INIT(BUF_READ_STEP);
	assert_int_equal(buf_read_fd(&b, -1), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buf_append__grows_and_keeps_octets),
		cmocka_unit_test(buf_append__error_sticks_at_the_ceiling),
		cmocka_unit_test(buf_printf__up_to_the_ceiling),
		cmocka_unit_test(buf_printf__long_text_grows),
		cmocka_unit_test(buf_reserve__gives_space),
		cmocka_unit_test(buf_consume__drops_the_front),
		cmocka_unit_test(buf_read_fd__all_from_the_beginning),
		cmocka_unit_test(buf_done__keeps_the_ceiling),
		cmocka_unit_test(buf_escaped__only_plain_ascii_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
