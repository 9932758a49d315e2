/* src/mail/dot.c: RFC 5321 4.5.2 and the only end of data. The matrix feeds every string of up to
 * MATRIX_LENGTH octets of {CR, LF, NUL, dot, x}, whole and octet by octet, in both modes, at the
 * start of the data and within it, and holds the result against the reference. */
#include "mail/dot.h"
#include <stdlib.h>
#include "check.h"
#include "dot_reference.h"

#define MATRIX_LENGTH 6u

/* Feeds slices of `step` octets; returns octets used, with *ret_end. */
static size_t feed(
	struct dot_decoder *d, struct span in, size_t step, struct buf *out, bool *ret_end)
{
	size_t used = 0;
	*ret_end = false;
	while (used < in.len && !*ret_end)
		used += dot_decode(d, span_head(span_from(in, used), step), out, ret_end);
	return used;
}

static void check_decode(struct span in, bool lenient, size_t step)
{
	struct buf got = BUF_INIT(65536), want = BUF_INIT(65536), label = BUF_INIT(65536);
	struct dot_decoder d;
	bool end;

	buf_printf(&label, "%s, %zu a slice, ", lenient ? "lenient" : "strict", step);
	buf_escaped(&label, in, 64);
	buf_char(&label, '\0');
	dot_decoder_init(&d, lenient);
	size_t used = feed(&d, in, step, &got, &end);
	size_t want_used = reference_end(in);
	check_number(label.ptr, "end", end, want_used <= in.len);
	check_number(label.ptr, "used", (long long)used, (long long)MIN(want_used, in.len));
	reference_decode(in, lenient, &want);
	check_octets(label.ptr, buf_span(&got), buf_span(&want));
	if (end) {
		struct span body = span_head(in, used);
		check_number(label.ptr, "bare", d.bare_newline, !reference_is_proper(body));
	}
	buf_done(&got);
	buf_done(&want);
	buf_done(&label);
}

static void dot_decode__matrix(void **state)
{
	static const char alphabet[] = {'\r', '\n', '\0', '.', 'x'};
	static const char *const before[] = {"", "a\r\n", "a", "a\n"};
	unsigned variants = 0, ends = 0;
	(void)state;
	for (size_t len = 1; len <= MATRIX_LENGTH; len++) {
		size_t count = 1;
		for (size_t k = 0; k < len; k++)
			count *= ARRAY_LEN(alphabet);
		for (size_t n = 0; n < count; n++) {
			char in[MATRIX_LENGTH + 4];
			size_t start = strlen(before[n % 4]), value = n;
			memcpy(in, before[n % 4], start);
			for (size_t k = 0; k < len; k++, value /= ARRAY_LEN(alphabet))
				in[start + k] = alphabet[value % ARRAY_LEN(alphabet)];
			struct span all = {in, start + len};
			for (unsigned mode = 0; mode < 4; mode++)
				check_decode(all, mode & 1, mode & 2 ? 1 : all.len);
			variants++;
			ends += reference_end(all) <= all.len;
		}
	}
	print_message("%u variants, %u of them with CRLF.CRLF\n", variants, ends);
	assert_true(variants >= 200 && ends > 0 && ends < variants / 10);
}

/* <line end> . <line end> of every kind, then a proper end: only the proper one is taken. */
static void dot_decode__smuggling(void **state)
{
	static const char *const ends[] = {"\r\n", "\n", "\r", "\n\r", "\r\r\n", "\r\n\n", "\n\n",
		"\r\r", "\r\0\n", "\0\r\n", "\r\n\0", "\0", ".", "", " \r\n"};
	static const size_t lens[] = {2, 1, 1, 2, 3, 3, 2, 2, 3, 3, 3, 1, 1, 0, 3};
	unsigned smuggled = 0, variants = 0;
	(void)state;
	for (size_t a = 0; a < ARRAY_LEN(ends); a++) {
		for (size_t b = 0; b < ARRAY_LEN(ends); b++) {
			struct buf in = BUF_INIT(4096);
			buf_str(&in, "Subject: x\r\n\r\nfirst");
			buf_append(&in, ends[a], lens[a]);
			buf_char(&in, '.');
			buf_append(&in, ends[b], lens[b]);
			buf_str(&in, "MAIL FROM:<evil@x>\r\nsecond\r\n.\r\nQUIT\r\n");
			for (unsigned mode = 0; mode < 4; mode++)
				check_decode(buf_span(&in), mode & 1, mode & 2 ? 1 : in.len);
			size_t proper_end = in.len - strlen("QUIT\r\n");
			smuggled += reference_end(buf_span(&in)) != proper_end;
			variants++;
			buf_done(&in);
		}
	}
	/* Ends that contain CRLF where it counts: {CRLF, CR CRLF, space CRLF, NUL CRLF} x {CRLF,
	 * CRLF LF, CRLF NUL}, which are genuine ends behind stray octets. */
	assert_int_equal(smuggled, 4 * 3);
	assert_true(variants >= 200);
}

