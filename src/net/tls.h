/* TLS (OpenSSL 3) as another transport below a stream: after stream_start_tls the stream behaves
 * as before, encrypted. RFC 8446, RFC 5246; RFC 3207 and 8314 are its users' business.
 *
 * OpenSSL's error queue belongs to the thread, not to a fiber: it is cleared before each call into
 * the library and read right after it, never across a suspension. */
#pragma once
#include "net/stream.h"
#include <openssl/ssl.h>

/* A context with what both sides want: TLS 1.2 and 1.3, no compression, no renegotiation, buffers
 * that an idle connection gives back; no openssl.cnf is read. Trust, certificates, ciphers and
 * sessions are the caller's. -ENOMEM. */
MUST_CHECK int tls_context_new(bool server, SSL_CTX **ret_context);
void tls_context_freep(SSL_CTX **context);

/* Flushes, then shakes hands on the calling fiber, within timeout_usec in all. ssl: made from a
 * context above, with SSL_set_accept_state or SSL_set_connect_state (and SNI, verification, session
 * to resume) done; taken over, also on error.
 * The last flight may wait for the words behind it: it leaves with them, at stream_flush, or when
 * the stream waits.
 * A private-key callback may suspend inside. Octets of plain text that are buffered here already
 * (commands behind STARTTLS, replies behind its 220: somebody injects) are never used: -EPROTO.
 * Errors: -ETIMEDOUT, -ECANCELED, -ECONNRESET, -ENOMEM, -EPROTO (handshake failed),
 * -EKEYREJECTED (the peer's certificate was not accepted); stream_tls_error has words. After an
 * error the stream says the same for ever: nothing falls back to plain text on it. */
SUSPENDS MUST_CHECK int stream_start_tls(struct stream *s, SSL *ssl, uint64_t timeout_usec);
/* NULL before a successful stream_start_tls. Stays the stream's. */
SSL *stream_tls(const struct stream *s);
/* Why TLS failed, in OpenSSL's words ("no shared cipher", "certificate has expired"), or "". Static
 * text. */
const char *stream_tls_error(const struct stream *s);
/* After a failed handshake: what verification said (X509_V_OK where it did not get there). */
long stream_tls_verify_result(const struct stream *s);

/* What was agreed. Pointers live as long as the SSL. */
struct tls_facts {
	const char *version;   /* "TLSv1.3" */
	const char *cipher;    /* "TLS_AES_256_GCM_SHA384" */
	int bits;	       /* of the cipher */
	const char *sni;       /* the name asked for, or NULL */
	const char *peer_name; /* the name in the peer's certificate that matched, or NULL */
	bool peer_certificate; /* the peer showed one */
	bool verified;	       /* and it was verified against the context's roots */
	bool resumed;
};
void tls_facts(const SSL *ssl, struct tls_facts *ret_facts);

#define TLS_FINGERPRINT_OCTETS 32u
/* SHA-256 of the peer's certificate (DER). -ENOENT: it showed none. */
MUST_CHECK int tls_peer_fingerprint(const SSL *ssl, uint8_t ret_digest[TLS_FINGERPRINT_OCTETS]);
/* What a login can be bound to. RFC 9266 2; -ENOTSUP below TLS 1.3, where libraries disagree on
 * what an empty context is. */
int tls_exporter(SSL *ssl, struct buf *out);
/* RFC 5929 4.1, tls-server-end-point, of the certificate that the server showed. -ENOTSUP. */
int tls_end_point(const X509 *shown, struct buf *out);
/* Subject of the peer's certificate as RFC 2253 text in UTF-8. -ENOENT: it showed none. */
MUST_CHECK int tls_peer_subject(const SSL *ssl, struct buf *out);
