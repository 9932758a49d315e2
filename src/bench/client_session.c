/* Where the generator's sessions begin and end: connect, TLS (RFC 3207, or from the first octet,
 * RFC 8314), EHLO, AUTH, QUIT; and reading replies. Each connection makes a TLS handshake of its
 * own. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/clock.h"
#include "bench/client.h"
#include "mail/reply.h"
#include "net/tls.h"

#define SLOW_SLICES 10u

/* ---- octets ---- */

int client_put(struct client *c, struct span octets)
{
	uint64_t slow = c->l->o->slow;

	if (!slow)
		return stream_write(c->s, octets);
	size_t slice = (size_t)MAX(slow / SLOW_SLICES, UINT64_C(1));
	int r = 0;
	while (octets.len > 0 && r >= 0) {
		r = stream_write(c->s, span_head(octets, slice));
		octets = span_from(octets, MIN(slice, octets.len));
		if (r >= 0)
			r = stream_flush(c->s);
		if (r >= 0)
			r = fiber_sleep((uint64_t)slice * USEC_PER_SEC / slow);
	}
	return r;
}

static void learn(struct client *c, struct span line)
{
	struct span word = span_from(line, 4);

	c->pipelining |= span_starts_nocase(word, SPAN_LIT("PIPELINING"));
	c->chunking |= span_starts_nocase(word, SPAN_LIT("CHUNKING"));
	c->auth |= span_starts_nocase(word, SPAN_LIT("AUTH"));
	c->starttls |= span_starts_nocase(word, SPAN_LIT("STARTTLS"));
}

/* The reply's code (RFC 5321 4.2), or a negative errno. What is no 2xx or 3xx is counted. */
int client_get(struct client *c, const char *where, bool hello)
{
	struct span line = SPAN_NULL;
	unsigned lines = 0;

	for (;;) {
		int r = stream_read_line(c->s, REPLY_LINE_MAX, &line, NULL);
		if (r < 0)
			return r;
		if (line.len < 3 || ++lines > REPLY_LINES_MAX)
			return -EBADMSG;
		if (hello && line.len > 4)
			learn(c, line);
		if (line.len == 3 || line.ptr[3] != '-')
			break;
	}
	int code = 0;
	for (size_t i = 0; i < 3; i++) {
		if (line.ptr[i] < '0' || line.ptr[i] > '9')
			return -EBADMSG;
		code = code * 10 + (line.ptr[i] - '0');
	}
	if (code >= 400)
		load_count_reply(c->l, where, code, span_from(line, 4));
	return code;
}

/* ---- a session's begin and end ---- */

SUSPENDS static int wait_connected(int fd, uint64_t deadline_usec)
{
	struct watch w = {0};
	int error = 0;
	socklen_t len = sizeof(error);
	int r = watch_init(&w, fd, NULL);

	if (r >= 0)
		r = fiber_wait_writable(&w, deadline_usec);
	if (r >= 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0)
		r = -error;
	watch_done(&w);
	return r;
}

SUSPENDS static int dial_target(const struct load_options *o, const struct address *a, int *ret_fd)
{
	CLEANUP(fd_closep)
	int fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return -errno;
	int r = connect(fd, (const struct sockaddr *)&a->ss, a->len) < 0 ? -errno : 0;
	if (r == -EINPROGRESS)
		r = wait_connected(fd, loop_now_usec() + o->connect_usec);
	if (r < 0)
		return r;
	if (!address_is_unix(a))
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	*ret_fd = fd;
	fd = -1;
	return 0;
}

/* RFC 4954, PLAIN (RFC 4616) or LOGIN. */
SUSPENDS static int authenticate(struct client *c)
{
	const struct load_options *o = c->l->o;
	struct buf line = BUF_INIT(CLIENT_HEAD_MAX), plain = BUF_INIT(CLIENT_HEAD_MAX);
	int code = 334;

	if (o->auth_login) {
		const char *const words[] = {o->user, o->password};
		int r = client_put(c, SPAN_LIT("AUTH LOGIN\r\n"));
		code = r < 0 ? r : client_get(c, "AUTH", false);
		for (size_t i = 0; i < 2 && code == 334; i++) {
			buf_reset(&line);
			base64_encode(span_str(words[i]), &line);
			buf_str(&line, "\r\n");
			r = client_put(c, buf_span(&line));
			code = r < 0 ? r : client_get(c, "AUTH", false);
		}
	} else {
		buf_char(&plain, '\0');
		buf_str(&plain, o->user);
		buf_char(&plain, '\0');
		buf_str(&plain, o->password);
		buf_str(&line, "AUTH PLAIN ");
		base64_encode(buf_span(&plain), &line);
		buf_str(&line, "\r\n");
		int r = plain.error ? plain.error : line.error;
		r = r < 0 ? r : client_put(c, buf_span(&line));
		code = r < 0 ? r : client_get(c, "AUTH", false);
	}
	buf_done(&line);
	buf_done(&plain);
	return code < 0 ? code : code == 235 ? 0 : -EACCES;
}

