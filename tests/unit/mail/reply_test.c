/* src/mail/reply.c: RFC 5321 4.2, RFC 3463 by tables. */
#include "mail/reply.h"
#include "check.h"

static void reply_feed_line__table(void **state)
{
	static const struct {
		const char *lines[4];
		int last; /* result of the last line */
		unsigned code, class, subject, detail;
		const char *text;
	} table[] = {
		{{"220 mx ready"}, 1, 220, 0, 0, 0, "mx ready"},
		{{"250"}, 1, 250, 0, 0, 0, ""},
		{{"250 "}, 1, 250, 0, 0, 0, ""},
		{{"250-mx", "250-SIZE 1", "250 HELP"}, 1, 250, 0, 0, 0, "mx\nSIZE 1\nHELP"},
		{{"250-mx", "250"}, 1, 250, 0, 0, 0, "mx\n"},
		{{"250-"}, 0, 0, 0, 0, 0, ""},
		{{"550 5.1.1 no such user"}, 1, 550, 5, 1, 1, "5.1.1 no such user"},
		{{"550-5.7.26 a", "550 5.7.26 b"}, 1, 550, 5, 7, 26, "5.7.26 a\n5.7.26 b"},
		{{"550-see", "550 5.7.1 b"}, 1, 550, 5, 7, 1, "see\n5.7.1 b"},
		{{"571 refused"}, 1, 571, 0, 0, 0, "refused"},
		{{"452 5.1.1 class differs"}, 1, 452, 0, 0, 0, "5.1.1 class differs"},
		{{"250 a\x01"
		  "b\tc\x7F"},
			1, 250, 0, 0, 0, "a?b c?"},
		{{"250-a", "251 b"}, -EBADMSG, 0, 0, 0, 0, NULL},
		{{"150 x"}, -EBADMSG, 0, 0, 0, 0, NULL},
		{{"650 x"}, -EBADMSG, 0, 0, 0, 0, NULL},
		{{"25"}, -EBADMSG, 0, 0, 0, 0, NULL},
		{{""}, -EBADMSG, 0, 0, 0, 0, NULL},
		{{"2x0 a"}, -EBADMSG, 0, 0, 0, 0, NULL},
		{{"250x"}, -EBADMSG, 0, 0, 0, 0, NULL},
		{{"2500 x"}, -EBADMSG, 0, 0, 0, 0, NULL},
		{{"HTTP/1.1 200 OK"}, -EBADMSG, 0, 0, 0, 0, NULL},
		{{" 250 x"}, -EBADMSG, 0, 0, 0, 0, NULL},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const char *label = table[i].lines[0];
		struct reply r;
		int got = 0;
		reply_init(&r);
		for (size_t k = 0; k < 4 && table[i].lines[k]; k++) {
			check_number(label, "before", got, 0);
			got = reply_feed_line(&r, span_str(table[i].lines[k]));
		}
		check_number(label, "result", got, table[i].last);
		check_number(label, "code", r.code, table[i].code);
		if (got >= 0) {
			check_number(label, "class", r.enhanced.class, table[i].class);
			check_number(label, "subject", r.enhanced.subject, table[i].subject);
			check_number(label, "detail", r.enhanced.detail, table[i].detail);
			check_text(label, buf_span(&r.text), table[i].text);
		}
		reply_done(&r);
	}
}

static void reply_feed_line__bounds(void **state)
{
	static char line[REPLY_LINE_MAX + 1];
	struct reply r;
	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "250-", 4);
	reply_init(&r);
	assert_int_equal(reply_feed_line(&r, span_make(line, sizeof(line))), -EBADMSG);
	for (unsigned i = 0; i < REPLY_LINES_MAX; i++)
		assert_int_equal(reply_feed_line(&r, span_make(line, REPLY_LINE_MAX)), 0);
	assert_int_equal(r.text.len, REPLY_TEXT_KEEP);
	assert_int_equal(r.text.error, 0);
	assert_int_equal(reply_feed_line(&r, span_make(line, 20)), -EBADMSG);
	reply_done(&r);
}

static void enhanced_code_parse__table(void **state)
{
	static const struct {
		const char *text;
		uint16_t code;
		size_t used;
		unsigned subject, detail;
	} table[] = {
		{"2.1.0 ok", 250, 5, 1, 0},
		{"2.1.0", 250, 5, 1, 0},
		{"5.7.509 x", 550, 7, 7, 509},
		{"4.2.1", 250, 0, 0, 0},
		{"3.1.1", 354, 0, 0, 0},
		{"5.1", 550, 0, 0, 0},
		{"5.1.", 550, 0, 0, 0},
		{"5..1", 550, 0, 0, 0},
		{"5.1.1x", 550, 0, 0, 0},
		{"5.1234.1", 550, 0, 0, 0},
		{"5.1.1234", 550, 0, 0, 0},
		{"5.1.1.1", 550, 0, 0, 0},
		{"", 550, 0, 0, 0},
		{"5,1,1", 550, 0, 0, 0},
		{"\x05.1.1", 550, 0, 0, 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct enhanced_code c = {0};
		size_t used = enhanced_code_parse(span_str(table[i].text), table[i].code, &c);
		check_number(table[i].text, "used", (long long)used, (long long)table[i].used);
		check_number(table[i].text, "subject", c.subject, table[i].subject);
		check_number(table[i].text, "detail", c.detail, table[i].detail);
	}
}

static void reply_format__table(void **state)
{
	static const struct {
		uint16_t code;
		const char *enhanced, *text, *want;
	} table[] = {
		{250, "2.1.0", "ok", "250 2.1.0 ok\r\n"},
		{220, "", "mx ESMTP", "220 mx ESMTP\r\n"},
		{250, "", "", "250 \r\n"},
		{250, "2.0.0", "", "250 2.0.0\r\n"},
		{250, "", "mx\nSIZE\nHELP", "250-mx\r\n250-SIZE\r\n250 HELP\r\n"},
		{550, "5.7.1", "a\nb", "550-5.7.1 a\r\n550 5.7.1 b\r\n"},
		{250, "", "a\n", "250 a\r\n"},
		{250, "", "a\n\nb", "250-a\r\n250-\r\n250 b\r\n"},
		{550, "5.0.0", "a\rb\x01\xC3\xA4\tc", "550 5.0.0 a?b???\tc\r\n"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf out = BUF_INIT(4096);
		reply_format(&out, table[i].code, table[i].enhanced, span_str(table[i].text));
		check_text(table[i].text, buf_span(&out), table[i].want);
		buf_done(&out);
	}
}

static void reply_format__long_line_goes_on(void **state)
{
	static char text[1200];
	struct buf out = BUF_INIT(4096);
	(void)state;
	memset(text, 'x', sizeof(text));
	reply_format(&out, 550, "5.1.1", span_make(text, sizeof(text)));
	struct span rest = buf_span(&out);
	struct reply r;
	reply_init(&r);
	int done = 0;
	while (rest.len > 0) {
		size_t lf = span_index(rest, '\n');
		assert_true(lf < 512);
		assert_int_equal(done, 0);
		done = reply_feed_line(&r, span_head(rest, lf - 1));
		rest = span_from(rest, lf + 1);
	}
	assert_int_equal(done, 1);
	assert_int_equal(r.code, 550);
	assert_int_equal(r.lines, 3);
	reply_done(&r);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reply_feed_line__table),
		cmocka_unit_test(reply_feed_line__bounds),
		cmocka_unit_test(enhanced_code_parse__table),
		cmocka_unit_test(reply_format__table),
		cmocka_unit_test(reply_format__long_line_goes_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
