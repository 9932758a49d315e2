/* What the tests of TLS share: a certificate made on the spot, and two streams with a fiber each.
 */
#pragma once
#include "harness.h"
#include "net/tls.h"
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static inline X509 *certificate_make(EVP_PKEY *key, const char *name)
{
	X509 *x = X509_new();
	assert_non_null(x);
	assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
		(const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	return x;
}

/* Two streams on a socketpair and a body for each side; every side frees its stream at its end. */
struct pair {
	struct stream *server, *client;
	void (*server_body)(struct stream *s);
	void (*client_body)(struct stream *s);
};

static inline void server_run(void *arg)
{
	struct pair *p = arg;
	p->server_body(p->server);
	stream_freep(&p->server);
}

static inline void client_run(void *arg)
{
	struct pair *p = arg;
	p->client_body(p->client);
	stream_freep(&p->client);
}

static inline void run_pair_on(
	int type, void (*server)(struct stream *), void (*client)(struct stream *))
{
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	struct pair p = {.server_body = server, .client_body = client};
	assert_int_equal(stream_new(fds[0], &p.server), 0);
	assert_int_equal(stream_new(fds[1], &p.client), 0);
	spawn(server_run, &p);
	spawn(client_run, &p);
	run_to_end();
	assert_int_equal(ERR_peek_error(), 0);
}

static inline void run_pair(void (*server)(struct stream *), void (*client)(struct stream *))
{
	run_pair_on(SOCK_STREAM, server, client);
}
