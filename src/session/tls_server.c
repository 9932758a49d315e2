/* One SSL_CTX for all names. A client that asks for the default's names gets what the context has;
 * for another name (RFC 6066 3) the certificate callback puts other identities into this one
 * handshake. For each kind of key the first certificate that covers the name is taken, so that an
 * RSA and an ECDSA certificate stand side by side and the client's algorithms choose. A name that
 * nobody covers gets the default: a mail client that minds will say so itself.
 *
 * Ciphers follow Mozilla's server side TLS recommendation (intermediate, modern, old), without its
 * finite-field Diffie-Hellman: whoever has that has elliptic curves too, and it costs the server
 * more than the client (CVE-2002-20001). RSA key transport is in none: the keys process does not
 * decrypt. */
#include "session/tls_server.h"
#include "net/certificate.h"
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IDENTITIES_MAX 256u

struct identity {
	struct certificate *certificate;
	EVP_PKEY *key; /* NULL: not yet */
	struct buf ocsp;
	int64_t ocsp_ends_sec; /* wall; 0: no end is told */
};
struct tls_server {
	unsigned refs;
	SSL_CTX *context;
	const struct ticket_page *tickets;
	EVP_CIPHER *ticket_cipher; /* fetched once */
	struct identity *identities;
	size_t n;
	size_t chosen[2]; /* the default's, by slot; n: none */
	bool has_client_roots;
};

/* ---- choosing ---- */

static size_t slot_of(const struct identity *i)
{
	return i->certificate->key_type == EVP_PKEY_RSA ? 0 : 1;
}

/* The first identity of each kind that covers the name; false: none does. */
static bool choose(const struct tls_server *t, struct span name, size_t ret_chosen[2])
{
	ret_chosen[0] = ret_chosen[1] = t->n;
	for (size_t i = 0; i < t->n; i++) {
		const struct identity *id = &t->identities[i];
		size_t *slot = &ret_chosen[slot_of(id)];
		if (*slot == t->n && id->key && certificate_covers(id->certificate, name))
			*slot = i;
	}
	return ret_chosen[0] < t->n || ret_chosen[1] < t->n;
}

/* The first certificate, and one of the other kind for the same name. */
static void choose_default(struct tls_server *t)
{
	struct buf name = BUF_INIT(1024);
	size_t first = 0;

	while (first < t->n && !t->identities[first].key)
		first++;
	t->chosen[0] = t->chosen[1] = t->n;
	if (first == t->n)
		return;
	certificate_first_name(t->identities[first].certificate, &name);
	if (name.error == 0 && name.len > 1)
		(void)choose(t, span_make(name.ptr, name.len - 1), t->chosen);
	t->chosen[slot_of(&t->identities[first])] = first;
	buf_done(&name);
}

static int use(SSL *ssl, const struct identity *i)
{
	return SSL_use_cert_and_key(ssl, i->certificate->leaf, i->key, i->certificate->chain, 1);
}

/* In the handshake, behind the client's hello. 1: go on. */
static int on_certificate(SSL *ssl, void *arg)
{
	const struct tls_server *t = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	size_t chosen[2];

	if (!name || !choose(t, span_str(name), chosen) ||
		(chosen[0] == t->chosen[0] && chosen[1] == t->chosen[1]))
		return 1;
	SSL_certs_clear(ssl);
	for (size_t i = 0; i < ARRAY_LEN(chosen); i++)
		if (chosen[i] < t->n && use(ssl, &t->identities[chosen[i]]) != 1)
			return 0;
	return 1;
}

/* SNI is an answer to the client, too: without this it would not be told (RFC 6066 3). */
static int on_servername(SSL *ssl, int *alert, void *arg)
{
	(void)ssl;
	(void)alert;
	(void)arg;
	return SSL_TLSEXT_ERR_OK;
}