static void dot_decode__table(void **state)
{
	static const struct {
		const char *in, *strict, *lenient; /* NULL: as strict */
		bool bare;
		unsigned longest;
	} table[] = {
		{".\r\n", "", NULL, false, 0},
		{"a\r\n.\r\n", "a\r\n", NULL, false, 1},
		{"..\r\n.\r\n", ".\r\n", NULL, false, 1},
		{"...\r\n..a\r\n.b\r\n.\r\n", "..\r\n.a\r\nb\r\n", NULL, false, 2},
		{"a\nb\r\n.\r\n", "a\nb\r\n", "a\r\nb\r\n", true, 3},
		{"a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", "a\r\n.\r\nb\r\n", true, 3},
		{"a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", "a\r\n.\r\nb\r\n", true, 5},
		{"a\n..b\r\n.\r\n", "a\n..b\r\n", "a\r\n.b\r\n", true, 5},
		{"a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", "a\r\n.\r\nb\r\n", true, 2},
		{"a\rb\r\n.\r\n", "a\rb\r\n", NULL, true, 3},
		{"a\r\r\n.\r\n", "a\r\r\n", NULL, true, 2},
		{"a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", NULL, true, 2},
		{"a\r\n.\r\r\n.\r\n", "a\r\n\r\r\n", NULL, true, 1},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		for (int lenient = 0; lenient < 2; lenient++) {
			const char *want =
				lenient && table[i].lenient ? table[i].lenient : table[i].strict;
			struct buf out = BUF_INIT(4096);
			struct dot_decoder d;
			bool end;
			dot_decoder_init(&d, lenient);
			size_t used = dot_decode(&d, span_str(table[i].in), &out, &end);
			check_number(table[i].in, "end", end, true);
			check_number(table[i].in, "used", (long long)used,
				(long long)strlen(table[i].in));
			check_text(table[i].in, buf_span(&out), want);
			check_number(table[i].in, "bare", d.bare_newline, table[i].bare);
			if (!lenient)
				check_number(
					table[i].in, "longest", d.longest_line, table[i].longest);
			buf_done(&out);
		}
	}
}

static void dot_decode__what_follows_is_left(void **state)
{
	struct span in = SPAN_LIT("a\r\n.\r\nQUIT \0\xFF\r\n");
	struct buf out = BUF_INIT(64);
	struct dot_decoder d;
	bool end;
	(void)state;
	dot_decoder_init(&d, false);
	assert_int_equal(dot_decode(&d, in, &out, &end), 6);
	assert_true(end);
	assert_false(d.has_8bit);
	buf_done(&out);
}

static void dot_decode__flags(void **state)
{
	(void)state;
	for (size_t at = 0; at < 80; at++) {
		for (int octet = 0; octet < 256; octet += 85) { /* 0, 85, 170, 255 */
			char text[80];
			struct buf out = BUF_INIT(256);
			struct dot_decoder d;
			bool end;
			memset(text, 'a', sizeof(text));
			text[at] = (char)octet;
			dot_decoder_init(&d, false);
			(void)dot_decode(&d, span_make(text, sizeof(text)), &out, &end);
			check_number("8bit", "at", d.has_8bit, octet >= 128);
			check_number("longest", "at", d.longest_line, 80);
			buf_done(&out);
		}
	}
}

