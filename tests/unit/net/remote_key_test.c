/* Keys that somebody else signs with: through whole handshakes, with a signer that suspends. */
#include "tls_pair.h"
#include "net/remote_key.h"

#define TIMEOUT (10 * USEC_PER_SEC)

struct kind {
	const char *label, *type;
	int size; /* of RSA */
	const char *curve;
	int version;
	enum sign_padding want_padding;
	enum sign_digest want_digest;
};
static const struct kind kinds[] = {
	{"rsa 1.3", "RSA", 2048, NULL, TLS1_3_VERSION, SIGN_RSA_PSS, SIGN_SHA256},
	{"rsa 1.2", "RSA", 3072, NULL, TLS1_2_VERSION, SIGN_RSA_PSS, SIGN_SHA256},
	{"p256 1.3", "EC", 0, "P-256", TLS1_3_VERSION, SIGN_ECDSA, SIGN_SHA256},
	{"p384 1.3", "EC", 0, "P-384", TLS1_3_VERSION, SIGN_ECDSA, SIGN_SHA384},
	{"p256 1.2", "EC", 0, "P-256", TLS1_2_VERSION, SIGN_ECDSA, SIGN_SHA256},
};

enum signer_mode { SIGNS, REFUSES, WAITS_FOR_EVER };
static EVP_PKEY *private_half;
static struct fiber *server_fiber;
static enum signer_mode mode;
static struct sign_ask asked;
static unsigned n_asked;
static SSL_CTX *server_context, *client_context;
static int want_server, want_client;

static int signer(void *arg, const struct sign_ask *ask, uint8_t *ret_signature, size_t *ret_len)
{
	assert_ptr_equal(arg, &private_half);
	asked = *ask;
	n_asked++;
	/* Another fiber runs meanwhile, and fills OpenSSL's error queue. */
	server_fiber = fiber_self();
	int r = fiber_sleep(mode == WAITS_FOR_EVER ? USEC_INFINITY / 2 : 2 * USEC_PER_MSEC);
	if (r < 0)
		return r;
	if (mode == REFUSES)
		return -EPIPE;
	return sign_locally(private_half, ask, ret_signature, ret_len);
}
static const struct remote_signer remote = {signer, &private_half};

static void server_body(struct stream *s)
{
	SSL *ssl = SSL_new(server_context);
	SSL_set_accept_state(ssl);
	int r = stream_start_tls(s, ssl, TIMEOUT);
	if (r != want_server)
		fail_msg("server: want %d got %d %s", want_server, r, stream_tls_error(s));
}

static void client_body(struct stream *s)
{
	SSL *ssl = SSL_new(client_context);
	SSL_set_connect_state(ssl);
	ERR_raise(ERR_LIB_USER, 1); /* another fiber's leftovers */
	int r = stream_start_tls(s, ssl, TIMEOUT);
	if (r != want_client && want_client != 1)
		fail_msg("client: want %d got %d %s", want_client, r, stream_tls_error(s));
}

static EVP_PKEY *key_make(const struct kind *k)
{
	return k->curve ? EVP_EC_gen(k->curve) : EVP_RSA_gen((unsigned)k->size);
}

static void contexts_make(const struct kind *k)
{
	EVP_PKEY *public = NULL, *key = NULL;
	private_half = key_make(k);
	X509 *x = certificate_make(private_half, "mx.example");
	public = X509_get0_pubkey(x);
	assert_int_equal(remote_key_new(public, &remote, &key), 0);
	assert_int_equal(tls_context_new(true, &server_context), 0);
	assert_int_equal(tls_context_new(false, &client_context), 0);
	SSL_CTX_set_max_proto_version(client_context, k->version);
	assert_int_equal(SSL_CTX_use_certificate(server_context, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(server_context, key), 1);
	assert_int_equal(SSL_CTX_check_private_key(server_context), 1);
	X509_free(x);
	EVP_PKEY_free(key);
	n_asked = 0;
}

static void contexts_free(void)
{
	tls_context_freep(&server_context);
	tls_context_freep(&client_context);
	EVP_PKEY_free(TAKE(private_half));
}

static void remote_key__signs_handshakes(void **state)
{
	(void)state;
	mode = SIGNS;
	want_server = want_client = 0;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const struct kind *k = &kinds[i];
		contexts_make(k);
		run_pair(server_body, client_body);
		if (n_asked != 1 || asked.padding != k->want_padding ||
			asked.digest_name != k->want_digest)
			fail_msg("%s: want %d %d got %u times %d %d", k->label, k->want_padding,
				k->want_digest, n_asked, asked.padding, asked.digest_name);
		contexts_free();
	}
}

static void remote_key__signer_fails(void **state)
{
	(void)state;
	mode = REFUSES;
	want_server = -EPROTO;
	want_client = -EPROTO;
	contexts_make(&kinds[0]);
	run_pair(server_body, client_body);
	contexts_free();
}

static void cancel_later(void *arg)
{
	(void)arg;
	while (n_asked == 0)
		assert_int_equal(fiber_sleep(USEC_PER_MSEC), 0);
	fiber_cancel(server_fiber);
}

static void remote_key__fiber_is_cancelled_in_the_signer(void **state)
{
	(void)state;
	mode = WAITS_FOR_EVER;
	want_server = -ECANCELED;
	want_client = 1;
	contexts_make(&kinds[2]);
	spawn(cancel_later, NULL);
	run_pair(server_body, client_body);
	contexts_free();
}