/* RFC 6066 8: the response for the certificate that goes out, while it is fresh. */
static int on_status(SSL *ssl, void *arg)
{
	const struct tls_server *t = arg;
	const X509 *shown = SSL_get_certificate(ssl);
	int64_t now = (int64_t)(loop_wall_usec() / USEC_PER_SEC);

	for (size_t i = 0; shown && i < t->n; i++) {
		const struct identity *id = &t->identities[i];
		if (id->ocsp.len == 0 || X509_cmp(id->certificate->leaf, shown) != 0 ||
			(id->ocsp_ends_sec > 0 && id->ocsp_ends_sec <= now))
			continue;
		unsigned char *copy = OPENSSL_memdup(id->ocsp.ptr, id->ocsp.len);
		if (copy && SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)id->ocsp.len) == 1)
			return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_NOACK;
}

/* ---- tickets ---- */

static int ticket_mac(EVP_MAC_CTX *mac, struct ticket_key *k)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string("key", k->hmac, sizeof(k->hmac)),
		OSSL_PARAM_construct_utf8_string("digest", digest, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params);
}

static int ticket_seal(const struct tls_server *t, struct ticket_key *k, unsigned char *name,
	unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	memcpy(name, k->name, sizeof(k->name));
	if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(t->ticket_cipher)) != 1 ||
		EVP_EncryptInit_ex2(cipher, t->ticket_cipher, k->aes, iv, NULL) != 1)
		return -1;
	return ticket_mac(mac, k) == 1 ? 1 : -1;
}

/* 0: unknown, a full handshake; 1; 2: a new ticket as well. */
static int ticket_open(const struct tls_server *t, struct ticket_key keys[TICKET_KEYS],
	const unsigned char *name, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac)
{
	for (size_t i = 0; i < TICKET_KEYS; i++) {
		if (memcmp(name, keys[i].name, sizeof(keys[i].name)) != 0)
			continue;
		if (ticket_mac(mac, &keys[i]) != 1 ||
			EVP_DecryptInit_ex2(cipher, t->ticket_cipher, keys[i].aes, iv, NULL) != 1)
			return -1;
		return i == 0 ? 1 : 2;
	}
	return 0;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int encrypting)
{
	const struct tls_server *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct ticket_key keys[TICKET_KEYS];
	int r = encrypting ? -1 : 0;

	if (tickets_read(t->tickets, keys) == 0)
		r = encrypting ? ticket_seal(t, &keys[0], name, iv, cipher, mac)
			       : ticket_open(t, keys, name, iv, cipher, mac);
	OPENSSL_cleanse(keys, sizeof(keys));
	return r;
}

/* ---- the context ---- */

#define SUITES_INTERMEDIATE                                                                        \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                               \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                               \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

static int set_ciphers(SSL_CTX *c, enum tls_ciphers preset)
{
	static const struct {
		int version;
		const char *suites; /* up to TLS 1.2; those of 1.3 are all good */
	} presets[] = {
		[TLS_CIPHERS_INTERMEDIATE] = {TLS1_2_VERSION, SUITES_INTERMEDIATE},
		[TLS_CIPHERS_MODERN] = {TLS1_3_VERSION, SUITES_INTERMEDIATE},
		/* Level 0: TLS 1.0 and 1.1 sign with SHA-1. */
		[TLS_CIPHERS_OLD] = {TLS1_VERSION, SUITES_INTERMEDIATE
			":ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:"
			"ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:"
			"ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:"
			"ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:@SECLEVEL=0"},
	};

	char groups[] = "X25519:P-256:P-384"; /* OpenSSL's macro takes it as not constant */

	return SSL_CTX_set_min_proto_version(c, presets[preset].version) == 1 &&
	       SSL_CTX_set_cipher_list(c, presets[preset].suites) == 1 &&
	       SSL_CTX_set1_groups_list(c, groups) == 1;
}