static void check_encode(struct span in, size_t step)
{
	struct buf proper = BUF_INIT(65536), want = BUF_INIT(65536), got = BUF_INIT(65536);
	struct buf label = BUF_INIT(65536), back = BUF_INIT(65536);
	struct dot_encoder e;
	struct dot_decoder d;
	bool end;

	buf_escaped(&label, in, 64);
	buf_char(&label, '\0');
	reference_proper(in, &proper);
	reference_encode(buf_span(&proper), &want);
	dot_encoder_init(&e);
	for (size_t at = 0; at < in.len; at += step) {
		struct span slice = span_head(span_from(in, at), step);
		size_t before = got.len;
		struct dot_encoder passed = e;
		bool as_is = dot_encode_as_is(&passed, slice);
		dot_encode(&e, slice, &got);
		struct span added = span_from(buf_span(&got), before);
		if (as_is)
			check_octets(label.ptr, added, slice);
		if (as_is)
			check_number(label.ptr, "state", passed.state, e.state);
	}
	dot_encode_end(&e, &got);
	check_octets(label.ptr, buf_span(&got), buf_span(&want));
	dot_decoder_init(&d, false);
	check_number(label.ptr, "decoded", (long long)dot_decode(&d, buf_span(&got), &back, &end),
		(long long)got.len);
	check_number(label.ptr, "end", end, true);
	check_number(label.ptr, "bare", d.bare_newline, false);
	check_octets(label.ptr, buf_span(&back), buf_span(&proper));
	buf_done(&proper);
	buf_done(&want);
	buf_done(&got);
	buf_done(&label);
	buf_done(&back);
}

static void dot_encode_as_is__table(void **state)
{
	static const struct {
		const char *before, *in;
		bool as_is;
	} table[] = {
		{"", "", true},
		{"", "a\r\nb\r\n", true},
		{"", "a.\r\nb.c", true},
		{"", ".", false},
		{"a", ".", true},
		{"a\r\n", ".", false},
		{"a\r\n", "b", true},
		{"a", "\r\n.\r\n", false},
		{"a\r", "\nb", false},
		{"a", "\nb", false},
		{"a", "b\r", false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf out = BUF_INIT(64);
		struct dot_encoder e;
		dot_encoder_init(&e);
		dot_encode(&e, span_str(table[i].before), &out);
		check_number(table[i].in, "as it is", dot_encode_as_is(&e, span_str(table[i].in)),
			table[i].as_is);
		buf_done(&out);
	}
}

static void dot_encode__matrix(void **state)
{
	static const char alphabet[] = {'\r', '\n', '.', 'x'};
	(void)state;
	for (size_t len = 0; len <= MATRIX_LENGTH; len++) {
		for (size_t n = 0; n < (size_t)1 << (2 * len); n++) {
			char in[MATRIX_LENGTH];
			for (size_t k = 0; k < len; k++)
				in[k] = alphabet[n >> (2 * k) & 3];
			check_encode(span_make(in, len), 1);
			check_encode(span_make(in, len), 2);
			check_encode(span_make(in, len), MATRIX_LENGTH);
		}
	}
}

/* Many CRs and no LF (or the reverse) must not be searched again from each of them. */
static void dot_decode__only_breaks_is_linear(void **state)
{
	static const char octets[] = {'\r', '\n'};
	const size_t len = 1 << 22;
	char *ptr = malloc(len);
	(void)state;
	assert_non_null(ptr);
	for (size_t k = 0; k < 2; k++) {
		struct buf out = BUF_INIT(SIZE_MAX / 2), encoded = BUF_INIT(SIZE_MAX / 2);
		struct dot_decoder d;
		struct dot_encoder e;
		bool end;
		memset(ptr, octets[k], len);
		struct span all = {ptr, len};
		dot_decoder_init(&d, true);
		dot_encoder_init(&e);
		assert_int_equal(dot_decode(&d, all, &out, &end), all.len);
		dot_encode(&e, all, &encoded);
		assert_int_equal(out.error, 0);
		assert_int_equal(out.len, k == 0 ? len : 2 * len);
		assert_int_equal(encoded.len, k == 0 ? 2 * len - 1 : 2 * len);
		buf_done(&out);
		buf_done(&encoded);
	}
	free(ptr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dot_decode__matrix),
		cmocka_unit_test(dot_decode__smuggling),
		cmocka_unit_test(dot_decode__table),
		cmocka_unit_test(dot_decode__what_follows_is_left),
		cmocka_unit_test(dot_decode__flags),
		cmocka_unit_test(dot_encode_as_is__table),
		cmocka_unit_test(dot_encode__matrix),
		cmocka_unit_test(dot_decode__only_breaks_is_linear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
