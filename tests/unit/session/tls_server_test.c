/* Twin of session/tls_server.c, with OpenSSL's own client on the other end of a pair of buffers. */
#include "../base/test.h"
#include "../net/pem_make.h"
#include "session/tls_server.h"

#include <openssl/err.h>
#include <stdio.h>

#define YEAR (365L * 86400)

struct identity {
	struct buf certificate, key;
};

static void identity_make(struct identity *i, enum pem_kind kind, const char *name)
{
	char names[128];

	(void)snprintf(names, sizeof(names), "DNS:%s", name);
	*i = (struct identity){BUF_INIT(65536), BUF_INIT(65536)};
	pem_make(kind, name, names, -60, YEAR, &i->certificate, &i->key);
}

static void identity_done(struct identity *i)
{
	buf_done(&i->certificate);
	buf_done(&i->key);
}

static void add(struct tls_server *t, const struct identity *i, bool with_key)
{
	const char *why = "";

	want_int("certificate", 0,
		tls_server_add_certificate(t, buf_span(&i->certificate), NULL, &why));
	if (with_key)
		want_int("key", 0, tls_server_add_key(t, buf_span(&i->key), &why));
}

static struct tls_server *server_new(enum tls_ciphers ciphers, const struct ticket_page *tickets)
{
	struct config c = {.tls = {.ciphers = ciphers}};
	struct tls_server *t = NULL;

	assert_int_equal(tls_server_new(&c, tickets, &t), 0);
	return t;
}

/* The two ends shake hands as far as they get; the client reads what comes behind it. */
static bool shake(SSL *server, SSL *client)
{
	BIO *a = NULL, *b = NULL;
	bool done[2] = {false, false};
	char octet;

	assert_int_equal(BIO_new_bio_pair(&a, 65536, &b, 65536), 1);
	SSL_set_bio(server, a, a);
	SSL_set_bio(client, b, b);
	for (unsigned i = 0; i < 20; i++) {
		done[0] = SSL_do_handshake(client) == 1;
		done[1] = SSL_do_handshake(server) == 1;
	}
	if (done[0] && done[1]) {
		(void)SSL_write(server, "x", 1);
		assert_int_equal(SSL_read(client, &octet, 1), 1);
	}
	ERR_clear_error();
	return done[0] && done[1];
}

struct hello {
	const char *sni, *algorithms;
	int version; /* at most; 0: any */
	const struct identity *own;
	SSL_SESSION *session;
};

/* NULL: no handshake. Else the client's end. */
static SSL *meet(struct tls_server *t, enum tls_wish wish, const struct hello *h)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *server = NULL, *client = SSL_new(context);

	assert_int_equal(tls_server_ssl(t, wish, &server), 0);
	SSL_set_connect_state(client);
	SSL_set_verify(client, SSL_VERIFY_NONE, NULL);
	if (h->sni)
		assert_int_equal(SSL_set_tlsext_host_name(client, (char *)(uintptr_t)h->sni), 1);
	if (h->algorithms) {
		char list[64]; /* OpenSSL's macro takes it as not constant */
		(void)snprintf(list, sizeof(list), "%s", h->algorithms);
		assert_int_equal(SSL_set1_sigalgs_list(client, list), 1);
	}
	if (h->version)
		assert_int_equal(SSL_set_max_proto_version(client, h->version), 1);
	if (h->session)
		assert_int_equal(SSL_set_session(client, h->session), 1);
	if (h->own) {
		BIO *c = BIO_new_mem_buf(h->own->certificate.ptr, (int)h->own->certificate.len);
		BIO *k = BIO_new_mem_buf(h->own->key.ptr, (int)h->own->key.len);
		X509 *x = PEM_read_bio_X509(c, NULL, NULL, NULL);
		EVP_PKEY *key = PEM_read_bio_PrivateKey(k, NULL, NULL, NULL);
		assert_int_equal(SSL_use_cert_and_key(client, x, key, NULL, 1), 1);
		X509_free(x);
		EVP_PKEY_free(key);
		BIO_free(c);
		BIO_free(k);
	}
	bool met = shake(server, client);
	/* Else OpenSSL takes the session for one that was cut off, and forgets it. */
	SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(server);
	SSL_CTX_free(context);
	if (!met) {
		SSL_free(client);
		return NULL;
	}
	return client;
}

