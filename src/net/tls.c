/* TLS as a transport: OpenSSL reads and writes through a BIO of ours, which is the plain transport.
 *
 * Invariants:
 * - The error queue of OpenSSL is the thread's: cleared before each call, read right behind it, and
 *   left empty. A private-key callback may suspend in the middle of SSL_do_handshake; nothing that
 *   stands in the queue then is needed afterwards.
 * - Once a stream has begun with TLS it never says or believes a plain octet again: a failure
 * sticks to both directions.
 * - SSL_read and SSL_write do not wait. What they want is told as -EAGAIN, and, where a read must
 *   first send (a key update, RFC 8446 4.6.3), by read_needs_write. A write never has to read:
 *   renegotiation is off.
 * - What can leave together does. A flight of the handshake is gathered and sent by one call before
 *   we wait for the peer. The last one waits for the words behind it where the peer needs it only
 *   together with them: a server's ticket goes with its next reply, a client's Finished with its
 *   EHLO. close_notify goes with the last reply (stream_finish).
 * - An end without close_notify is an end like the other: SMTP has its own (QUIT, the dot), so a
 *   truncation cannot pass for a whole message (RFC 9325 3.5 leaves this to the protocol).
 *
 * Which certificates, ciphers and roots: the users of this file. */
#include "net/tls.h"
#include "net/stream_internal.h"
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define HELD_MAX 16384u /* octets that wait for others; a longer flight leaves in parts */

struct tls {
	SSL *ssl;
	bool established;
	bool broken;  /* after a fatal error not even close_notify may be sent (SSL_shutdown) */
	bool ended;   /* the socket is at its end */
	bool parted;  /* close_notify has been written */
	bool holding; /* what is written now stays in held */
	bool patient; /* what is held is nothing that the peer waits for */
	struct buf held;
	int io_error;	   /* of the socket, behind OpenSSL's back */
	const char *error; /* static text */
	long verify_result;
};

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *ptr, size_t len, size_t *ret_len)
{
	struct stream *s = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	/* The socket was drained at the last read and has not been waited for since. */
	ssize_t n = s->drained ? -EAGAIN : stream_plain_read(s, ptr, len);
	if (n > 0) {
		*ret_len = (size_t)n;
		return 1;
	}
	if (n == -EAGAIN)
		BIO_set_retry_read(bio);
	else if (n == 0)
		s->tls->ended = true;
	else
		s->tls->io_error = (int)n;
	return 0;
}

