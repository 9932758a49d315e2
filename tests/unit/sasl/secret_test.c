/* Hashes, SASLprep, SCRAM keys as text, app passwords, base64, and a user's line. */
#include "../base/test.h"
#include "base/base64.h"
#include "sasl/credentials.h"

#include <crypt.h>
#include <stdio.h>

static void base64__rfc_4648_10(void **state)
{
	static const struct {
		const char *octets, *text;
	} rows[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}, {"\xff\xfe\xfb", "//77"},
		{">>>???", "Pj4+Pz8/"}};
	static const char *const bad[] = {"Z", "Zg",
		"Zg=", "Z===", "====", "Zh==", "Zm9=", "Zg==Zg==", "Zm 9", "Zm9v\n", "Zm-_"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT(64);
		base64_encode(span_str(rows[i].octets), &b);
		want_span(rows[i].text, span_str(rows[i].text), buf_span(&b));
		buf_reset(&b);
		want_int(rows[i].text, 0, base64_decode(span_str(rows[i].text), &b));
		want_span(rows[i].text, span_str(rows[i].octets), buf_span(&b));
		buf_done(&b);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf b = BUF_INIT(64);
		want_int(bad[i], -EBADMSG, base64_decode(span_str(bad[i]), &b));
		buf_done(&b);
	}
}

static void secret__hash_and_match(void **state)
{
	struct buf hash = BUF_INIT(CRYPT_OUTPUT_SIZE);

	(void)state;
	assert_int_equal(secret_hash(SPAN_LIT("pass word"), &hash), 0);
	assert_memory_equal(hash.ptr, "$y$", 3);
	assert_true(secret_matches(SPAN_LIT("pass word"), buf_span(&hash)));
	assert_false(secret_matches(SPAN_LIT("pass wor"), buf_span(&hash)));
	assert_false(secret_matches(SPAN_LIT(""), buf_span(&hash)));
	assert_false(secret_matches(SPAN_LIT("pass word"), SPAN_NULL));
	assert_false(secret_matches(SPAN_LIT("*0"), SPAN_LIT("*0")));
	assert_false(secret_matches(SPAN_LIT("!"), SPAN_LIT("!")));
	assert_false(secret_matches(SPAN_LIT("x"), secret_decoy()));
	/* Other programs' hashes. */
	assert_true(secret_matches(SPAN_LIT("Hello world!"),
		SPAN_LIT("$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnI"
			 "FNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1")));
	buf_done(&hash);
}

/* Costs what a real one does: crypt(3) works on it instead of refusing it. */
static void secret_decoy__is_worked_on(void **state)
{
	static struct crypt_data data;
	char text[256];

	(void)state;
	(void)snprintf(text, sizeof(text), "%.*s", SPAN_FMT(secret_decoy()));
	const char *again = crypt_r("anything", text, &data);
	assert_non_null(again);
	assert_memory_equal(again, "$y$j9T$", 7);
}

static void secret_prepare__saslprep(void **state)
{
	static const struct {
		const char *row;
		struct span in, want;
	} rows[] = {
		{"RFC 4013 3: soft hyphen", SPAN_LIT("I\xc2\xadX"), SPAN_LIT("IX")},
		{"RFC 4013 3: case stays", SPAN_LIT("USER"), SPAN_LIT("USER")},
		{"RFC 4013 3: NFKC", SPAN_LIT("\xc2\xaa"), SPAN_LIT("a")},
		{"RFC 4013 3: roman nine", SPAN_LIT("\xe2\x85\xa8"), SPAN_LIT("IX")},
		{"prohibited: as it is", SPAN_LIT("\x07"), SPAN_LIT("\x07")},
		{"not UTF-8: as it is", SPAN_LIT("\xff\xfe"), SPAN_LIT("\xff\xfe")},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT(4096);
		want_int(rows[i].row, 0, secret_prepare(rows[i].in, &b));
		want_span(rows[i].row, rows[i].want, buf_span(&b));
		buf_done(&b);
	}
}

static void scram_keys__round_trip(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SCRAM_HASHES; i++) {
		enum scram_hash h = (enum scram_hash)i, got;
		struct scram_keys made, parsed;
		struct buf b = BUF_INIT(512);

		assert_int_equal(scram_keys_make(h, SPAN_LIT("pencil"), &made), 0);
		scram_keys_format(h, &made, &b);
		want_int("parse", 0, scram_keys_parse(buf_span(&b), &got, &parsed));
		want_int("hash", (int)h, (int)got);
		assert_memory_equal(made.stored, parsed.stored, scram_octets(h));
		assert_memory_equal(made.server, parsed.server, scram_octets(h));
		assert_memory_equal(made.salt, parsed.salt, SCRAM_SALT_OCTETS);
		/* Every truncation is refused. */
		for (size_t n = 0; n < b.len; n++)
			assert_true(
				scram_keys_parse(span_head(buf_span(&b), n), &got, &parsed) < 0);
		buf_done(&b);
	}
}

static void credentials__fields(void **state)
{
	struct credentials c;
	struct buf password = BUF_INIT(64), line = BUF_INIT(1024), print = BUF_INIT(64);
	struct scram_keys k;

	(void)state;
	assert_int_equal(app_password_make(&password, &print), 0);
	want_u64("letters and hyphens", APP_PASSWORD_LETTERS + 4, password.len);
	assert_int_equal(scram_keys_make(SCRAM_SHA_256, SPAN_LIT("x"), &k), 0);
	buf_str(&line, "$y$hash:");
	scram_keys_format(SCRAM_SHA_256, &k, &line);
	buf_printf(&line, ":{APP}phone,1700000000,%.*s:{NEW}thing", SPAN_FMT(buf_span(&print)));
	credentials_parse(buf_span(&line), &c);
	want_span("hash", SPAN_LIT("$y$hash"), c.hash);
	assert_true(c.has_scram[SCRAM_SHA_256] && !c.has_scram[SCRAM_SHA_1]);
	want_u64("apps", 1, c.n_apps);
	want_span("label", SPAN_LIT("phone"), c.apps[0].label);
	want_u64("created", 1700000000, c.apps[0].created);
	assert_true(c.odd);
	assert_ptr_equal(credentials_app(&c, buf_span(&password)), &c.apps[0]);
	/* As people type it. */
	for (size_t i = 0; i < password.len; i++)
		password.ptr[i] = password.ptr[i] == '-'   ? ' '
				  : password.ptr[i] >= 'a' ? (char)(password.ptr[i] - 32)
							   : password.ptr[i];
	assert_ptr_equal(credentials_app(&c, buf_span(&password)), &c.apps[0]);
	password.ptr[0] = password.ptr[0] == 'A' ? 'B' : 'A';
	assert_null(credentials_app(&c, buf_span(&password)));
	assert_null(credentials_app(&c, SPAN_LIT("abcd")));
	credentials_parse(SPAN_NULL, &c);
	assert_false(credentials_can_log_in(&c));
	buf_done(&password);
	buf_done(&print);
	buf_done(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64__rfc_4648_10),
		cmocka_unit_test(secret__hash_and_match),
		cmocka_unit_test(secret_decoy__is_worked_on),
		cmocka_unit_test(secret_prepare__saslprep),
		cmocka_unit_test(scram_keys__round_trip),
		cmocka_unit_test(credentials__fields),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
