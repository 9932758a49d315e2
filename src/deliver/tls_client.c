/* The client's side of TLS (RFC 3207, 8314). What is verified is said to OpenSSL before the
 * handshake, so that a connection that fails verification never carries a command.
 *
 * - DANE (RFC 7672): OpenSSL's own matcher, with digest agility (RFC 7671 9); for DANE-EE neither
 *   names nor dates count (RFC 7672 3.1.1), for DANE-TA the reference identifiers are the TLSA base
 *   domain and the next-hop domain (3.2.2). SNI is the base domain (8.1).
 * - Names and roots (PKIX): wildcards stand for one whole label only (RFC 6125 6.4.3).
 * - Fingerprints are looked at behind the handshake, before anything is said.
 *
 * A session is resumed only under the same key, which has the policy in it: a session made without
 * verification is never the basis of a verified connection. */
#include "deliver/tls_client.h"
#include "deliver/roots.h"
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"

struct session {
	struct list node; /* most recently used first */
	struct span key;  /* of its own memory */
	SSL_SESSION *ssl;
};
struct tls_client {
	SSL_CTX *context;
	struct map *by_key;
	struct list sessions;
	size_t n_sessions;
};
/* Hangs on an SSL: where its sessions go. */
struct tag {
	struct tls_client *client;
	bool refused; /* do not keep its sessions */
	size_t len;
	char key[];
};
static int tag_index = -1;

/* ---- sessions ---- */

static void session_free(struct tls_client *t, struct session *s)
{
	(void)map_remove(t->by_key, s->key);
	list_remove(&s->node);
	t->n_sessions--;
	SSL_SESSION_free(s->ssl);
	free((char *)(uintptr_t)s->key.ptr);
	free(s);
}

static void session_drop(struct tls_client *t, struct span key)
{
	struct session *s = map_get(t->by_key, key);
	if (s)
		session_free(t, s);
}

static bool session_keep(struct tls_client *t, struct span key, SSL_SESSION *ssl)
{
	session_drop(t, key);
	struct session *s = calloc(1, sizeof(*s));
	char *copy = malloc(key.len + 1);
	if (s && copy) {
		memcpy(copy, key.ptr, key.len);
		s->key = span_make(copy, key.len);
		s->ssl = ssl;
	}
	if (!s || !copy || map_put(t->by_key, s->key, s) < 0) {
		free(s);
		free(copy);
		return false;
	}
	list_push_front(&t->sessions, &s->node);
	if (++t->n_sessions > TLS_SESSIONS_MAX)
		session_free(t, CONTAINER_OF(t->sessions.prev, struct session, node));
	return true;
}

/* 1: the session's reference is ours now. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct tag *tag = SSL_get_ex_data(ssl, tag_index);
	if (!tag || tag->refused || !SSL_SESSION_is_resumable(session))
		return 0;
	return session_keep(tag->client, span_make(tag->key, tag->len), session) ? 1 : 0;
}

static void on_tag_free(
	void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	free(ptr);
}

int tls_client_new(struct tls_client **ret_client)
{
	struct tls_client *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	list_init(&t->sessions);
	t->by_key = map_new(0);
	int r = t->by_key ? tls_context_new(false, &t->context) : -ENOMEM;
	if (r >= 0 && tag_index < 0)
		tag_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_tag_free);
	if (r >= 0 && (tag_index < 0 || SSL_CTX_dane_enable(t->context) != 1))
		r = -ENOMEM;
	if (r < 0) {
		tls_client_free(t);
		return r;
	}
	SSL_CTX_set_session_cache_mode(
		t->context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(t->context, on_session);
	*ret_client = t;
	return 0;
}

void tls_client_free(struct tls_client *t)
{
	if (!t)
		return;
	list_foreach_safe (n, next, &t->sessions)
		session_free(t, CONTAINER_OF(n, struct session, node));
	tls_context_freep(&t->context);
	map_free(t->by_key);
	free(t);
}
/* ---- before the handshake ---- */

