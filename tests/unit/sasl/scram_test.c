/* The RFCs' vectors, GNU SASL's client against our server with every binding, and what a client may
 * not do. */
#include "../base/test.h"
#include "base/base64.h"
#include "sasl/scram.h"

#include <gsasl.h>

#define EXPORTER  SPAN_LIT("0123456789abcdef0123456789abcdef")
#define END_POINT SPAN_LIT("ENDPOINTendpointENDPOINTendpoint")

static const struct scram_binding bound = {
	{"0123456789abcdef0123456789abcdef", 32}, {"ENDPOINTendpointENDPOINTendpoint", 32}};
static const struct scram_binding unbound;

static struct scram_keys keys_of(enum scram_hash h, const char *salt, uint32_t iterations)
{
	struct scram_keys k = {.iterations = iterations};
	struct buf b = BUF_INIT(64);

	assert_int_equal(base64_decode(span_str(salt), &b), 0);
	memcpy(k.salt, b.ptr, b.len);
	k.salt_len = (uint32_t)b.len;
	assert_int_equal(scram_keys_derive(h, SPAN_LIT("pencil"), &k), 0);
	buf_done(&b);
	return k;
}

static const struct {
	const char *row;
	enum scram_hash hash;
	const char *salt, *nonce, *first, *challenge, *final, *answer;
} vectors[] = {
	{"RFC 5802 5", SCRAM_SHA_1, "QSXCR+Q6sek8bf92", "3rfcNHYJY1ZVvWVs7j",
		"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
		"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
		"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
		"",
		"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
	{"RFC 7677 3", SCRAM_SHA_256, "W22ZaJ0SNY7soEsUEjb6gQ==", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
		"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
		"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,"
		"i=4096",
		"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
		"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
};

static void scram__vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		struct scram s;
		struct buf out = BUF_INIT(4096);
		struct scram_keys k = keys_of(vectors[i].hash, vectors[i].salt, 4096);
		const char *row = vectors[i].row;

		scram_init(&s, vectors[i].hash, false, false);
		want_int(row, 0, scram_first(&s, span_str(vectors[i].first), &unbound));
		want_span(row, SPAN_LIT("user"), s.name);
		want_int(row, 0,
			scram_challenge(&s, &k, SPAN_NULL, span_str(vectors[i].nonce), &out));
		want_span(row, span_str(vectors[i].challenge), buf_span(&out));
		buf_reset(&out);
		want_int(row, 0, scram_final(&s, span_str(vectors[i].final), &out));
		want_span(row, span_str(vectors[i].answer), buf_span(&out));
		scram_done(&s);
		buf_done(&out);
	}
}

/* What a client-first-message may not be. */
static const struct {
	const char *message;
	bool plus, plus_offered;
	int want;
} firsts[] = {
	{"n,,n=user,r=abc", false, false, 0},
	{"n,a=user,n=user,r=abc", false, false, 0},
	{"y,,n=user,r=abc", false, false, 0},
	{"y,,n=user,r=abc", false, true, -EACCES}, /* somebody took -PLUS out of our list */
	{"n,,n=user,r=abc,x=more", false, true, 0},
	{"p=tls-exporter,,n=user,r=abc", true, true, 0},
	{"p=tls-server-end-point,,n=user,r=abc", true, true, 0},
	{"p=tls-unique,,n=user,r=abc", true, true, -EACCES},
	{"p=tls-exporter,,n=user,r=abc", false, true, -EBADMSG},
	{"n,,n=user,r=abc", true, true, -EBADMSG},
	{"n,,m=ext,n=user,r=abc", false, false, -EBADMSG},
	{"n,,n=us=2Cer=3D,r=abc", false, false, 0},
	{"n,,n=us=20er,r=abc", false, false, -EBADMSG},
	{"n,,n=us=,r=abc", false, false, -EBADMSG},
	{"n,,n=,r=abc", false, false, -EBADMSG},
	{"n,,n=user,r=", false, false, -EBADMSG},
	{"n,,n=user", false, false, -EBADMSG},
	{"n,,r=abc,n=user", false, false, -EBADMSG},
	{"n,b=user,n=user,r=abc", false, false, -EBADMSG},
	{"n,n=user,r=abc", false, false, -EBADMSG},
	{"n,", false, false, -EBADMSG},
	{"n", false, false, -EBADMSG},
	{"", false, false, -EBADMSG},
	{"x,,n=user,r=abc", false, false, -EBADMSG},
	{",,n=user,r=abc", false, false, -EBADMSG},
};

