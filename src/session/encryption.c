/* The same for STARTTLS (RFC 3207) and for listeners that begin with TLS (RFC 8314 3.3). The newest
 * certificates are used, also by a session that began before a reload: the keys process may have
 * forgotten the older ones.
 *
 * What AUTH binds itself to (RFC 9266, RFC 5929 4) and may trust (the client's certificate) is
 * taken down here, once. */
#include "session/encryption.h"
#include "base/stats.h"
#include "net/tls.h"
#include "session/events.h"
#include "session/tls_server.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/objects.h>

#define EXPORTER_LABEL	"EXPORTER-Channel-Binding"
#define EXPORTER_OCTETS 32u

bool encryption_is_possible(const struct session *s)
{
	return !s->origin.local && s->server->tls && !stream_tls(s->io);
}

/* RFC 9266 2. Below TLS 1.3 libraries disagree on what an empty context is; clients have the other
 * binding there. */
static void take_exporter(struct session *s, SSL *ssl)
{
	uint8_t octets[EXPORTER_OCTETS];

	if (SSL_version(ssl) < TLS1_3_VERSION)
		return;
	if (SSL_export_keying_material(ssl, octets, sizeof(octets), EXPORTER_LABEL,
		    sizeof(EXPORTER_LABEL) - 1, (const unsigned char *)"", 0, 1) == 1)
		buf_append(&s->exporter, octets, sizeof(octets));
}

/* RFC 5929 4.1: the certificate's own digest, but SHA-256 where that is MD5 or SHA-1. */
static void take_end_point(struct session *s, const SSL *ssl)
{
	const X509 *shown = SSL_get_certificate(ssl);
	int nid = NID_undef;
	unsigned len = 0;
	uint8_t octets[EVP_MAX_MD_SIZE];

	if (!shown ||
		X509_get_signature_info((X509 *)(uintptr_t)shown, &nid, NULL, NULL, NULL) != 1)
		return;
	if (nid == NID_md5 || nid == NID_sha1 || nid == NID_md5_sha1)
		nid = NID_sha256;
	const EVP_MD *md = EVP_get_digestbynid(nid);
	if (md && X509_digest(shown, md, octets, &len) == 1)
		buf_append(&s->end_point, octets, len);
}

static void take_client(struct session *s, const SSL *ssl)
{
	uint8_t digest[TLS_FINGERPRINT_OCTETS];

	if (tls_peer_fingerprint(ssl, digest) < 0)
		return;
	buf_append(&s->fingerprint, digest, sizeof(digest));
	/* Anybody can write any name into a certificate. */
	if (SSL_get_verify_result(ssl) == X509_V_OK && tls_peer_subject(ssl, &s->subject) < 0)
		buf_reset(&s->subject);
}

static enum tls_wish wish_of(const struct session *s)
{
	enum tls_wish own = s->origin.tls_client;

	return own == TLS_CLIENT_INHERIT ? s->config->tls.client : own;
}

int encryption_start(struct session *s)
{
	uint64_t began_usec = loop_now_usec();
	SSL *ssl = NULL;

	s->tls_server = tls_server_ref(s->server->tls);
	int r = tls_server_ssl(s->tls_server, wish_of(s), &ssl);
	if (r == 0)
		r = stream_start_tls(s->io, ssl, s->config->tls.handshake_timeout);
	if (r < 0) {
		STATS_ADD(tls_failed_total, 1);
		event_tls_failed(s, r);
		return r;
	}
	ssl = stream_tls(s->io);
	take_exporter(s, ssl);
	take_end_point(s, ssl);
	take_client(s, ssl);
	ERR_clear_error();
	STATS_ADD(tls_handshakes_total, 1);
	if (SSL_session_reused(ssl))
		STATS_ADD(tls_resumed_total, 1);
	event_tls(s, loop_now_usec() - began_usec);
	return 0;
}
