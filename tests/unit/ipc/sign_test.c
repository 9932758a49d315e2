/* Twin of src/ipc/sign.c: round trips, and every truncation refused. */
#include "ipc/sign.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void sign_request__round_trip_and_truncations(void **state)
{
	struct buf b = BUF_INIT(4096);
	struct sign_request r = {.token = 7,
				    .ask = {.padding = SIGN_RSA_PSS,
					    .digest_name = SIGN_SHA384,
					    .digest = SPAN_LIT("0123456789")}},
			    back;
	(void)state;
	for (size_t i = 0; i < KEY_ID_OCTETS; i++)
		r.ask.key_id[i] = (uint8_t)i;
	sign_request_encode(&r, &b);
	assert_int_equal(b.error, 0);
	for (size_t n = 0; n <= b.len; n++) {
		char *copy = malloc(n ? n : 1);
		memcpy(copy, b.ptr, n);
		int got = sign_request_decode(span_make(copy, n), &back);
		if (got != (n == b.len ? 0 : -EBADMSG))
			fail_msg("%zu octets: got %d", n, got);
		free(copy);
	}
	assert_int_equal(sign_request_decode(buf_span(&b), &back), 0);
	assert_int_equal(back.token, 7);
	assert_memory_equal(back.ask.key_id, r.ask.key_id, KEY_ID_OCTETS);
	assert_int_equal(back.ask.padding, SIGN_RSA_PSS);
	assert_int_equal(back.ask.digest_name, SIGN_SHA384);
	assert_true(span_equal(back.ask.digest, r.ask.digest));
	buf_done(&b);
}

static void sign_request_decode__values_out_of_range(void **state)
{
	static const struct {
		unsigned padding, digest;
		size_t len;
	} table[] = {
		{0, 3, 32}, {4, 3, 32}, {1, 0, 32}, {1, 6, 32}, {1, 3, SIGN_DIGEST_OCTETS + 1}};
	static const char octets[SIGN_DIGEST_OCTETS + 1];
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf b = BUF_INIT(4096);
		struct sign_request back,
			r = {.ask = {.padding = (enum sign_padding)table[i].padding,
				     .digest_name = (enum sign_digest)table[i].digest,
				     .digest = span_make(octets, table[i].len)}};
		sign_request_encode(&r, &b);
		int got = sign_request_decode(buf_span(&b), &back);
		if (got != -EBADMSG)
			fail_msg("%zu: want %d got %d", i, -EBADMSG, got);
		buf_done(&b);
	}
}

static void sign_reply__round_trip_and_truncations(void **state)
{
	struct buf b = BUF_INIT(4096);
	struct sign_reply r = {9, SIGN_OK, SPAN_LIT("signature")}, back;
	(void)state;
	sign_reply_encode(&r, &b);
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(sign_reply_decode(span_head(buf_span(&b), n), &back), -EBADMSG);
	assert_int_equal(sign_reply_decode(buf_span(&b), &back), 0);
	assert_int_equal(back.token, 9);
	assert_true(span_equal(back.signature, r.signature));
	b.ptr[8] = 99; /* the status */
	assert_int_equal(sign_reply_decode(buf_span(&b), &back), -EBADMSG);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sign_request__round_trip_and_truncations),
		cmocka_unit_test(sign_request_decode__values_out_of_range),
		cmocka_unit_test(sign_reply__round_trip_and_truncations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