/* The common name and the kind of what the server showed: "EC a.example". */
static void shown(SSL *client, char out[static 128])
{
	X509 *x = SSL_get1_peer_certificate(client);
	char name[64] = "";

	assert_non_null(x);
	(void)X509_NAME_get_text_by_NID(
		X509_get_subject_name(x), NID_commonName, name, sizeof(name));
	bool rsa = EVP_PKEY_get_base_id(X509_get0_pubkey(x)) == EVP_PKEY_RSA;
	(void)snprintf(out, 128, "%s %s", rsa ? "RSA" : "EC", name);
	X509_free(x);
}

static void tls_server__shows_by_name_and_by_kind(void **state)
{
	static const struct {
		struct hello hello;
		const char *want;
	} rows[] = {
		{{.sni = "a.example"}, "EC a.example"},
		{{.sni = "A.EXAMPLE"}, "EC a.example"},
		{{.sni = "b.example"}, "EC b.example"},
		{{.sni = "unknown.example"}, "EC a.example"},
		{{0}, "EC a.example"},
		{{.sni = "a.example", .algorithms = "RSA-PSS+SHA256"}, "RSA a.example"},
		{{.algorithms = "RSA-PSS+SHA256"}, "RSA a.example"},
		{{.sni = "a.example", .algorithms = "RSA-PSS+SHA256", .version = TLS1_2_VERSION},
			"RSA a.example"},
		{{.sni = "a.example", .algorithms = "ECDSA+SHA256"}, "EC a.example"},
		/* b has no RSA certificate: there is nothing to agree on. */
		{{.sni = "b.example", .algorithms = "RSA-PSS+SHA256"}, NULL},
	};
	struct identity ec, rsa, other, keyless;
	struct tls_server *t = server_new(TLS_CIPHERS_INTERMEDIATE, NULL);

	(void)state;
	identity_make(&ec, PEM_EC, "a.example");
	identity_make(&rsa, PEM_RSA, "a.example");
	identity_make(&other, PEM_EC, "b.example");
	identity_make(&keyless, PEM_EC, "unknown.example"); /* never shown */
	add(t, &keyless, false);
	add(t, &ec, true);
	add(t, &rsa, true);
	add(t, &other, true);
	assert_int_equal(tls_server_finish(t), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char got[128] = "no handshake", row[32];
		SSL *client = meet(t, TLS_CLIENT_NONE, &rows[i].hello);
		if (client)
			shown(client, got);
		SSL_free(client);
		(void)snprintf(row, sizeof(row), "row %zu", i);
		want_span(
			row, span_str(rows[i].want ? rows[i].want : "no handshake"), span_str(got));
	}
	identity_done(&ec);
	identity_done(&rsa);
	identity_done(&other);
	identity_done(&keyless);
	tls_server_unref(t);
}

static void tls_server__what_is_no_use(void **state)
{
	struct tls_server *t = server_new(TLS_CIPHERS_INTERMEDIATE, NULL);
	struct identity ec, other;
	const char *why = NULL;

	(void)state;
	identity_make(&ec, PEM_EC, "a.example");
	identity_make(&other, PEM_EC, "a.example");
	want_int("empty", -ENOENT, tls_server_finish(t));
	want_int("certificate", -EINVAL,
		tls_server_add_certificate(t, SPAN_LIT("hello"), NULL, &why));
	assert_non_null(why);
	want_int("key", -EINVAL, tls_server_add_key(t, SPAN_LIT("hello"), &why));
	want_int("ocsp", -EINVAL, tls_server_add_ocsp(t, SPAN_LIT("hello")));
	want_int("roots", -EINVAL, tls_server_set_client_roots(t, SPAN_LIT("hello")));
	add(t, &ec, false);
	want_int("another's key", 0, tls_server_add_key(t, buf_span(&other.key), &why));
	want_int("no key", -ENOENT, tls_server_finish(t));
	want_int("its key", 0, tls_server_add_key(t, buf_span(&ec.key), &why));
	want_int("complete", 0, tls_server_finish(t));
	assert_int_equal(ERR_peek_error(), 0);
	identity_done(&ec);
	identity_done(&other);
	tls_server_unref(t);
}

