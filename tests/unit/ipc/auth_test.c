/* Twin of ipc/auth.c: round trips, every truncation, octets left over. */
#include "../base/test.h"
#include "ipc/auth.h"

static int decode_step(struct span s)
{
	struct auth_step step;
	return auth_step_decode(s, &step);
}
static int decode_answer(struct span s)
{
	struct auth_answer a;
	return auth_answer_decode(s, &a);
}
static int decode_submit(struct span s)
{
	struct span addresses[SUBMIT_ADDRESSES_MAX];
	struct submit q;
	return submit_decode(s, addresses, &q);
}
static int decode_submit_answer(struct span s)
{
	struct submit_answer a;
	return submit_answer_decode(s, &a);
}

/* Whole, it decodes; cut anywhere or with an octet more, it does not. */
static void check(const char *row, struct buf *b, int (*decode)(struct span s))
{
	want_int(row, 0, decode(buf_span(b)));
	for (size_t n = 0; n < b->len; n++)
		want_int(row, -EBADMSG, decode(span_head(buf_span(b), n)));
	buf_char(b, 'x');
	want_int(row, -EBADMSG, decode(buf_span(b)));
	buf_reset(b);
}

static void auth__frames(void **state)
{
	struct buf b = BUF_INIT(1 << 20);
	struct span addresses[] = {SPAN_LIT("a@b.example"), SPAN_LIT("c@d.example")};
	struct auth_step begin = {.token = 1,
		.exchange = 2,
		.kind = AUTH_BEGIN,
		.has_response = true,
		.response = SPAN_LIT("\0a\0b"),
		.session = 3,
		.mechanism = SPAN_LIT("PLAIN"),
		.client = SPAN_LIT("192.0.2.1"),
		.exporter = SPAN_LIT("e"),
		.end_point = SPAN_LIT("p"),
		.fingerprint = SPAN_LIT("f"),
		.subject = SPAN_LIT("s")};
	struct auth_step got;

	(void)state;
	auth_step_encode(&begin, &b);
	assert_int_equal(auth_step_decode(buf_span(&b), &got), 0);
	want_u64("exchange", 2, got.exchange);
	want_span("response", begin.response, got.response);
	want_span("mechanism", begin.mechanism, got.mechanism);
	want_span("client", begin.client, got.client);
	want_span("subject", begin.subject, got.subject);
	check("begin", &b, decode_step);
	auth_step_encode(&(struct auth_step){.kind = AUTH_CONTINUE, .response = SPAN_LIT("r")}, &b);
	check("continue", &b, decode_step);
	auth_step_encode(&(struct auth_step){.kind = AUTH_CANCEL}, &b);
	check("cancel", &b, decode_step);
	auth_answer_encode(&(struct auth_answer){4, AUTH_OK, SPAN_LIT("a@b.example")}, &b);
	check("answer", &b, decode_answer);
	submit_encode(&(struct submit){.kind = SUBMIT_CHARGE,
			      .login = SPAN_LIT("a@b.example"),
			      .addresses = addresses,
			      .n_addresses = 2,
			      .recipients = 7},
		&b);
	check("submit", &b, decode_submit);
	submit_answer_encode(
		&(struct submit_answer){5, SUBMIT_NOT_YOURS, 1, 2, UINT64_MAX, 3, 4}, &b);
	check("submit answer", &b, decode_submit_answer);
	buf_done(&b);
}

static void auth__out_of_range(void **state)
{
	struct buf b = BUF_INIT(1 << 20);

	(void)state;
	auth_step_encode(&(struct auth_step){.kind = (enum auth_step_kind)3}, &b);
	want_int("kind", -EBADMSG, decode_step(buf_span(&b)));
	buf_reset(&b);
	auth_answer_encode(
		&(struct auth_answer){1, (enum auth_status)(AUTH_TEMPORARY + 1), SPAN_NULL}, &b);
	want_int("status", -EBADMSG, decode_answer(buf_span(&b)));
	buf_reset(&b);
	submit_encode(&(struct submit){.kind = (enum submit_kind)2}, &b);
	want_int("submit kind", -EBADMSG, decode_submit(buf_span(&b)));
	buf_reset(&b);
	struct span many[SUBMIT_ADDRESSES_MAX + 1] = {{0}};
	submit_encode(&(struct submit){.addresses = many, .n_addresses = ARRAY_LEN(many)}, &b);
	want_int("addresses", -EBADMSG, decode_submit(buf_span(&b)));
	buf_reset(&b);
	static char long_one[AUTH_RESPONSE_MAX + 1];
	auth_step_encode(&(struct auth_step){.kind = AUTH_CONTINUE,
				 .response = span_make(long_one, sizeof(long_one))},
		&b);
	want_int("response", -EBADMSG, decode_step(buf_span(&b)));
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(auth__frames),
		cmocka_unit_test(auth__out_of_range),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