/* Both by one call; the octets of both together that went. */
static ssize_t write_two(struct stream *s, struct span first, struct span second)
{
	struct iovec parts[] = {
		{(void *)(uintptr_t)first.ptr, first.len},
		{(void *)(uintptr_t)second.ptr, second.len},
	};
	struct msghdr m = {.msg_iov = parts, .msg_iovlen = ARRAY_LEN(parts)};
	ssize_t n;
	do {
		s->watch.ready &= ~(uint32_t)EPOLLOUT;
		n = sendmsg(s->watch.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* What is held and some more. The octets of what is more that went, or a negative errno, -EAGAIN
 * also where only a part of what is held did. */
static ssize_t send_held(struct stream *s, struct span more)
{
	struct buf *held = &s->tls->held;
	ssize_t n = more.len == 0 ? stream_plain_write(s, held->ptr, held->len)
				  : write_two(s, buf_span(held), more);

	if (n < 0)
		return n;
	if ((size_t)n < held->len) {
		buf_consume(held, (size_t)n);
		return -EAGAIN;
	}
	n -= (ssize_t)held->len;
	buf_done(held);
	return n == 0 && more.len > 0 ? -EAGAIN : n;
}

static int bio_write(BIO *bio, const char *ptr, size_t len, size_t *ret_len)
{
	struct stream *s = BIO_get_data(bio);
	struct tls *t = s->tls;
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (t->holding && len <= HELD_MAX - t->held.len) {
		buf_append(&t->held, ptr, len);
		n = t->held.error ? t->held.error : (ssize_t)len;
	} else if (t->held.len > 0) {
		n = send_held(s, span_make(ptr, len));
	} else {
		n = stream_plain_write(s, ptr, len);
	}
	if (n >= 0) {
		*ret_len = (size_t)n;
		return 1;
	}
	if (n == -EAGAIN)
		BIO_set_retry_write(bio);
	else
		s->tls->io_error = (int)n;
	return 0;
}

static long bio_ctrl(BIO *bio, int command, long number, void *ptr)
{
	const struct stream *s = BIO_get_data(bio);
	(void)number;
	(void)ptr;

	if (command == BIO_CTRL_EOF)
		return s->tls->ended;
	return command == BIO_CTRL_FLUSH;
}

/* One for the process, never freed: OpenSSL's method tables are registered once. */
static const BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *method;

	if (method)
		return method;
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
	if (!m)
		return NULL;
	BIO_meth_set_read_ex(m, bio_read);
	BIO_meth_set_write_ex(m, bio_write);
	BIO_meth_set_ctrl(m, bio_ctrl);
	return method = m;
}

/* ---- what a call came to ---- */

/* The reason of the queue's first error: later ones are its consequences. */
static const char *error_text(unsigned long code)
{
	const char *text = code ? ERR_reason_error_string(code) : NULL;

	return text ? text : "TLS failed";
}

/* A negative errno, or 0 at the end of the stream. Leaves the error queue empty. */
static int outcome(struct stream *s, int result)
{
	struct tls *t = s->tls;
	unsigned long code = ERR_peek_error();
	int error = SSL_get_error(t->ssl, result), r;

	s->read_needs_write = error == SSL_ERROR_WANT_WRITE;
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
		r = -EAGAIN;
	} else if (error == SSL_ERROR_ZERO_RETURN) {
		r = 0;
	} else {
		t->broken = true;
		t->verify_result = SSL_get_verify_result(t->ssl);
		if (t->ended)
			r = 0; /* whatever the alert that OpenSSL tried to send came to */
		else if (t->io_error)
			r = t->io_error;
		else if (ERR_GET_LIB(code) == ERR_LIB_SSL &&
			 ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
			r = -EKEYREJECTED;
		else
			r = -EPROTO;
		if (r == -EKEYREJECTED)
			t->error = X509_verify_cert_error_string(t->verify_result);
		else if (r == -EPROTO)
			t->error = error_text(code);
	}
	ERR_clear_error();
	return r;
}

/* ---- the transport ---- */

static ssize_t tls_read(struct stream *s, void *ptr, size_t len)
{
	size_t n = 0;

	ERR_clear_error();
	int r = SSL_read_ex(s->tls->ssl, ptr, len, &n);
	return r == 1 ? (ssize_t)n : outcome(s, r);
}

static ssize_t tls_write(struct stream *s, const void *ptr, size_t len)
{
	size_t n = 0;
	bool read_needs_write = s->read_needs_write;

	ERR_clear_error();
	s->tls->holding = s->finishing;
	int r = SSL_write_ex(s->tls->ssl, ptr, len, &n);
	s->tls->holding = false;
	if (r == 1)
		return (ssize_t)n;
	bool wants_read = SSL_want_read(s->tls->ssl);
	r = outcome(s, r);
	s->read_needs_write = read_needs_write;
	/* Waiting to write would never end. */
	if (r == -EAGAIN && wants_read)
		return -EPROTO;
	return r == 0 ? -ECONNRESET : r;
}

/* RFC 8446 6.1: once, and not after a fatal error. Held. */
static void part(struct tls *t)
{
	if (!t->established || t->broken || t->parted)
		return;
	ERR_clear_error();
	t->parted = t->holding = true;
	(void)SSL_shutdown(t->ssl);
	t->holding = false;
	ERR_clear_error();
}

static int tls_push(struct stream *s, enum push why)
{
	struct tls *t = s->tls;

	if (why == PUSH_END)
		part(t);
	if (t->held.len == 0 || (why == PUSH_WAITING && t->patient))
		return 0;
	return (int)send_held(s, SPAN_NULL);
}

static void tls_close(struct stream *s)
{
	struct tls *t = s->tls;

	/* As far as the socket takes it: nobody waits for it. */
	(void)!tls_push(s, PUSH_END);
	SSL_free(t->ssl);
	buf_done(&t->held);
	free(t);
	s->tls = NULL;
}

static const struct transport transport_tls = {
	.read = tls_read,
	.write = tls_write,
	.push = tls_push,
	.close = tls_close,
};

/* ---- the handshake ---- */

static uint64_t deadline_after(uint64_t usec)
{
	uint64_t now = loop_now_usec();
	return usec < USEC_INFINITY - now ? now + usec : USEC_INFINITY;
}

/* What SSL_do_handshake said and wrote. -EAGAIN: the peer is waited for. */
static SUSPENDS int handshake_step(struct stream *s, uint64_t deadline)
{
	struct tls *t = s->tls;

	ERR_clear_error();
	t->holding = true;
	int n = SSL_do_handshake(t->ssl);
	t->holding = false;
	if (n == 1)
		return 0;
	int r = outcome(s, n);
	if (r != -EAGAIN) {
		(void)!tls_push(s, PUSH_WAITING); /* the alert, as far as the socket takes it */
		if (fiber_cancelled())
			return -ECANCELED; /* in the private-key callback */
		return r == 0 ? -ECONNRESET : r;
	}
	int pushed = 0;
	while (t->held.len > 0 && (pushed = tls_push(s, PUSH_WAITING)) == -EAGAIN) {
		pushed = fiber_wait_writable(&s->watch, deadline);
		if (pushed < 0)
			break;
	}
	return pushed < 0 ? pushed : -EAGAIN;
}

static SUSPENDS int handshake(struct stream *s, uint64_t deadline)
{
	int r;

	while ((r = handshake_step(s, deadline)) == -EAGAIN) {
		r = s->read_needs_write ? fiber_wait_writable(&s->watch, deadline)
					: fiber_wait_readable(&s->watch, deadline);
		if (r < 0)
			return r;
		s->drained = false;
	}
	ERR_clear_error();
	if (r < 0)
		return r;
	s->read_needs_write = false;
	s->tls->established = true;
	/* RFC 8446 4.6.1: after the client's Finished a server has but tickets to send. */
	s->tls->patient = SSL_is_server(s->tls->ssl) && SSL_version(s->tls->ssl) >= TLS1_3_VERSION;
	return 0;
}

/* Takes over ssl, also on error. */
static int attach(struct stream *s, SSL *ssl)
{
	struct tls *t = calloc(1, sizeof(*t));
	const BIO_METHOD *method = bio_method();
	BIO *bio = method ? BIO_new(method) : NULL;

	if (!t || !bio) {
		free(t);
		BIO_free(bio);
		SSL_free(ssl);
		return -ENOMEM;
	}
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	t->ssl = ssl;
	t->error = "";
	t->held = BUF_INIT(HELD_MAX);
	s->tls = t;
	s->transport = &transport_tls;
	return 0;
}

int stream_start_tls(struct stream *s, SSL *ssl, uint64_t timeout_usec)
{
	assert(!s->tls);
	uint64_t deadline = deadline_after(timeout_usec);
	int r = stream_flush(s);

	if (r < 0) {
		SSL_free(ssl);
		return r;
	}
	/* RFC 3207 4.2, 6: what came in plain text may be anybody's. */
	bool injected = stream_buffered(s).len > 0 || s->discarding;
	r = attach(s, ssl);
	if (r == 0 && injected) {
		s->tls->error = "plain text behind STARTTLS";
		s->tls->broken = true;
		r = -EPROTO;
	}
	if (r == 0)
		r = handshake(s, deadline);
	if (r < 0)
		stream_fail(s, r);
	return r;
}

SSL *stream_tls(const struct stream *s)
{
	return s->tls && s->tls->established ? s->tls->ssl : NULL;
}

const char *stream_tls_error(const struct stream *s)
{
	return s->tls ? s->tls->error : "";
}

long stream_tls_verify_result(const struct stream *s)
{
	return s->tls ? s->tls->verify_result : X509_V_OK;
}

/* ---- contexts and facts ---- */

int tls_context_new(bool server, SSL_CTX **ret_context)
{
	/* A role has no files to read, and what it does is said by one configuration only. */
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
		return -ENOMEM;
	SSL_CTX *c = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (!c || SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) != 1) {
		SSL_CTX_free(c);
		ERR_clear_error();
		return -ENOMEM;
	}
	SSL_CTX_set_options(c, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	/* The stream's buffer may move and be written in parts; an idle connection's 34 KiB of
	 * records are given back; one read gets the record's head and body. */
	SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				    SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(c, 1);
	*ret_context = c;
	return 0;
}

void tls_context_freep(SSL_CTX **context)
{
	SSL_CTX_free(TAKE(*context));
}

void tls_facts(const SSL *ssl, struct tls_facts *ret_facts)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
	const char *name = cipher ? SSL_CIPHER_get_name(cipher) : NULL;
	bool certificate = SSL_get0_peer_certificate(ssl) != NULL;

	*ret_facts = (struct tls_facts){
		.version = SSL_get_version(ssl),
		.cipher = name ? name : "",
		.bits = cipher ? SSL_CIPHER_get_bits(cipher, NULL) : 0,
		.sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name),
		.peer_name = SSL_get0_peername((SSL *)(uintptr_t)ssl),
		.peer_certificate = certificate,
		.verified = certificate && SSL_get_verify_result(ssl) == X509_V_OK,
		.resumed = SSL_session_reused(ssl) == 1,
	};
}