static void tls_server__presets(void **state)
{
	static const struct {
		enum tls_ciphers preset;
		int version;
		bool want;
	} rows[] = {
		{TLS_CIPHERS_INTERMEDIATE, TLS1_3_VERSION, true},
		{TLS_CIPHERS_INTERMEDIATE, TLS1_2_VERSION, true},
		{TLS_CIPHERS_MODERN, TLS1_3_VERSION, true},
		{TLS_CIPHERS_MODERN, TLS1_2_VERSION, false},
		{TLS_CIPHERS_OLD, TLS1_2_VERSION, true},
	};
	struct identity ec;

	(void)state;
	identity_make(&ec, PEM_EC, "a.example");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct tls_server *t = server_new(rows[i].preset, NULL);
		char row[32];
		add(t, &ec, true);
		assert_int_equal(tls_server_finish(t), 0);
		SSL *client = meet(t, TLS_CLIENT_NONE, &(struct hello){.version = rows[i].version});
		(void)snprintf(row, sizeof(row), "row %zu", i);
		want_int(row, rows[i].want, client != NULL);
		SSL_free(client);
		tls_server_unref(t);
	}
	identity_done(&ec);
}

/* Two receivers, one page: a session of the one resumes at the other, until its key is forgotten.
 */
static void tls_server__tickets_are_shared(void **state)
{
	static struct ticket_page page;
	struct identity ec;
	struct tls_server *one, *two;

	(void)state;
	for (unsigned i = 0; i < TICKET_KEYS; i++)
		tickets_rotate(&page);
	identity_make(&ec, PEM_EC, "a.example");
	one = server_new(TLS_CIPHERS_INTERMEDIATE, &page);
	two = server_new(TLS_CIPHERS_INTERMEDIATE, &page);
	add(one, &ec, true);
	add(two, &ec, true);
	assert_int_equal(tls_server_finish(one), 0);
	assert_int_equal(tls_server_finish(two), 0);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct hello h = {.version = version};
		SSL *client = meet(one, TLS_CLIENT_NONE, &h);
		assert_non_null(client);
		want_int("the first time", 0, SSL_session_reused(client));
		h.session = SSL_get1_session(client);
		SSL_free(client);
		for (unsigned rotations = 0; rotations <= TICKET_KEYS; rotations++) {
			client = meet(two, TLS_CLIENT_NONE, &h);
			assert_non_null(client);
			want_int("while its key is there", rotations < TICKET_KEYS,
				SSL_session_reused(client));
			SSL_free(client);
			tickets_rotate(&page);
		}
		/* One that was made without a certificate does not get past "require". */
		client = meet(one, TLS_CLIENT_NONE, &(struct hello){.version = version});
		SSL_SESSION_free(h.session);
		h.session = SSL_get1_session(client);
		SSL_free(client);
		assert_null(meet(two, TLS_CLIENT_REQUIRE, &h));
		SSL_SESSION_free(h.session);
	}
	identity_done(&ec);
	tls_server_unref(one);
	tls_server_unref(two);
}

static void tls_server__client_certificates(void **state)
{
	struct identity ec, good, stranger;
	static const struct {
		const char *row;
		enum tls_wish wish;
		bool roots, shows, is_stranger, want;
	} rows[] = {
		{"not asked", TLS_CLIENT_NONE, true, false, false, true},
		{"asked, shows none", TLS_CLIENT_REQUEST, true, false, false, true},
		{"asked, shows a stranger's", TLS_CLIENT_REQUEST, true, true, true, true},
		{"must, shows none", TLS_CLIENT_REQUIRE, false, false, false, false},
		{"must, any will do", TLS_CLIENT_REQUIRE, false, true, true, true},
		{"must, one of ours", TLS_CLIENT_REQUIRE, true, true, false, true},
		{"must, a stranger's", TLS_CLIENT_REQUIRE, true, true, true, false},
	};

	(void)state;
	identity_make(&ec, PEM_EC, "a.example");
	identity_make(&good, PEM_EC, "alice");
	identity_make(&stranger, PEM_EC, "mallory");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct tls_server *t = server_new(TLS_CIPHERS_INTERMEDIATE, NULL);
		struct hello h = {.version = TLS1_2_VERSION};
		add(t, &ec, true);
		if (rows[i].roots)
			want_int(rows[i].row, 0,
				tls_server_set_client_roots(t, buf_span(&good.certificate)));
		assert_int_equal(tls_server_finish(t), 0);
		if (rows[i].shows)
			h.own = rows[i].is_stranger ? &stranger : &good;
		SSL *client = meet(t, rows[i].wish, &h);
		want_int(rows[i].row, rows[i].want, client != NULL);
		SSL_free(client);
		tls_server_unref(t);
	}
	identity_done(&ec);
	identity_done(&good);
	identity_done(&stranger);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tls_server__shows_by_name_and_by_kind),
		cmocka_unit_test(tls_server__what_is_no_use),
		cmocka_unit_test(tls_server__presets),
		cmocka_unit_test(tls_server__tickets_are_shared),
		cmocka_unit_test(tls_server__client_certificates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
