/* Escaping: each kind of octet in both styles, UTF-8's edges, and the bound. */
#include "test.h"
#include "base/escape.h"

#include <jansson.h>

static const struct {
	struct span in, json, value;
} rows[] = {
	{SPAN_LIT("plain"), SPAN_LIT("plain"), SPAN_LIT("plain")},
	{SPAN_LIT("<a@b.example>"), SPAN_LIT("<a@b.example>"), SPAN_LIT("<a@b.example>")},
	{SPAN_LIT(""), SPAN_LIT(""), SPAN_LIT("\"\"")},
	{SPAN_LIT("a b"), SPAN_LIT("a b"), SPAN_LIT("\"a b\"")},
	{SPAN_LIT("a=b"), SPAN_LIT("a=b"), SPAN_LIT("\"a=b\"")},
	{SPAN_LIT("\"\\/"), SPAN_LIT("\\\"\\\\/"), SPAN_LIT("\"\\\"\\\\/\"")},
	{SPAN_LIT("\r\n\t"), SPAN_LIT("\\r\\n\\t"), SPAN_LIT("\"\\r\\n\\t\"")},
	{SPAN_LIT("\0\x1b\x7f"), SPAN_LIT("\\u0000\\u001b\\u007f"),
		SPAN_LIT("\"\\x00\\x1b\\x7f\"")},
	/* UTF-8 of 2, 3 and 4 octets is kept. */
	{SPAN_LIT("\xc3\xa9"), SPAN_LIT("\xc3\xa9"), SPAN_LIT("\xc3\xa9")},
	{SPAN_LIT("\xe4\xb8\xad"), SPAN_LIT("\xe4\xb8\xad"), SPAN_LIT("\xe4\xb8\xad")},
	{SPAN_LIT("\xf0\x9f\x93\xa7"), SPAN_LIT("\xf0\x9f\x93\xa7"), SPAN_LIT("\xf0\x9f\x93\xa7")},
	{SPAN_LIT("\xf4\x8f\xbf\xbf"), SPAN_LIT("\xf4\x8f\xbf\xbf"), SPAN_LIT("\xf4\x8f\xbf\xbf")},
	/* Hidden characters: C1, right-to-left override, zero-width space, byte order mark. */
	{SPAN_LIT("\xc2\x85"), SPAN_LIT("\\u0085"), SPAN_LIT("\"\\xc2\\x85\"")},
	{SPAN_LIT("\xe2\x80\xae"), SPAN_LIT("\\u202e"), SPAN_LIT("\"\\xe2\\x80\\xae\"")},
	{SPAN_LIT("\xe2\x80\x8b"), SPAN_LIT("\\u200b"), SPAN_LIT("\"\\xe2\\x80\\x8b\"")},
	{SPAN_LIT("\xef\xbb\xbf"), SPAN_LIT("\\ufeff"), SPAN_LIT("\"\\xef\\xbb\\xbf\"")},
	/* Not UTF-8: a lone octet, a lone continuation, overlong forms, a surrogate, above
	 * U+10FFFF, cut at the end. */
	{SPAN_LIT("\xe9x"), SPAN_LIT("\\u00e9x"), SPAN_LIT("\"\\xe9x\"")},
	{SPAN_LIT("\x80"), SPAN_LIT("\\u0080"), SPAN_LIT("\"\\x80\"")},
	{SPAN_LIT("\xc0\xaf"), SPAN_LIT("\\u00c0\\u00af"), SPAN_LIT("\"\\xc0\\xaf\"")},
	{SPAN_LIT("\xe0\x80\xaf"), SPAN_LIT("\\u00e0\\u0080\\u00af"),
		SPAN_LIT("\"\\xe0\\x80\\xaf\"")},
	{SPAN_LIT("\xed\xa0\x80"), SPAN_LIT("\\u00ed\\u00a0\\u0080"),
		SPAN_LIT("\"\\xed\\xa0\\x80\"")},
	{SPAN_LIT("\xf4\x90\x80\x80"), SPAN_LIT("\\u00f4\\u0090\\u0080\\u0080"),
		SPAN_LIT("\"\\xf4\\x90\\x80\\x80\"")},
	{SPAN_LIT("\xff"), SPAN_LIT("\\u00ff"), SPAN_LIT("\"\\xff\"")},
	{SPAN_LIT("\xe4\xb8"), SPAN_LIT("\\u00e4\\u00b8"), SPAN_LIT("\"\\xe4\\xb8\"")},
};

static void escape__each_kind_of_octet(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(buf_done) struct buf json = BUF_INIT(100);
		CLEANUP(buf_done) struct buf value = BUF_INIT(100);
		assert_true(escape_json(&json, rows[i].in, 100));
		assert_true(escape_value(&value, rows[i].in, 100));
		want_span(rows[i].json.ptr, rows[i].json, buf_span(&json));
		want_span(rows[i].value.ptr, rows[i].value, buf_span(&value));
	}
}

static void escape__bound_cuts_between_pieces(void **state)
{
	static const struct {
		struct span in, json, value;
	} cut[] = {
		{SPAN_LIT("0123456789abcdefg"), SPAN_LIT("0123456789abc..."),
			SPAN_LIT("0123456789abc...")},
		{SPAN_LIT("0 23456789abcdefg"), SPAN_LIT("0 23456789abc..."),
			SPAN_LIT("\"0 23456789a...\"")},
		{SPAN_LIT("\1\1\1\1\1\1"), SPAN_LIT("\\u0001\\u0001..."),
			SPAN_LIT("\"\\x01\\x01...\"")},
		{SPAN_LIT("0123456789a\xe4\xb8\xad"
			  "bc"),
			SPAN_LIT("0123456789a..."), SPAN_LIT("0123456789a...")},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cut); i++) {
		CLEANUP(buf_done) struct buf json = BUF_INIT(16);
		CLEANUP(buf_done) struct buf value = BUF_INIT(16);
		assert_false(escape_json(&json, cut[i].in, 16));
		assert_false(escape_value(&value, cut[i].in, 16));
		want_span(cut[i].in.ptr, cut[i].json, buf_span(&json));
		want_span(cut[i].in.ptr, cut[i].value, buf_span(&value));
		want_int("never beyond", 0, json.error | value.error);
	}
}

static void escape_json__any_octets_parse(void **state)
{
	uint32_t random = 7;
	(void)state;
	for (int round = 0; round < 3000; round++) {
		char octets[40];
		CLEANUP(buf_done) struct buf b = BUF_INIT(1000);
		for (size_t i = 0; i < sizeof(octets); i++) {
			random = random * 1664525 + 1013904223;
			octets[i] = (char)(random >> 16);
		}
		buf_char(&b, '"');
		(void)escape_json(&b, span_make(octets, sizeof(octets)), 16 + (size_t)round % 300);
		buf_char(&b, '"');
		want_int("bounded", 0, b.error);
		json_error_t error;
		json_t *j = json_loadb(b.ptr, b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
		if (!j)
			fail_msg("%s: %.*s", error.text, SPAN_FMT(buf_span(&b)));
		json_decref(j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escape__each_kind_of_octet),
		cmocka_unit_test(escape__bound_cuts_between_pieces),
		cmocka_unit_test(escape_json__any_octets_parse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
