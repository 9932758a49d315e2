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

bool encryption_is_possible(const struct session *s)
{
	return !s->origin.local && s->server->tls && !stream_tls(s->io);
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
	/* A connection without one has none, and offers no -PLUS. Nobody logs in but here. */
	if (s->origin.role == LISTENER_SUBMISSION) {
		(void)tls_exporter(ssl, &s->exporter);
		(void)tls_end_point(SSL_get_certificate(ssl), &s->end_point);
	}
	take_client(s, ssl);
	ERR_clear_error();
	STATS_ADD(tls_handshakes_total, 1);
	if (SSL_session_reused(ssl))
		STATS_ADD(tls_resumed_total, 1);
	event_tls(s, loop_now_usec() - began_usec);
	return 0;
}