int tls_peer_fingerprint(const SSL *ssl, uint8_t ret_digest[TLS_FINGERPRINT_OCTETS])
{
	const X509 *peer = SSL_get0_peer_certificate(ssl);
	unsigned len = 0;

	if (!peer)
		return -ENOENT;
	int ok = X509_digest(peer, EVP_sha256(), ret_digest, &len);
	ERR_clear_error();
	return ok == 1 && len == TLS_FINGERPRINT_OCTETS ? 0 : -ENOMEM;
}

int tls_exporter(SSL *ssl, struct buf *out)
{
	static const char label[] = "EXPORTER-Channel-Binding";
	uint8_t octets[32];

	if (SSL_version(ssl) < TLS1_3_VERSION)
		return -ENOTSUP;
	if (SSL_export_keying_material(ssl, octets, sizeof(octets), label, sizeof(label) - 1,
		    (const unsigned char *)"", 0, 1) != 1) {
		ERR_clear_error();
		return -ENOTSUP;
	}
	buf_append(out, octets, sizeof(octets));
	return out->error;
}

/* The certificate's own digest, but SHA-256 where that is MD5 or SHA-1. */
int tls_end_point(const X509 *shown, struct buf *out)
{
	int nid = NID_undef;
	unsigned len = 0;
	uint8_t octets[EVP_MAX_MD_SIZE];

	if (!shown ||
		X509_get_signature_info((X509 *)(uintptr_t)shown, &nid, NULL, NULL, NULL) != 1)
		return -ENOTSUP;
	if (nid == NID_md5 || nid == NID_sha1 || nid == NID_md5_sha1)
		nid = NID_sha256;
	const EVP_MD *md = EVP_get_digestbynid(nid);
	if (!md || X509_digest(shown, md, octets, &len) != 1)
		return -ENOTSUP;
	buf_append(out, octets, len);
	return out->error;
}

int tls_peer_subject(const SSL *ssl, struct buf *out)
{
	const X509 *peer = SSL_get0_peer_certificate(ssl);
	char *text = NULL;

	if (!peer)
		return -ENOENT;
	BIO *memory = BIO_new(BIO_s_mem());
	long len = -1;
	if (memory && X509_NAME_print_ex(memory, X509_get_subject_name(peer), 0,
			      XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) >= 0)
		len = BIO_get_mem_data(memory, &text);
	if (len > 0)
		buf_append(out, text, (size_t)len);
	BIO_free(memory);
	ERR_clear_error();
	return len < 0 ? -ENOMEM : out->error;
}
