/* Sizes as they are asked for, and a whole message as the sink's intake sees it, in any pieces. */
#include "../base/test.h"
#include "bench/intake.h"
#include "bench/payload.h"

static void payload_sizes_parse__rows(void **state)
{
	const struct {
		const char *text;
		int want;
		uint64_t max;
	} rows[] = {
		{"4K", 0, 4096},
		{"1K-64K", 0, 65536},
		{"4K:80,64K-128K:15,1M:5", 0, 1 << 20},
		{"", -EINVAL, 0},
		{"4K:0", -EINVAL, 0},
		{"64K-1K", -ERANGE, 0},
		{"0", -ERANGE, 0},
		{"1G", -ERANGE, 0},
		{"4K:", -EINVAL, 0},
		{"x", -EINVAL, 0},
		{"4K:1,,4K:1", -EINVAL, 0},
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct payload_sizes s = {0};
		int r = payload_sizes_parse(span_str(rows[i].text), &s);
		want_int(rows[i].text, rows[i].want, r);
		if (r >= 0)
			want_u64(rows[i].text, rows[i].max, payload_size_max(&s));
	}
}

static void payload_size_pick__by_weight_and_within_bounds(void **state)
{
	struct payload_sizes s;
	uint64_t x = 88172645463325252u, large = 0;
	(void)state;

	want_int("parse", 0, payload_sizes_parse(SPAN_LIT("1K-2K:90,64K:10"), &s));
	for (unsigned i = 0; i < 10000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		uint64_t size = payload_size_pick(&s, x);
		if (size == 65536)
			large++;
		else if (size < 1024 || size > 2048)
			fail_msg("size %" PRIu64, size);
	}
	if (large < 800 || large > 1200)
		fail_msg("want about 1000 large ones of 10000, got %" PRIu64, large);
}

static struct buf whole_message(uint64_t size, struct token *ret_token)
{
	struct payload_pool *pool = NULL;
	struct buf out = BUF_INIT(1 << 20);

	want_int("pool", 0, payload_pool_new(size, &pool));
	*ret_token = (struct token){.run = 5, .n = 3, .of = 9, .rcpts = 1};
	struct span body = payload_body(pool, size, 280, &ret_token->crc);
	ret_token->octets = body.len;
	payload_head(ret_token, SPAN_LIT("a@b"), SPAN_LIT("c@d"), "Sun, 22 Nov 2026 03:26:43 +0000",
		&out);
	buf_put(&out, body);
	payload_pool_free(pool);
	return out;
}

static void payload_body__size_is_about_what_was_asked(void **state)
{
	const uint64_t sizes[] = {1, 500, 4096, 65536, 300000};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct token t;
		struct buf m = whole_message(sizes[i], &t);
		uint64_t want = MAX(sizes[i], UINT64_C(330));
		if (m.len + 120 < want || m.len > want + 120)
			fail_msg("want about %" PRIu64 ", got %zu", want, m.len);
		buf_done(&m);
	}
}

static void intake_end__whole_in_any_pieces_and_never_when_changed(void **state)
{
	const size_t pieces[] = {1, 2, 3, 7, 64, 1000, 1 << 20};
	struct token sent, got;
	struct buf m = whole_message(3000, &sent);
	struct intake in;
	(void)state;

	intake_init(&in);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		intake_reset(&in);
		/* What a server puts before it changes nothing. */
		intake_feed(&in, SPAN_LIT("Received: from a\r\n\tby b; X-Bench: no\r\n"));
		for (size_t at = 0; at < m.len; at += pieces[i])
			intake_feed(&in, span_head(span_from(buf_span(&m), at), pieces[i]));
		want_int("whole", 1, intake_end(&in, &got));
		want_u64("n", sent.n, got.n);
	}
	intake_reset(&in);
	intake_feed(&in, span_head(buf_span(&m), m.len - 1));
	want_int("an octet less", 0, intake_end(&in, &got));
	intake_feed(&in, SPAN_LIT("x"));
	want_int("another octet", 0, intake_end(&in, &got));
	intake_reset(&in);
	intake_feed(&in, SPAN_LIT("Subject: no token\r\n\r\nX-Bench: run=1\r\n"));
	want_int("no token", -EBADMSG, intake_end(&in, &got));
	intake_done(&in);
	buf_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(payload_sizes_parse__rows),
		cmocka_unit_test(payload_size_pick__by_weight_and_within_bounds),
		cmocka_unit_test(payload_body__size_is_about_what_was_asked),
		cmocka_unit_test(intake_end__whole_in_any_pieces_and_never_when_changed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