static int set_tag(struct tls_client *t, SSL *ssl, struct span key)
{
	struct tag *tag = calloc(1, sizeof(*tag) + key.len);
	if (!tag)
		return -ENOMEM;
	tag->client = t;
	tag->len = key.len;
	memcpy(tag->key, key.ptr, key.len);
	if (SSL_set_ex_data(ssl, tag_index, tag) != 1) {
		free(tag);
		return -ENOMEM;
	}
	struct session *kept = map_get(t->by_key, key);
	if (kept) {
		(void)SSL_set_session(ssl, kept->ssl); /* it takes a reference of its own */
		/* A TLS 1.3 ticket is for one use (RFC 8446 C.4); the peer sends new ones. */
		if (SSL_SESSION_get_protocol_version(kept->ssl) >= TLS1_3_VERSION)
			session_free(t, kept);
	}
	return 0;
}

/* OpenSSL wants NUL-terminated names; names with NUL inside are nobody's. */
static int with_name(SSL *ssl, struct span name, int (*set)(SSL *, const char *))
{
	char text[RESOLVE_NAME_MAX + 2];
	if (name.len == 0 || name.len >= sizeof(text) || memchr(name.ptr, '\0', name.len))
		return -EINVAL;
	memcpy(text, name.ptr, name.len);
	text[name.len] = '\0';
	return set(ssl, text) == 1 ? 0 : -ENOMEM;
}

static int set_sni(SSL *ssl, const char *name)
{
	return (int)SSL_set_tlsext_host_name(ssl, (char *)(uintptr_t)name); /* its macro casts */
}

static int set_names(SSL *ssl, const struct tls_target *g)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
	if (g->san_only)
		flags |= X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
	SSL_set_hostflags(ssl, flags);
	/* One kind only: OpenSSL would want a name and the address both to match. */
	if (g->n_names == 0 && g->literal.len > 0) {
		struct buf text = BUF_INIT(128);
		address_format_host(&g->literal, &text);
		buf_char(&text, '\0');
		int r = text.error					      ? text.error
			: X509_VERIFY_PARAM_set1_ip_asc(param, text.ptr) == 1 ? 0
									      : -EINVAL;
		buf_done(&text);
		return r;
	}
	for (unsigned i = 0; i < g->n_names; i++) {
		int r = with_name(ssl, g->names[i], SSL_add1_host);
		if (r < 0)
			return r;
	}
	return 0;
}

static int set_dane(SSL *ssl, const struct tls_target *g)
{
	const struct dane *d = g->dane;
	int r = with_name(ssl, d->base, SSL_dane_enable); /* SNI and the first name too */
	if (r < 0)
		return r;
	(void)SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	unsigned usable = 0;
	for (unsigned i = 0; i < d->n; i++) {
		const struct resolve_tlsa *t = &d->records[i];
		usable += SSL_dane_tlsa_add(ssl, t->usage, t->selector, t->matching,
				  (const unsigned char *)t->data.ptr, t->data.len) == 1;
	}
	if (usable == 0)
		return -EKEYREJECTED; /* dane_is_usable thought otherwise: never less than asked */
	return set_names(ssl, g);
}

static int prepare(struct tls_client *t, const struct tls_target *g, SSL **ret_ssl)
{
	SSL *ssl = SSL_new(t->context);
	if (!ssl)
		return -ENOMEM;
	SSL_set_connect_state(ssl);
	int r = set_tag(t, ssl, g->key);
	X509_STORE *roots = r >= 0 ? roots_store(g->roots) : NULL;
	if (roots && SSL_set1_verify_cert_store(ssl, roots) != 1)
		r = -ENOMEM;
	if (r >= 0 && g->certificate &&
		SSL_use_cert_and_key(ssl, g->certificate->leaf, g->certificate_key,
			g->certificate->chain, 1) != 1)
		r = -ENOKEY;
	bool dane = g->want == TLS_WANT_DANE;
	bool pins = g->want == TLS_WANT_PKIX && g->n_fingerprints > 0;
	if (r >= 0)
		r = dane ? set_dane(ssl, g) : set_names(ssl, g);
	if (r >= 0 && !dane && g->host.len > 0)
		r = with_name(ssl, g->host, set_sni);
	SSL_set_verify(ssl,
		dane || (g->want == TLS_WANT_PKIX && !pins) ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
		NULL);
	ERR_clear_error();
	if (r < 0) {
		SSL_free(ssl);
		return r;
	}
	*ret_ssl = ssl;
	return 0;
}