/* One EHLO and what it says. -EPROTO: a refusal, counted already. */
SUSPENDS static int hello(struct client *c)
{
	const struct load_options *o = c->l->o;

	c->pipelining = c->chunking = c->auth = c->starttls = false;
	buf_reset(&c->head);
	buf_str(&c->head, o->lmtp ? "LHLO " : "EHLO ");
	buf_put(&c->head, o->hello);
	buf_str(&c->head, "\r\n");
	int r = client_put(c, buf_span(&c->head));
	int code = r < 0 ? r : client_get(c, "EHLO", true);
	if (code != 250)
		return code < 0 ? code : -EPROTO;
	c->pipelining &= o->pipelining;
	return 0;
}

/* The handshake. A full one each time: nothing is kept that could be resumed. The certificate is
 * not looked at: what is measured is the server, and it may have made its own. */
SUSPENDS static int encrypt(struct client *c)
{
	struct load *l = c->l;
	uint64_t since = clock_monotonic_usec();
	struct tls_facts facts;
	SSL *ssl = SSL_new(l->tls);

	if (!ssl)
		return -ENOMEM;
	SSL_set_connect_state(ssl);
	int r = stream_start_tls(c->s, ssl, l->o->timeout_usec);
	if (r < 0) {
		const char *why = stream_tls_error(c->s);
		load_count_reply(l, "TLS", r == -EPROTO ? 0 : r, span_str(why));
		return r == -EPROTO ? r : -EPROTO;
	}
	load_time(l, STAGE_TLS, since);
	tls_facts(stream_tls(c->s), &facts);
	if (!l->tls_cipher[0])
		(void)snprintf(
			l->tls_cipher, sizeof(l->tls_cipher), "%s %s", facts.version, facts.cipher);
	return 0;
}

/* RFC 3207: what EHLO said before counts no more. */
SUSPENDS static int starttls(struct client *c)
{
	if (!c->starttls) {
		load_count_reply(c->l, "STARTTLS", 0, SPAN_LIT("not offered"));
		return -EPROTO;
	}
	int r = client_put(c, SPAN_LIT("STARTTLS\r\n"));
	int code = r < 0 ? r : client_get(c, "STARTTLS", false);
	if (code != 220)
		return code < 0 ? code : -EPROTO;
	r = encrypt(c);
	return r < 0 ? r : hello(c);
}

/* To the last reply before MAIL. -EPROTO: a refusal, counted already. */
SUSPENDS static int greet(struct client *c)
{
	const struct load_options *o = c->l->o;
	uint64_t since = clock_monotonic_usec();
	int r = o->tls == BENCH_TLS_IMPLICIT ? encrypt(c) : 0;

	if (r < 0)
		return r;
	int code = client_get(c, "banner", false);
	if (code != 220)
		return code < 0 ? code : -EPROTO;
	stream_set_timeout(c->s, o->timeout_usec, o->timeout_usec);
	load_time(c->l, STAGE_BANNER, since);
	since = clock_monotonic_usec();
	r = hello(c);
	if (r >= 0 && o->tls == BENCH_TLS_STARTTLS)
		r = starttls(c);
	if (r >= 0 && o->user) {
		r = authenticate(c);
		if (r == -EACCES)
			r = -EPROTO;
	}
	if (r >= 0)
		load_time(c->l, STAGE_HELLO, since);
	return r;
}

void client_close(struct client *c)
{
	if (c->s) {
		c->l->open--;
		load_time(c->l, STAGE_SESSION, c->connected_usec);
	}
	stream_free(TAKE(c->s));
}

int client_open(struct client *c)
{
	struct load *l = c->l;
	int fd = -1;

	c->connected_usec = clock_monotonic_usec();
	c->first = true;
	int r = dial_target(l->o, &l->o->target, &fd);
	if (r >= 0)
		r = stream_new_known(fd, !address_is_unix(&l->o->target), &c->s);
	if (r >= 0) {
		l->connections++;
		l->open++;
		load_time(l, STAGE_CONNECT, c->connected_usec);
		/* A server whose queue of connections overflowed never answers. */
		stream_set_timeout(c->s, l->o->connect_usec, l->o->connect_usec);
		r = greet(c);
	}
	if (r >= 0)
		return 0;
	l->connections_failed++;
	if (r != -EPROTO)
		load_count_reply(l, "connect", r, SPAN_NULL);
	client_close(c);
	return r;
}

/* Waits for the server's end of file, so that the port's TIME-WAIT is the server's. */
void client_quit(struct client *c)
{
	struct span rest;

	if (client_put(c, SPAN_LIT("QUIT\r\n")) >= 0 && client_get(c, "QUIT", false) >= 0)
		while (stream_peek(c->s, &rest) >= 0)
			stream_consume(c->s, rest.len);
	client_close(c);
}
