/* The client's SCRAM against the RFCs' own conversations, and against servers that do it wrong. */
#include "support.h"

#include "deliver/scram_client.h"

struct conversation {
	const char *name;
	struct scram_client_ask ask;
	const char *first, *server_first, *final, *server_final;
};

#define NONCE_1	       "fyko+d2lbbFgONRv9qkxdawL"
#define SERVER_NONCE_1 NONCE_1 "3rfcNHYJY1ZVvWVs7j"
#define NONCE_256      "rOprNGfwEbeRWgbNEkqO"
#define SERVER_256     NONCE_256 "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"

/* RFC 5802 5; RFC 7677 3. */
static const struct conversation vectors[] = {
	{"RFC 5802 5", {.user = "user", .password = "pencil", .nonce = {NONCE_1, 24}},
		"n,,n=user,r=" NONCE_1, "r=" SERVER_NONCE_1 ",s=QSXCR+Q6sek8bf92,i=4096",
		"c=biws,r=" SERVER_NONCE_1 ",p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
		"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
	{"RFC 7677 3",
		{.sha256 = true, .user = "user", .password = "pencil", .nonce = {NONCE_256, 20}},
		"n,,n=user,r=" NONCE_256, "r=" SERVER_256 ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
		"c=biws,r=" SERVER_256 ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
};

static void expect_step(const char *name, struct scram_client *s, const char *message, int want,
	const char *want_text)
{
	struct buf out = BUF_INIT(SCRAM_CLIENT_MESSAGE_MAX);
	int r = scram_client_step(s, span_str(message), &out);
	if (r != want || (want_text && !span_equal(buf_span(&out), span_str(want_text))))
		fail_msg("%s: want %d %s, got %d %.*s", name, want, want_text ? want_text : "", r,
			SPAN_FMT(buf_span(&out)));
	buf_done(&out);
}

static struct scram_client *client_of(const struct scram_client_ask *ask)
{
	struct scram_client *s = NULL;
	assert_int_equal(scram_client_new(ask, &s), 0);
	return s;
}

static void scram_client_step__vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		const struct conversation *v = &vectors[i];
		struct scram_client *s = client_of(&v->ask);
		expect_step(v->name, s, "", 1, v->first);
		expect_step(v->name, s, v->server_first, 1, v->final);
		expect_step(v->name, s, v->server_final, 0, "");
		expect_step(v->name, s, "", -EBADMSG, NULL);
		scram_client_free(s);
	}
}

static void scram_client_step__first_message(void **state)
{
	static const struct {
		const char *name;
		struct scram_client_ask ask;
		const char *want;
	} table[] = {
		{"no binding", {.user = "u", .password = "p", .nonce = {"abc", 3}}, "n,,n=u,r=abc"},
		{"not offered",
			{.user = "u",
				.password = "p",
				.binding = "tls-exporter",
				.nonce = {"abc", 3}},
			"y,,n=u,r=abc"},
		{"bound",
			{.plus = true,
				.user = "u",
				.password = "p",
				.binding = "tls-server-end-point",
				.binding_data = {"octets", 6},
				.nonce = {"abc", 3}},
			"p=tls-server-end-point,,n=u,r=abc"},
		{"name with separators", {.user = "a,b=c", .password = "p", .nonce = {"abc", 3}},
			"n,,n=a=2Cb=3Dc,r=abc"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct scram_client *s = client_of(&table[i].ask);
		expect_step(table[i].name, s, "", 1, table[i].want);
		scram_client_free(s);
	}
	struct scram_client *none;
	assert_int_equal(
		scram_client_new(
			&(struct scram_client_ask){.plus = true, .user = "u", .password = "p"},
			&none),
		-EINVAL);
}

static void scram_client_step__servers_that_are_wrong(void **state)
{
	static const struct {
		const char *name, *server_first;
		int want;
	} table[] = {
		{"another nonce", "r=zzz" SERVER_NONCE_1 ",s=QSXCR+Q6sek8bf92,i=4096", -EBADMSG},
		{"nothing added to ours", "r=" NONCE_1 ",s=QSXCR+Q6sek8bf92,i=4096", -EBADMSG},
		{"an extension that we must know", "m=x,r=" SERVER_NONCE_1 ",s=QSXC,i=4096",
			-EBADMSG},
		{"no salt", "r=" SERVER_NONCE_1 ",s=,i=4096", -EBADMSG},
		{"broken salt", "r=" SERVER_NONCE_1 ",s=!!!!,i=4096", -EBADMSG},
		{"no rounds", "r=" SERVER_NONCE_1 ",s=QSXCR+Q6sek8bf92", -EBADMSG},
		{"rounds 0", "r=" SERVER_NONCE_1 ",s=QSXCR+Q6sek8bf92,i=0", -EBADMSG},
		{"rounds to burn us", "r=" SERVER_NONCE_1 ",s=QSXC,i=4000000000", -ERANGE},
		{"rounds beyond numbers", "r=" SERVER_NONCE_1 ",s=QSXC,i=99999999999999999999",
			-ERANGE},
		{"nothing", "", -EBADMSG},
		{"LOGIN's", "Username:", -EBADMSG},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct scram_client *s = client_of(&vectors[0].ask);
		expect_step(table[i].name, s, "", 1, NULL);
		expect_step(table[i].name, s, table[i].server_first, table[i].want, NULL);
		scram_client_free(s);
	}
	static const char *const finals[] = {"v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "v=", "",
		"e=invalid-proof", "v=rmF9pqV8S7suAoZWja4dJRkFsK"};
	for (size_t i = 0; i < ARRAY_LEN(finals); i++) {
		struct scram_client *s = client_of(&vectors[0].ask);
		expect_step(finals[i], s, "", 1, NULL);
		expect_step(finals[i], s, vectors[0].server_first, 1, NULL);
		expect_step(finals[i], s, finals[i], -EACCES, NULL);
		scram_client_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scram_client_step__vectors),
		cmocka_unit_test(scram_client_step__first_message),
		cmocka_unit_test(scram_client_step__servers_that_are_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
