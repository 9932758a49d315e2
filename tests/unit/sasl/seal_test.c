/* Twin of sasl/seal.c: what goes in comes out, and only with the right key, for the right login. */
#include "../base/test.h"
#include "base/base64.h"
#include "sasl/seal.h"

#include <stdio.h>

static const uint8_t key[SEAL_KEY_OCTETS] = "0123456789abcdef0123456789abcde";
static const uint8_t other_key[SEAL_KEY_OCTETS] = "0123456789abcdef0123456789abcdf";
#define LOGIN SPAN_LIT("tim@example.org")

static void seal__round_trips(void **state)
{
	static const size_t lengths[] = {1, 2, 61, 62, 63, 64, 126, 127, SEAL_SECRET_MAX};
	char secret[SEAL_SECRET_MAX];

	(void)state;
	memset(secret, 'x', sizeof(secret));
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct buf text = BUF_INIT(SEAL_TEXT_MAX), back = BUF_INIT(SEAL_SECRET_MAX);
		char row[32];
		(void)snprintf(row, sizeof(row), "%zu octets", lengths[i]);
		struct span s = span_make(secret, lengths[i]);
		want_int(row, 0, seal_make(key, LOGIN, s, &text));
		assert_true(seal_is_sealed(buf_span(&text)));
		assert_true(span_index(buf_span(&text), ':') == text.len);
		want_int(row, 0, seal_open(key, LOGIN, buf_span(&text), &back));
		want_span(row, s, buf_span(&back));
		buf_done(&text);
		buf_done(&back);
	}
}

static void seal_make__hides_the_length_and_repeats_nothing(void **state)
{
	struct buf a = BUF_INIT(SEAL_TEXT_MAX), b = BUF_INIT(SEAL_TEXT_MAX);

	(void)state;
	assert_int_equal(seal_make(key, LOGIN, SPAN_LIT("x"), &a), 0);
	assert_int_equal(seal_make(key, LOGIN, SPAN_LIT("a long password of many words"), &b), 0);
	assert_int_equal(a.len, b.len);
	buf_reset(&b);
	assert_int_equal(seal_make(key, LOGIN, SPAN_LIT("x"), &b), 0);
	assert_false(span_equal(buf_span(&a), buf_span(&b)));
	buf_done(&a);
	buf_done(&b);
}

static void seal_make__bounds(void **state)
{
	static const char octets[SEAL_SECRET_MAX + 1];
	struct buf text = BUF_INIT(SEAL_TEXT_MAX);

	(void)state;
	assert_int_equal(seal_make(key, LOGIN, SPAN_NULL, &text), -EINVAL);
	assert_int_equal(seal_make(key, LOGIN, span_make(octets, sizeof(octets)), &text), -EINVAL);
	assert_int_equal(text.len, 0);
}

static void seal_open__refuses(void **state)
{
	struct buf text = BUF_INIT(SEAL_TEXT_MAX), out = BUF_INIT(SEAL_SECRET_MAX);

	(void)state;
	assert_int_equal(seal_make(key, LOGIN, SPAN_LIT("secret"), &text), 0);
	want_int("another key", -EBADMSG, seal_open(other_key, LOGIN, buf_span(&text), &out));
	want_int("another login", -EBADMSG,
		seal_open(key, SPAN_LIT("tom@example.org"), buf_span(&text), &out));
	for (size_t n = 0; n < text.len; n++)
		if (seal_open(key, LOGIN, span_head(buf_span(&text), n), &out) != -EBADMSG)
			fail_msg("cut to %zu octets it opens", n);
	/* Each octet behind the mark changed to another of base64's. */
	for (size_t i = 8; i < text.len; i++) {
		char was = text.ptr[i];
		text.ptr[i] = was == 'A' ? 'B' : 'A';
		if (was != '=' && seal_open(key, LOGIN, buf_span(&text), &out) != -EBADMSG)
			fail_msg("with octet %zu changed it opens", i);
		text.ptr[i] = was;
	}
	assert_int_equal(out.len, 0);
	assert_int_equal(seal_open(key, LOGIN, buf_span(&text), &out), 0);
	buf_done(&text);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seal__round_trips),
		cmocka_unit_test(seal_make__hides_the_length_and_repeats_nothing),
		cmocka_unit_test(seal_make__bounds),
		cmocka_unit_test(seal_open__refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
