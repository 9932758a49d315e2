/* The byte encoding: exact octets, the way back, and every kind of truncation. */
#include "test.h"
#include "base/wire.h"

static void wire_put__exact_octets(void **state)
{
	(void)state;
	CLEANUP(buf_done) struct buf b = BUF_INIT(200);
	wire_put_u8(&b, 0xfe);
	wire_put_u16(&b, 0x1234);
	wire_put_u32(&b, 0x89abcdef);
	wire_put_u64(&b, UINT64_C(0x0102030405060708));
	wire_put_span(&b, SPAN_LIT("h\0i"));
	wire_put_fact(&b, 7, SPAN_LIT("x"));
	wire_put_fact_u64(&b, 8, 0x1ff);
	want_int("error", 0, b.error);
	want_span("octets",
		SPAN_LIT("\xfe\x34\x12\xef\xcd\xab\x89\x08\x07\x06\x05\x04\x03\x02\x01"
			 "\x03\0\0\0h\0i"
			 "\x07\0\x01\0\0\0x"
			 "\x08\0\x02\0\0\0\xff\x01"),
		buf_span(&b));

	struct wire w = wire_reader(buf_span(&b));
	want_u64("u8", 0xfe, wire_get_u8(&w));
	want_u64("u16", 0x1234, wire_get_u16(&w));
	want_u64("u32", 0x89abcdef, wire_get_u32(&w));
	want_u64("u64", UINT64_C(0x0102030405060708), wire_get_u64(&w));
	want_span("span", SPAN_LIT("h\0i"), wire_get_span(&w));
	uint16_t tag = 0;
	struct span value = SPAN_NULL;
	assert_true(wire_get_fact(&w, &tag, &value));
	want_u64("tag", 7, tag);
	want_span("value", SPAN_LIT("x"), value);
	assert_true(wire_get_fact(&w, &tag, &value));
	want_u64("number", 0x1ff, wire_fact_u64(value));
	assert_false(wire_get_fact(&w, &tag, &value));
	want_int("clean end", 0, w.error);
	want_u64("nothing left", 0, w.rest.len);
}

static void wire_fact_u64__every_width(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 64; bit++) {
		CLEANUP(buf_done) struct buf b = BUF_INIT(20);
		uint64_t v = UINT64_C(1) << bit;
		wire_put_fact_u64(&b, 1, v);
		want_u64("shortest form", 6 + bit / 8 + 1, b.len);
		struct wire w = wire_reader(buf_span(&b));
		uint16_t tag;
		struct span value;
		assert_true(wire_get_fact(&w, &tag, &value));
		want_u64("value", v, wire_fact_u64(value));
	}
	want_u64("no octets", 0, wire_fact_u64(SPAN_NULL));
	want_u64("9 octets", 0, wire_fact_u64(SPAN_LIT("\1\1\1\1\1\1\1\1\1")));
}

static void wire_get__truncated_anywhere(void **state)
{
	(void)state;
	CLEANUP(buf_done) struct buf b = BUF_INIT(200);
	wire_put_u8(&b, 1);
	wire_put_u16(&b, 1);
	wire_put_u32(&b, 1);
	wire_put_u64(&b, 1);
	wire_put_span(&b, SPAN_LIT("span"));
	wire_put_fact(&b, 1, SPAN_LIT("fact"));
	for (size_t len = 0; len < b.len; len++) {
		struct wire w = wire_reader(span_head(buf_span(&b), len));
		uint16_t tag;
		struct span value;
		(void)wire_get_u8(&w);
		(void)wire_get_u16(&w);
		(void)wire_get_u32(&w);
		(void)wire_get_u64(&w);
		(void)wire_get_span(&w);
		bool fact = wire_get_fact(&w, &tag, &value);
		assert_false(fact);
		/* 23 octets are everything but the fact, which may be absent. */
		want_int("error", len == 23 ? 0 : -EBADMSG, w.error);
		want_u64("empty after an error", 0, w.rest.len);
	}
}

static void wire_get__error_sticks(void **state)
{
	static const struct {
		const char *row;
		struct span in;
	} rows[] = {
		{"length beyond the end", SPAN_LIT("\x05\0\0\0abcd")},
		{"length of 4 GiB", SPAN_LIT("\xff\xff\xff\xff"
					     "abcd")},
		{"half a length", SPAN_LIT("\x01\0")},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wire w = wire_reader(rows[i].in);
		want_span(rows[i].row, SPAN_NULL, wire_get_span(&w));
		want_int(rows[i].row, -EBADMSG, w.error);
		want_u64(rows[i].row, 0, wire_get_u8(&w));
		want_u64(rows[i].row, 0, wire_get_u64(&w));
		want_int(rows[i].row, -EBADMSG, w.error);
	}
}

static void wire_put_span__too_long(void **state)
{
	(void)state;
	CLEANUP(buf_done) struct buf b = BUF_INIT(SIZE_MAX);
	wire_put_span(&b, span_make("", (size_t)UINT32_MAX + 1));
	want_int("error", -EMSGSIZE, b.error);
	want_u64("nothing written", 0, b.len);
}

static void wire_close_fact__same_octets_as_put(void **state)
{
	(void)state;
	CLEANUP(buf_done) struct buf want = BUF_INIT(100), got = BUF_INIT(100);
	wire_put_fact(&want, 9, SPAN_LIT("\1\0\2\0\0\0ab"));
	wire_put_fact(&want, 9, SPAN_NULL);
	size_t at = wire_open_fact(&got, 9);
	wire_put_fact(&got, 1, SPAN_LIT("ab"));
	wire_close_fact(&got, at);
	wire_close_fact(&got, wire_open_fact(&got, 9));
	want_span("octets", buf_span(&want), buf_span(&got));
}

static void wire_close_fact__after_an_error(void **state)
{
	(void)state;
	CLEANUP(buf_done) struct buf b = BUF_INIT(8);
	size_t at = wire_open_fact(&b, 9);
	wire_put_u64(&b, 1);
	wire_close_fact(&b, at);
	want_int("error", -EMSGSIZE, b.error);
	want_u64("only the head was written", 6, b.len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wire_put__exact_octets),
		cmocka_unit_test(wire_fact_u64__every_width),
		cmocka_unit_test(wire_get__truncated_anywhere),
		cmocka_unit_test(wire_get__error_sticks),
		cmocka_unit_test(wire_put_span__too_long),
		cmocka_unit_test(wire_close_fact__same_octets_as_put),
		cmocka_unit_test(wire_close_fact__after_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