int tls_server_new(
	const struct config *c, const struct ticket_page *tickets, struct tls_server **ret_server)
{
	struct tls_server *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->refs = 1;
	t->tickets = tickets;
	int r = tls_context_new(true, &t->context);
	t->ticket_cipher = r == 0 ? EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL) : NULL;
	if (r == 0 && !t->ticket_cipher)
		r = -ENOMEM;
	if (r == 0 && !set_ciphers(t->context, c->tls.ciphers))
		r = -EINVAL;
	ERR_clear_error();
	if (r < 0) {
		tls_server_unref(t);
		return r;
	}
	SSL_CTX_set_app_data(t->context, t);
	SSL_CTX_set_cert_cb(t->context, on_certificate, t);
	SSL_CTX_set_tlsext_servername_callback(t->context, on_servername);
	SSL_CTX_set_tlsext_status_cb(t->context, on_status);
	SSL_CTX_set_tlsext_status_arg(t->context, t);
	/* What a session needs travels with the client: nothing is kept here. */
	SSL_CTX_set_session_cache_mode(t->context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(t->context, TICKET_LIFE_SEC);
	SSL_CTX_set_num_tickets(t->context, 1);
	/* All suites are good; ours first, but ChaCha where the client has no AES in hardware and
	 * says so by its own first. */
	SSL_CTX_set_options(t->context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	if (tickets)
		SSL_CTX_set_tlsext_ticket_key_evp_cb(t->context, on_ticket);
	else
		SSL_CTX_set_options(t->context, SSL_OP_NO_TICKET);
	*ret_server = t;
	return 0;
}

struct tls_server *tls_server_ref(struct tls_server *t)
{
	t->refs++;
	return t;
}

void tls_server_unref(struct tls_server *t)
{
	if (!t || --t->refs > 0)
		return;
	for (size_t i = 0; i < t->n; i++) {
		certificate_free(t->identities[i].certificate);
		EVP_PKEY_free(t->identities[i].key);
		buf_done(&t->identities[i].ocsp);
	}
	free(t->identities);
	SSL_CTX_free(t->context);
	EVP_CIPHER_free(t->ticket_cipher);
	free(t);
}

void tls_server_unrefp(struct tls_server **t)
{
	tls_server_unref(TAKE(*t));
}

/* ---- building ---- */

int tls_server_add_certificate(struct tls_server *t, struct span pem,
	const struct remote_signer *signer, const char **ret_why)
{
	CLEANUP(certificate_freep) struct certificate *c = NULL;
	EVP_PKEY *key = NULL;

	*ret_why = "there are too many";
	struct identity *grown =
		t->n < IDENTITIES_MAX ? realloc(t->identities, (t->n + 1) * sizeof(*grown)) : NULL;
	if (!grown)
		return -ENOMEM;
	t->identities = grown;
	int r = certificate_parse(pem, &c, ret_why);
	if (r == 0 && signer) {
		*ret_why = "its key is neither RSA nor ECDSA";
		r = remote_key_new(X509_get0_pubkey(c->leaf), signer, &key);
	}
	if (r < 0)
		return r;
	t->identities[t->n++] = (struct identity){
		.certificate = TAKE(c), .key = key, .ocsp = BUF_INIT(CERTIFICATE_FILE_MAX)};
	return 0;
}

int tls_server_add_key(struct tls_server *t, struct span pem, const char **ret_why)
{
	EVP_PKEY *key = NULL;
	int r = private_key_parse(pem, &key, ret_why);

	if (r < 0)
		return r;
	for (size_t i = 0; i < t->n; i++) {
		struct identity *id = &t->identities[i];
		if (id->key || EVP_PKEY_eq(key, X509_get0_pubkey(id->certificate->leaf)) != 1)
			continue;
		if (EVP_PKEY_up_ref(key) == 1)
			id->key = key;
	}
	EVP_PKEY_free(key);
	ERR_clear_error();
	return 0;
}

/* The serial number that a response is about, and until when; false: it is no response. */
static bool ocsp_facts(struct span der, ASN1_INTEGER **ret_serial, int64_t *ret_ends_sec)
{
	const unsigned char *p = (const unsigned char *)der.ptr;
	OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &p, (long)der.len);
	OCSP_BASICRESP *basic = response ? OCSP_response_get1_basic(response) : NULL;
	OCSP_SINGLERESP *single = basic ? OCSP_resp_get0(basic, 0) : NULL;
	ASN1_INTEGER *serial = NULL;
	ASN1_GENERALIZEDTIME *next = NULL;
	struct tm tm;

	*ret_ends_sec = 0;
	if (single) {
		const OCSP_CERTID *id = OCSP_SINGLERESP_get0_id(single);
		(void)OCSP_id_get0_info(NULL, NULL, NULL, &serial, (OCSP_CERTID *)(uintptr_t)id);
		(void)OCSP_single_get0_status(single, NULL, NULL, NULL, &next);
	}
	*ret_serial = serial ? ASN1_INTEGER_dup(serial) : NULL;
	if (next && ASN1_TIME_to_tm(next, &tm) == 1)
		*ret_ends_sec = (int64_t)timegm(&tm);
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(response);
	ERR_clear_error();
	return *ret_serial != NULL;
}

