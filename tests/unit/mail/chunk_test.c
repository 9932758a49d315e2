/* src/mail/chunk.c: RFC 3030 2 and 3, RFC 5321 2.3.8, whole and cut anywhere. */
#include "mail/chunk.h"
#include "check.h"

struct chunk_row {
	const char *in;
	bool lenient, binary;
	const char *out;
	bool bare, high;
	uint32_t longest;
	size_t len; /* of in, where it holds NUL; 0: its string length */
};
static const struct chunk_row table[] = {
	{"", false, false, "", false, false, 0, 0},
	{"a\r\nbcd\r\n", false, false, "a\r\nbcd\r\n", false, false, 3, 0},
	{"open end", false, false, "open end", false, false, 8, 0},
	{"a\nb\r\n", false, false, "a\nb\r\n", true, false, 1, 0},
	{"a\rb\r\n", false, false, "a\rb\r\n", true, false, 3, 0},
	{"\r\r\n", false, false, "\r\r\n", true, false, 0, 0},
	{"\n\r\n", false, false, "\n\r\n", true, false, 0, 0},
	{"a\r", false, false, "a\r", true, false, 1, 0},
	{"..\r\n.\r\n", false, false, "..\r\n.\r\n", false, false, 2, 0},
	{"a\nb\n", true, false, "a\r\nb\r\n", true, false, 1, 0},
	{"a\r\nb\n", true, false, "a\r\nb\r\n", true, false, 1, 0},
	{"a\rb", true, false, "a\rb", true, false, 3, 0},
	{"a\nb\rc", false, true, "a\nb\rc", false, false, 0, 0},
	{"\xC3\xA4", false, false, "\xC3\xA4", false, true, 2, 0},
	{"a\0b\r\n", false, false, "a", false, false, 3, 5},
};

static void decode(const struct chunk_row *row, struct span in, size_t step)
{
	struct buf out = BUF_INIT(1024);
	struct chunk_decoder d;

	chunk_decoder_init(&d, row->lenient, row->binary);
	for (struct span rest = in; rest.len > 0; rest = span_from(rest, step))
		chunk_decode(&d, span_head(rest, step), &out);
	chunk_decode_end(&d);
	check_octets(row->in, buf_span(&out), row->len ? in : span_str(row->out));
	check_number(row->in, "bare", d.bare_newline, row->bare);
	check_number(row->in, "8bit", d.has_8bit, row->high);
	check_number(row->in, "longest line", d.longest_line, row->longest);
	buf_done(&out);
}

static void chunk_decode__table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct span in = span_str(table[i].in);
		if (table[i].len > 0)
			in = span_make(table[i].in, table[i].len);
		for (size_t step = 1; step <= in.len + 1; step++)
			decode(&table[i], in, step);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(chunk_decode__table)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
