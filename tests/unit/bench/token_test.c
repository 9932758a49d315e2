/* A token survives being folded anew, and nothing else is taken for one. */
#include "../base/test.h"
#include "bench/token.h"

static void token_parse__what_was_formatted(void **state)
{
	struct token t = {.run = UINT64_C(0x89abcdef01234567),
		.n = 12,
		.of = 1000,
		.rcpts = 3,
		.octets = 3900,
		.crc = 0x123abc,
		.at_usec = UINT64_C(1700000000000000)};
	struct token got = {0};
	struct buf out = BUF_INIT(1000);
	(void)state;

	token_format(&t, &out);
	want_int("no error", 0, out.error);
	struct span value = span_from(buf_span(&out), sizeof(TOKEN_FIELD) - 1);
	want_int("parse", 0, token_parse(value, &got));
	want_u64("run", t.run, got.run);
	want_u64("n", t.n, got.n);
	want_u64("of", t.of, got.of);
	want_u64("rcpts", t.rcpts, got.rcpts);
	want_u64("octets", t.octets, got.octets);
	want_u64("crc", t.crc, got.crc);
	want_u64("at", t.at_usec, got.at_usec);
	buf_done(&out);
}

static void token_parse__rows(void **state)
{
	const struct {
		const char *value;
		int want;
	} rows[] = {
		{"run=1 n=0 of=1 rcpts=1 octets=5 crc=ff at=9", 0},
		{"run=1\tn=0\r\n of=1 rcpts=1\r\n\toctets=5 crc=ff at=9\r\n", 0},
		{"", -EBADMSG},
		{"run=1", -EBADMSG},
		{"run=1 n=1 of=1 rcpts=1 octets=5 crc=ff at=9", -EBADMSG},
		{"run=1 n=0 of=1 rcpts=0 octets=5 crc=ff at=9", -EBADMSG},
		{"run=1 n=0 of=1 rcpts=100001 octets=5 crc=ff at=9", -EBADMSG},
		{"run=1 n=0 of=100000001 rcpts=1 octets=5 crc=ff at=9", -EBADMSG},
		{"run=1 n=0 of=1 rcpts=1 octets=5 crc=123456789 at=9", -EBADMSG},
		{"run=11111111111111111 n=0 of=1 rcpts=1 octets=5 crc=f at=9", -EBADMSG},
		{"run=g n=0 of=1 rcpts=1 octets=5 crc=f at=9", -EBADMSG},
		{"n=0 run=1 of=1 rcpts=1 octets=5 crc=f at=9", -EBADMSG},
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct token t;
		want_int(rows[i].value, rows[i].want, token_parse(span_str(rows[i].value), &t));
	}
}

static void token_recipient__rows(void **state)
{
	const struct {
		const char *address;
		uint64_t want;
	} rows[] = {{"bench-7@x.example", 7}, {"bench-7.12@x9.example", 12}, {"a@b1", 0}, {"", 0},
		{"7@x", 7}, {"u12x@x", 12}, {"u99999999999999999999@x", 0}};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		want_u64(rows[i].address, rows[i].want, token_recipient(span_str(rows[i].address)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(token_parse__what_was_formatted),
		cmocka_unit_test(token_parse__rows),
		cmocka_unit_test(token_recipient__rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