int tls_server_add_ocsp(struct tls_server *t, struct span der)
{
	ASN1_INTEGER *serial = NULL;
	int64_t ends_sec;
	int r = ocsp_facts(der, &serial, &ends_sec) ? -ENOENT : -EINVAL;

	for (size_t i = 0; serial && i < t->n; i++) {
		struct identity *id = &t->identities[i];
		if (ASN1_INTEGER_cmp(X509_get0_serialNumber(id->certificate->leaf), serial) != 0)
			continue;
		buf_reset(&id->ocsp);
		buf_put(&id->ocsp, der);
		id->ocsp_ends_sec = ends_sec;
		r = id->ocsp.error;
	}
	ASN1_INTEGER_free(serial);
	return r;
}

int tls_server_set_client_roots(struct tls_server *t, struct span pem)
{
	BIO *bio = pem.len <= CERTIFICATE_FILE_MAX ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
	int r = bio ? -EINVAL : -ENOMEM;

	for (X509 *x; bio && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL));) {
		if (X509_STORE_add_cert(SSL_CTX_get_cert_store(t->context), x) == 1 &&
			SSL_CTX_add_client_CA(t->context, x) == 1)
			r = 0;
		X509_free(x);
	}
	BIO_free(bio);
	ERR_clear_error();
	t->has_client_roots = r == 0;
	return r;
}

int tls_server_finish(struct tls_server *t)
{
	choose_default(t);
	for (size_t i = 0; i < ARRAY_LEN(t->chosen); i++) {
		if (t->chosen[i] == t->n)
			continue;
		const struct identity *id = &t->identities[t->chosen[i]];
		if (SSL_CTX_use_cert_and_key(t->context, id->certificate->leaf, id->key,
			    id->certificate->chain, 1) != 1) {
			ERR_clear_error();
			return -EINVAL;
		}
	}
	return t->chosen[0] == t->n && t->chosen[1] == t->n ? -ENOENT : 0;
}

/* ---- connections ---- */

/* Accepted here and judged later: by its fingerprint, or not at all. What verification said stays
 * in SSL_get_verify_result. */
static int accept_any(int ok, X509_STORE_CTX *context)
{
	(void)ok;
	(void)context;
	return 1;
}

int tls_server_ssl(struct tls_server *t, enum tls_wish client, SSL **ret_ssl)
{
	/* A session that was made without a certificate must not resume where one is required. */
	static const char *const ids[] = {"", "n", "request", "require"};
	SSL *ssl = SSL_new(t->context);

	if (!ssl || SSL_set_session_id_context(ssl, (const unsigned char *)ids[client],
			    (unsigned)strlen(ids[client])) != 1) {
		SSL_free(ssl);
		ERR_clear_error();
		return -ENOMEM;
	}
	int mode = client == TLS_CLIENT_REQUIRE ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
						: SSL_VERIFY_PEER;
	if (client == TLS_CLIENT_REQUEST || client == TLS_CLIENT_REQUIRE)
		SSL_set_verify(ssl, mode,
			client == TLS_CLIENT_REQUIRE && t->has_client_roots ? NULL : accept_any);
	SSL_set_accept_state(ssl);
	*ret_ssl = ssl;
	return 0;
}
