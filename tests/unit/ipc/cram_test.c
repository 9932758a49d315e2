/* Twin of src/ipc/cram.c: round trips, every truncation, values out of range. */
#include "../base/test.h"
#include "ipc/cram.h"

static const char long_text[CRAM_TEXT_MAX + 1];

static void cram_ask__round_trip_and_truncations(void **state)
{
	struct buf b = BUF_INIT(4096);
	const struct cram_ask a = {.token = 7,
		.login = SPAN_LIT("tim@example.org"),
		.sealed = SPAN_LIT("{SEALED}AAAA"),
		.challenge = SPAN_LIT("<1@x>"),
		.digest = SPAN_LIT("0123456789abcdef")};
	struct cram_ask back;

	(void)state;
	cram_ask_encode(&a, &b);
	for (size_t n = 0; n < b.len; n++)
		if (cram_ask_decode(span_head(buf_span(&b), n), &back) != -EBADMSG)
			fail_msg("%zu of %zu octets are taken", n, b.len);
	assert_int_equal(cram_ask_decode(buf_span(&b), &back), 0);
	want_u64("token", a.token, back.token);
	want_span("login", a.login, back.login);
	want_span("sealed", a.sealed, back.sealed);
	want_span("challenge", a.challenge, back.challenge);
	want_span("digest", a.digest, back.digest);
	buf_char(&b, '\0');
	want_int("octets left over", -EBADMSG, cram_ask_decode(buf_span(&b), &back));
	buf_done(&b);
}

static void cram_ask_decode__values_out_of_range(void **state)
{
	const struct span large = {long_text, sizeof(long_text)}, d = SPAN_LIT("0123456789abcdef");
	const struct {
		const char *row;
		struct cram_ask ask;
	} rows[] = {
		{"a short digest", {.digest = {"0123456789abcde", 15}}},
		{"a long digest", {.digest = {"0123456789abcdefg", 17}}},
		{"a large login", {.digest = d, .login = large}},
		{"a large secret", {.digest = d, .sealed = large}},
		{"a large challenge", {.digest = d, .challenge = large}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT(16384);
		struct cram_ask back;
		cram_ask_encode(&rows[i].ask, &b);
		want_int(rows[i].row, -EBADMSG, cram_ask_decode(buf_span(&b), &back));
		buf_done(&b);
	}
}

static void cram_answer__round_trip_and_range(void **state)
{
	(void)state;
	for (unsigned s = 0; s < 5; s++) {
		struct buf b = BUF_INIT(64);
		struct cram_answer back;
		cram_answer_encode(&(struct cram_answer){9, (enum cram_status)s}, &b);
		want_int("status", s <= CRAM_UNSEALABLE ? 0 : -EBADMSG,
			cram_answer_decode(buf_span(&b), &back));
		if (s <= CRAM_UNSEALABLE)
			want_int("status", (int)s, (int)back.status);
		want_int("cut", -EBADMSG,
			cram_answer_decode(span_head(buf_span(&b), b.len - 1), &back));
		buf_done(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cram_ask__round_trip_and_truncations),
		cmocka_unit_test(cram_ask_decode__values_out_of_range),
		cmocka_unit_test(cram_answer__round_trip_and_range),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
