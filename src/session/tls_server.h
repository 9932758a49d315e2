/* What our side of TLS shows and agrees to: certificates by the name that is asked for, ciphers,
 * session tickets, stapled OCSP responses, the wish for a client's certificate. Made anew at each
 * reload; connections keep the one that they began with. Counted references; one thread. */
#pragma once
#include "config/config.h"
#include "net/remote_key.h"
#include "net/tickets.h"
#include <openssl/ssl.h>

struct tls_server;
/* tickets: may be NULL (no resumption); outlives it. */
MUST_CHECK int tls_server_new(
	const struct config *c, const struct ticket_page *tickets, struct tls_server **ret_server);
struct tls_server *tls_server_ref(struct tls_server *t);
void tls_server_unref(struct tls_server *t); /* NULL allowed */
void tls_server_unrefp(struct tls_server **t);

/* Building: certificates first. signer: who signs for it (it outlives all handshakes); NULL: a key
 * that is added later. -EINVAL: *ret_why says why (static text). */
MUST_CHECK int tls_server_add_certificate(struct tls_server *t, struct span pem,
	const struct remote_signer *signer, const char **ret_why);
MUST_CHECK int tls_server_add_key(struct tls_server *t, struct span pem, const char **ret_why);
MUST_CHECK int tls_server_add_ocsp(struct tls_server *t, struct span der);
MUST_CHECK int tls_server_set_client_roots(struct tls_server *t, struct span pem);
/* Nothing is added behind it. -ENOENT: there is no certificate that has a key. */
MUST_CHECK int tls_server_finish(struct tls_server *t);

/* An SSL for one connection, ready for stream_start_tls. */
MUST_CHECK int tls_server_ssl(struct tls_server *t, enum tls_wish client, SSL **ret_ssl);