static void remote_key__has_no_private_half(void **state)
{
	(void)state;
	EVP_PKEY *whole = EVP_RSA_gen(2048), *key = NULL;
	X509 *x = certificate_make(whole, "a");
	assert_int_equal(remote_key_new(X509_get0_pubkey(x), &remote, &key), 0);
	unsigned char *der = NULL;
	assert_true(i2d_PrivateKey(key, &der) <= 0);
	assert_true(i2d_PrivateKey(whole, &der) > 0);
	OPENSSL_free(der);
	assert_int_equal(EVP_PKEY_eq(key, whole), 1);
	X509_free(x);
	EVP_PKEY_free(key);
	EVP_PKEY_free(whole);
	ERR_clear_error();
}

static void remote_key_new__other_kinds_are_refused(void **state)
{
	(void)state;
	EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), *key = NULL;
	assert_int_equal(remote_key_new(ed, &remote, &key), -ENOTSUP);
	EVP_PKEY_free(ed);
}

static void sign_locally__asks_that_do_not_fit(void **state)
{
	(void)state;
	static const char octets[64];
	static const struct {
		bool rsa;
		enum sign_padding padding;
		enum sign_digest digest;
		size_t len;
		int want;
	} table[] = {
		{true, SIGN_RSA_PKCS1, SIGN_SHA256, 32, 0},
		{true, SIGN_RSA_PKCS1, SIGN_MD5_SHA1, 36, 0},
		{true, SIGN_RSA_PSS, SIGN_SHA512, 64, 0},
		{true, SIGN_RSA_PSS, SIGN_SHA512, 32, -EINVAL},
		{true, SIGN_ECDSA, SIGN_SHA256, 32, -EINVAL},
		{true, SIGN_RSA_PKCS1, (enum sign_digest)0, 32, -EINVAL},
		{true, SIGN_RSA_PKCS1, (enum sign_digest)9, 32, -EINVAL},
		{false, SIGN_ECDSA, SIGN_SHA256, 32, 0},
		{false, SIGN_ECDSA, SIGN_SHA256, 0, -EINVAL},
		{false, SIGN_RSA_PSS, SIGN_SHA256, 32, -EINVAL},
	};
	EVP_PKEY *rsa = EVP_RSA_gen(2048), *ec = EVP_EC_gen("P-256");
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		uint8_t signature[SIGN_SIGNATURE_MAX];
		size_t len = 0;
		struct sign_ask ask = {.padding = table[i].padding,
			.digest_name = table[i].digest,
			.digest = span_make(octets, table[i].len)};
		int r = sign_locally(table[i].rsa ? rsa : ec, &ask, signature, &len);
		if (r != table[i].want)
			fail_msg("%zu: want %d got %d", i, table[i].want, r);
	}
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
}

/* One key, asks of several kinds in turn: each is signed as asked, also behind one that fails. */
static void sign_locally_kept__follows_the_ask(void **state)
{
	(void)state;
	static const struct {
		enum sign_padding padding;
		enum sign_digest digest;
		size_t octets;
		int want;
	} table[] = {
		{SIGN_ECDSA, SIGN_SHA256, 32, 0},
		{SIGN_ECDSA, SIGN_SHA256, 32, 0},
		{SIGN_ECDSA, SIGN_SHA384, 48, 0},
		{SIGN_ECDSA, SIGN_SHA384, 32, -EINVAL},
		{SIGN_RSA_PSS, SIGN_SHA256, 32, -EINVAL},
		{SIGN_RSA_PSS, SIGN_SHA256, 32, -EINVAL},
		{SIGN_ECDSA, SIGN_SHA256, 32, 0},
	};
	EVP_PKEY *key = EVP_EC_gen("P-256");
	struct sign_kept kept = {0};
	uint8_t digest[SIGN_DIGEST_OCTETS], signature[SIGN_SIGNATURE_MAX];

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct sign_ask ask = {.padding = table[i].padding,
			.digest_name = table[i].digest,
			.digest = span_make(digest, table[i].octets)};
		size_t len = 0;
		memset(digest, (int)i, sizeof(digest));
		int r = sign_locally_kept(&kept, key, &ask, signature, &len);
		if (r != table[i].want)
			fail_msg("%zu: want %d got %d", i, table[i].want, r);
		if (r < 0)
			continue;
		EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
		assert_int_equal(EVP_PKEY_verify_init(c), 1);
		if (EVP_PKEY_verify(c, signature, len, digest, table[i].octets) != 1)
			fail_msg("%zu: the signature is not good", i);
		EVP_PKEY_CTX_free(c);
	}
	sign_kept_done(&kept);
	EVP_PKEY_free(key);
	ERR_clear_error();
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		LOOP_TEST(remote_key__signs_handshakes),
		LOOP_TEST(remote_key__signer_fails),
		LOOP_TEST(remote_key__fiber_is_cancelled_in_the_signer),
		cmocka_unit_test(remote_key__has_no_private_half),
		cmocka_unit_test(remote_key_new__other_kinds_are_refused),
		cmocka_unit_test(sign_locally__asks_that_do_not_fit),
		cmocka_unit_test(sign_locally_kept__follows_the_ask),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