static void scram_first__what_clients_send(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
		struct scram s;

		scram_init(&s, SCRAM_SHA_256, firsts[i].plus, firsts[i].plus_offered);
		want_int(firsts[i].message, firsts[i].want,
			scram_first(&s, span_str(firsts[i].message), &bound));
		scram_done(&s);
	}
}

static void scram_first__decodes_names(void **state)
{
	struct scram s;

	(void)state;
	scram_init(&s, SCRAM_SHA_1, false, false);
	assert_int_equal(scram_first(&s, SPAN_LIT("n,a=b=2Cc,n=us=2Cer=3D,r=abc"), &unbound), 0);
	want_span("name", SPAN_LIT("us,er="), s.name);
	want_span("authzid", SPAN_LIT("b,c"), s.authzid);
	scram_done(&s);
}

/* ---- GNU SASL's client ---- */

static const struct {
	const char *mech;
	enum scram_hash hash;
	bool plus, known;
	const char *password;
	int want;
} exchanges[] = {
	{"SCRAM-SHA-1", SCRAM_SHA_1, false, true, "pencil", 0},
	{"SCRAM-SHA-256", SCRAM_SHA_256, false, true, "pencil", 0},
	{"SCRAM-SHA-1-PLUS", SCRAM_SHA_1, true, true, "pencil", 0},
	{"SCRAM-SHA-256-PLUS", SCRAM_SHA_256, true, true, "pencil", 0},
	{"SCRAM-SHA-256-PLUS", SCRAM_SHA_256, true, true, "pen", -EACCES},
	{"SCRAM-SHA-256", SCRAM_SHA_256, false, true, "Pencil", -EACCES},
	{"SCRAM-SHA-256", SCRAM_SHA_256, false, false, "pencil", -EACCES},
	{"SCRAM-SHA-1", SCRAM_SHA_1, false, false, "pencil", -EACCES},
};

static int exchange(size_t i, Gsasl_session *c, struct scram *s)
{
	struct scram_keys k = keys_of(exchanges[i].hash, "QSXCR+Q6sek8bf92", 4096);
	struct buf out = BUF_INIT(4096);
	char *sent = NULL;
	size_t len = 0;

	assert_int_equal(gsasl_step(c, NULL, 0, &sent, &len), GSASL_NEEDS_MORE);
	assert_int_equal(scram_first(s, span_make(sent, len), &bound), 0);
	gsasl_free(sent);
	want_span("name", SPAN_LIT("us,er"), s->name);
	assert_int_equal(scram_challenge(s, exchanges[i].known ? &k : NULL,
				 SPAN_LIT("0123456789abcdef"), SPAN_NULL, &out),
		0);
	assert_int_equal(gsasl_step(c, out.ptr, out.len, &sent, &len), GSASL_NEEDS_MORE);
	buf_reset(&out);
	int r = scram_final(s, span_make(sent, len), &out);
	gsasl_free(sent);
	if (r == 0) {
		/* It knows our ServerKey, and so that we are who we say. */
		assert_int_equal(gsasl_step(c, out.ptr, out.len, &sent, &len), GSASL_OK);
		gsasl_free(sent);
	}
	buf_done(&out);
	return r;
}

static void scram__with_gnu_sasl(void **state)
{
	Gsasl *ctx;
	struct buf exporter = BUF_INIT(128);

	(void)state;
	assert_int_equal(gsasl_init(&ctx), GSASL_OK);
	base64_encode(EXPORTER, &exporter);
	buf_char(&exporter, '\0');
	for (size_t i = 0; i < ARRAY_LEN(exchanges); i++) {
		Gsasl_session *c;
		struct scram s;

		assert_int_equal(gsasl_client_start(ctx, exchanges[i].mech, &c), GSASL_OK);
		gsasl_property_set(c, GSASL_AUTHID, "us,er");
		gsasl_property_set(c, GSASL_PASSWORD, exchanges[i].password);
		if (exchanges[i].plus)
			gsasl_property_set(c, GSASL_CB_TLS_EXPORTER, exporter.ptr);
		scram_init(&s, exchanges[i].hash, exchanges[i].plus, true);
		want_int(exchanges[i].mech, exchanges[i].want, exchange(i, c, &s));
		scram_done(&s);
		gsasl_finish(c);
	}
	buf_done(&exporter);
	gsasl_done(ctx);
}

/* ---- the client's last word ---- */

