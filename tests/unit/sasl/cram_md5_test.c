/* RFC 2195 2's example, what a response may not be, and GNU SASL's client against us. */
#include "../base/test.h"
#include "sasl/cram_md5.h"
#include "sasl/plain.h"

#include <gsasl.h>
#include <stdio.h>

static void cram__the_example_of_rfc_2195(void **state)
{
	const struct span challenge = SPAN_LIT("<1896.697170952@postoffice.reston.mci.net>");
	struct cram_response c;

	(void)state;
	want_int("parse", 0, cram_parse(SPAN_LIT("tim b913a602c7eda7a495b4e6e7334d3890"), &c));
	want_span("name", SPAN_LIT("tim"), c.name);
	assert_true(cram_matches(SPAN_LIT("tanstaaftanstaaf"), challenge, c.digest));
	assert_false(cram_matches(SPAN_LIT("tanstaaftanstaag"), challenge, c.digest));
	assert_false(cram_matches(SPAN_LIT("tanstaaftanstaaf"), SPAN_LIT("<1897>"), c.digest));
}

static void cram_parse__messages(void **state)
{
#define DIGEST "b913a602c7eda7a495b4e6e7334d3890"
	static const struct {
		struct span message;
		int want;
		struct span name;
	} rows[] = {
		{SPAN_LIT("tim " DIGEST), 0, {"tim", 3}},
		{SPAN_LIT("tim of mci " DIGEST), 0, {"tim of mci", 10}},
		{SPAN_LIT("tim B913A602C7EDA7A495B4E6E7334D3890"), 0, {"tim", 3}},
		{SPAN_LIT("tim@example.org " DIGEST), 0, {"tim@example.org", 15}},
		{SPAN_LIT(""), -EBADMSG, {0}},
		{SPAN_LIT("tim"), -EBADMSG, {0}},
		{SPAN_LIT(DIGEST), -EBADMSG, {0}},
		{SPAN_LIT(" " DIGEST), -EBADMSG, {0}},
		{SPAN_LIT("tim" DIGEST), -EBADMSG, {0}},
		{SPAN_LIT("tim " DIGEST "0"), -EBADMSG, {0}},
		{SPAN_LIT("tim " DIGEST " "), -EBADMSG, {0}},
		{SPAN_LIT("tim\0x " DIGEST), -EBADMSG, {0}},
		{SPAN_LIT("tim g913a602c7eda7a495b4e6e7334d3890"), -EBADMSG, {0}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cram_response c;
		char row[32];
		(void)snprintf(row, sizeof(row), "row %zu", i);
		want_int(row, rows[i].want, cram_parse(rows[i].message, &c));
		if (rows[i].want == 0)
			want_span(row, rows[i].name, c.name);
	}
}

static void cram_challenge__never_the_same(void **state)
{
	struct buf a = BUF_INIT(CRAM_CHALLENGE_MAX), b = BUF_INIT(CRAM_CHALLENGE_MAX);

	(void)state;
	assert_int_equal(cram_challenge("mx.example.org", 1234567, &a), 0);
	assert_int_equal(cram_challenge("mx.example.org", 1234567, &b), 0);
	assert_false(span_equal(buf_span(&a), buf_span(&b)));
	assert_int_equal(a.ptr[0], '<');
	want_span("end", SPAN_LIT(".1234567@mx.example.org>"),
		span_from(buf_span(&a), a.len - strlen(".1234567@mx.example.org>")));
	buf_done(&a);
	buf_done(&b);
}

/* A password that SASLprep changes: GNU SASL's client prepares it, others send it as it is. */
static void cram__gnu_sasl_logs_in(void **state)
{
	static const char *const passwords[] = {"tanstaaftanstaaf", "p\u00e4ss word", "I\u00adX"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(passwords); i++) {
		struct buf challenge = BUF_INIT(CRAM_CHALLENGE_MAX);
		struct cram_response c;
		Gsasl *context = NULL;
		Gsasl_session *session = NULL;
		char *out = NULL;
		size_t len = 0;
		assert_int_equal(cram_challenge("mx.example.org", 1, &challenge), 0);
		assert_int_equal(gsasl_init(&context), GSASL_OK);
		assert_int_equal(gsasl_client_start(context, "CRAM-MD5", &session), GSASL_OK);
		assert_int_equal(gsasl_property_set(session, GSASL_AUTHID, "tim"), GSASL_OK);
		assert_int_equal(
			gsasl_property_set(session, GSASL_PASSWORD, passwords[i]), GSASL_OK);
		assert_int_equal(
			gsasl_step(session, challenge.ptr, challenge.len, &out, &len), GSASL_OK);
		want_int(passwords[i], 0, cram_parse(span_make(out, len), &c));
		if (!cram_matches(span_str(passwords[i]), buf_span(&challenge), c.digest))
			fail_msg("%s: GNU SASL's digest is refused", passwords[i]);
		uint8_t raw[CRAM_DIGEST_OCTETS];
		assert_int_equal(cram_digest(span_str(passwords[i]), buf_span(&challenge), raw), 0);
		assert_true(cram_matches(span_str(passwords[i]), buf_span(&challenge), raw));
		gsasl_free(out);
		gsasl_finish(session);
		gsasl_done(context);
		buf_done(&challenge);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cram__the_example_of_rfc_2195),
		cmocka_unit_test(cram_parse__messages),
		cmocka_unit_test(cram_challenge__never_the_same),
		cmocka_unit_test(cram__gnu_sasl_logs_in),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