/* ---- behind it ---- */

static enum tls_failure failure_of(long verify_result)
{
	switch (verify_result) {
	case X509_V_OK:
		return TLS_OK;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return TLS_NAME_MISMATCH;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return TLS_EXPIRED;
	case X509_V_ERR_DANE_NO_MATCH:
		return TLS_TLSA_INVALID;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_UNTRUSTED:
		return TLS_NOT_TRUSTED;
	default:
		return TLS_OTHER;
	}
}

static bool fingerprint_matches(const SSL *ssl, const struct tls_target *g)
{
	uint8_t digest[TLS_FINGERPRINT_OCTETS];
	char hex[2 * TLS_FINGERPRINT_OCTETS + 1];
	if (tls_peer_fingerprint(ssl, digest) < 0)
		return false;
	for (size_t i = 0; i < sizeof(digest); i++) {
		hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
	}
	hex[sizeof(hex) - 1] = '\0';
	for (size_t i = 0; i < g->n_fingerprints; i++)
		if (strcmp(hex, g->fingerprints[i]) == 0)
			return true;
	return false;
}

static void handshake_failed(
	const struct stream *s, const struct tls_target *g, int error, struct tls_verdict *v)
{
	long result = stream_tls_verify_result(s);
	const char *words = stream_tls_error(s);
	v->failure = error == -EKEYREJECTED ? failure_of(result) : TLS_OTHER;
	if (v->failure == TLS_OK)
		v->failure = TLS_OTHER;
	buf_printf(&v->text, "%s",
		error == -EKEYREJECTED && result != X509_V_OK
			? X509_verify_cert_error_string(result)
		: words && *words ? words
				  : strerrordesc_np(-error));
	if (g->want == TLS_WANT_DANE && error == -EKEYREJECTED)
		buf_str(&v->text, " (by its TLSA records)");
}

static int established(SSL *ssl, const struct tls_target *g, struct tls_verdict *v)
{
	struct tls_facts facts;
	tls_facts(ssl, &facts);
	v->failure = failure_of(SSL_get_verify_result(ssl));
	if (!facts.peer_certificate)
		v->failure = TLS_NOT_TRUSTED;
	v->verified_by = v->failure != TLS_OK ? NULL : g->want == TLS_WANT_DANE ? "dane" : "pkix";
	if (g->want == TLS_WANT_PKIX && g->n_fingerprints > 0) {
		if (!fingerprint_matches(ssl, g)) {
			struct tag *tag = SSL_get_ex_data(ssl, tag_index);
			tag->refused = true;
			session_drop(tag->client, g->key);
			v->failure = TLS_NOT_TRUSTED;
			v->verified_by = NULL;
			buf_str(&v->text, "its certificate has none of the wanted fingerprints");
			return -EKEYREJECTED;
		}
		v->failure = TLS_OK;
		v->verified_by = "fingerprint";
	}
	/* Roots without a name prove nobody. */
	if (g->want < TLS_WANT_PKIX && g->n_names == 0 && g->literal.len == 0)
		v->verified_by = NULL;
	buf_printf(&v->text, "%s %s %s", facts.version, facts.cipher,
		v->verified_by ? v->verified_by : "unverified");
	if (facts.resumed)
		buf_str(&v->text, " resumed");
	return 0;
}

int tls_client_start(struct tls_client *t, struct stream *s, const struct tls_target *g,
	uint64_t timeout_usec, struct tls_verdict *v)
{
	SSL *ssl;
	v->failure = TLS_OTHER;
	v->verified_by = NULL;
	int r = prepare(t, g, &ssl);
	if (r < 0) {
		buf_printf(&v->text, "cannot prepare: %s", strerrordesc_np(-r));
		return r;
	}
	r = stream_start_tls(s, ssl, timeout_usec);
	if (r < 0) {
		session_drop(t, g->key); /* it may have been the session */
		handshake_failed(s, g, r, v);
		return r;
	}
	return established(stream_tls(s), g, v);
}