static int final_of(const char *first, const char *final, bool plus)
{
	struct scram s;
	struct buf out = BUF_INIT(4096);
	struct scram_keys k = keys_of(SCRAM_SHA_1, "QSXCR+Q6sek8bf92", 4096);

	scram_init(&s, SCRAM_SHA_1, plus, plus);
	assert_int_equal(scram_first(&s, span_str(first), &bound), 0);
	assert_int_equal(
		scram_challenge(&s, &k, SPAN_NULL, SPAN_LIT("3rfcNHYJY1ZVvWVs7j"), &out), 0);
	buf_reset(&out);
	int r = scram_final(&s, span_str(final), &out);
	assert_true(r == 0 || out.len == 0);
	scram_done(&s);
	buf_done(&out);
	return r;
}

#define NONCES "fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j"
#define PROOF  "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="

static void scram_final__what_clients_send(void **state)
{
	static const struct {
		const char *final;
		int want;
	} rows[] = {
		{"c=biws,r=" NONCES ",p=" PROOF, 0},
		{"c=biws,r=" NONCES ",p=v0X8v3Bz2T0CJGbJQyF0X+HI4Tc=", -EACCES},
		{"c=biws,r=" NONCES "x,p=" PROOF, -EACCES},
		{"c=biws,r=fyko+d2lbbFgONRv9qkxdawL,p=" PROOF, -EACCES},
		{"c=eSws,r=" NONCES ",p=" PROOF, -EACCES}, /* "y,," */
		{"c=,r=" NONCES ",p=" PROOF, -EACCES},
		{"c=biws,r=" NONCES ",x=1,p=" PROOF, -EACCES}, /* the proof covers extensions */
		{"c=bi ws,r=" NONCES ",p=" PROOF, -EBADMSG},
		{"c=biws,r=" NONCES ",p=", -EBADMSG},
		{"c=biws,r=" NONCES ",p=AAAA", -EBADMSG},
		{"c=biws,r=" NONCES ",p=" PROOF ",x=1", -EBADMSG},
		{"c=biws,r=" NONCES, -EBADMSG},
		{"r=" NONCES ",c=biws,p=" PROOF, -EBADMSG},
		{"", -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		want_int(rows[i].final, rows[i].want,
			final_of("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", rows[i].final, false));
}

/* The proof is right, and the binding is another connection's: somebody sits in between. */
static void scram_final__another_connection(void **state)
{
	struct buf other = BUF_INIT(256), final = BUF_INIT(512);

	(void)state;
	base64_encode(SPAN_LIT("p=tls-exporter,,another connection's 32 octets.."), &other);
	buf_printf(&final, "c=%.*s,r=" NONCES ",p=" PROOF, SPAN_FMT(buf_span(&other)));
	buf_char(&final, '\0');
	want_int("binding", -EACCES,
		final_of("p=tls-exporter,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", final.ptr, true));
	buf_done(&other);
	buf_done(&final);
}

/* RFC 5929 4 by hand, as GNU SASL's client has no such binding. */
static void scram__end_point(void **state)
{
	struct scram s;
	struct scram_keys k = keys_of(SCRAM_SHA_256, "QSXCR+Q6sek8bf92", 4096);
	struct buf out = BUF_INIT(4096), header = BUF_INIT(256);

	(void)state;
	scram_init(&s, SCRAM_SHA_256, true, true);
	assert_int_equal(
		scram_first(&s, SPAN_LIT("p=tls-server-end-point,,n=user,r=abc"), &bound), 0);
	base64_encode(
		SPAN_LIT("p=tls-server-end-point,,ENDPOINTendpointENDPOINTendpoint"), &header);
	buf_str(&out, "ignored");
	assert_int_equal(scram_challenge(&s, &k, SPAN_NULL, SPAN_LIT("def"), &out), 0);
	want_span("the binding that the client has to repeat",
		SPAN_LIT("p=tls-server-end-point,,ENDPOINTendpointENDPOINTendpoint"),
		buf_span(&s.binding));
	scram_done(&s);
	buf_done(&out);
	buf_done(&header);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scram__vectors),
		cmocka_unit_test(scram_first__what_clients_send),
		cmocka_unit_test(scram_first__decodes_names),
		cmocka_unit_test(scram__with_gnu_sasl),
		cmocka_unit_test(scram_final__what_clients_send),
		cmocka_unit_test(scram_final__another_connection),
		cmocka_unit_test(scram__end_point),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
