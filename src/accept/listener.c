/* Accepting connections, on the loop, without a fiber.
 *
 * A listening socket is watched edge-triggered, so a batch that was cut short goes on in the next
 * turn by itself. Other receivers accept from the same socket: EAGAIN is normal. Without fds or
 * memory accepting pauses instead of spinning; waiting clients stay in the kernel's backlog.
 *
 * A connection over a limit gets its 421 and is closed at once: it costs no fiber and is not waited
 * for. Its one system call for the peer's address is accept4 itself. */
#include "accept/listener.h"
#include "base/log.h"
#include "base/stats.h"
#include "accept/preamble.h"
#include "checks/relay.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#define ACCEPT_BATCH	  64u
#define ACCEPT_PAUSE_USEC (200 * USEC_PER_MSEC)

static void log_refused(const struct listener *l, const struct address *client, const char *reason)
{
	struct log_line *line = log_begin(LOG_LEVEL_INFO, "connection-refused");
	if (!line)
		return;
	log_str(line, "client", address_host_text(client).s);
	log_span(line, "listener", l->name);
	log_str(line, "reason", reason);
	log_end(line);
}

static void refuse(struct listener *l, int fd, const struct address *client, enum permit_result why)
{
	static const char all[] = "421 4.3.2 Too many connections, try again later\r\n";
	static const char one[] = "421 4.7.0 Too many connections from your address\r\n";
	struct span text = why == PERMIT_ALL_TAKEN ? SPAN_LIT(all) : SPAN_LIT(one);

	STATS_ADD(connections_refused_total, 1);
	STATS_ADD(replies_4xx_total, 1);
	log_refused(l, client, why == PERMIT_ALL_TAKEN ? "connections" : "connections-per-ip");
	/* A peer that does not read the courtesy does not get it. It leaves with the end, which is
	 * said apart: close() alone would be a reset, and forget it, where the peer has spoken. */
	(void)!send(fd, text.ptr, text.len, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE);
	(void)shutdown(fd, SHUT_WR);
	fd_close(fd);
}

static void connection_ended(const struct session_origin *o)
{
	permits_leave(o->arg, o->permit);
}

/* IPv4 through an IPv6 socket is IPv4, RFC 4291 2.5.5.2. */
static void unmap(struct address *a)
{
	struct sockaddr_in6 in6;

	if (a->ss.ss_family != AF_INET6)
		return;
	memcpy(&in6, &a->ss, sizeof(in6));
	if (!IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
		return;
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = in6.sin6_port};
	memcpy(&in.sin_addr, in6.sin6_addr.s6_addr + 12, sizeof(in.sin_addr));
	memset(&a->ss, 0, sizeof(a->ss));
	memcpy(&a->ss, &in, sizeof(in));
	a->len = sizeof(in);
}

static bool peer_uid(int fd, uint64_t *ret_uid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	*ret_uid = cred.uid;
	return true;
}

/* Does a PROXY header have to come? */
static bool is_proxy(const struct listener *l, const struct address *client)
{
	return l->at && networks_contain(l->at->proxy, l->at->n_proxy, client);
}

/* 0, or the error that stops accepting for a while. */
static int take(struct listener *l, int fd, struct address *client)
{
	struct session_origin origin = {
		.at = l->at,
		.role = l->role,
		.tls = l->tls,
		.tls_client = l->tls_client,
		.listener = l->name,
		.local = l->local,
		.ended = connection_ended,
		.arg = l->permits,
	};

	if (l->local && !peer_uid(fd, &origin.uid)) {
		fd_close(fd);
		return 0;
	}
	bool unix_peer = l->local || address_is_unix(client);
	if (!unix_peer)
		unmap(client);
	origin.client = *client;
	bool proxied = is_proxy(l, client);
	if (proxied)
		origin.preamble = preamble_read;
	enum permit_result permit = permits_enter(l->permits, l->server->settings->config,
		unix_peer || proxied ? NULL : client, &origin.permit);
	if (permit != PERMIT_OK) {
		refuse(l, fd, client, permit);
		return 0;
	}
	int r = session_start(l->server, fd, &origin);
	if (r < 0)
		permits_leave(l->permits, origin.permit);
	return r;
}

static void pause_accepting(struct listener *l, int error)
{
	struct log_line *line = log_begin(LOG_LEVEL_WARN, "accept-paused");

	log_span(line, "listener", l->name);
	log_errno(line, error);
	log_end(line);
	if (loop_timer_set(&l->pause, loop_now_usec() + ACCEPT_PAUSE_USEC) < 0)
		loop_defer(&l->again);
}

static void listener_accept(struct listener *l)
{
	for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
		struct address client = {.len = sizeof(client.ss)};
		int fd = accept4(l->watch.fd, (struct sockaddr *)&client.ss, &client.len,
			SOCK_NONBLOCK | SOCK_CLOEXEC);
		int r = fd < 0 ? -errno : take(l, fd, &client);

		/* EINVAL: the supervisor has shut it down; the order to drain is on its way. */
		if (r == -EAGAIN || r == -EINVAL)
			return;
		if (r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM) {
			pause_accepting(l, r);
			return;
		}
		/* Else the connection died in the queue (accept(2)): on to the next. */
	}
	loop_defer(&l->again);
}

static void on_ready(struct watch *w, uint32_t events)
{
	(void)events;
	listener_accept(CONTAINER_OF(w, struct listener, watch));
}

static void on_again(struct loop_defer *d)
{
	listener_accept(CONTAINER_OF(d, struct listener, again));
}

static void on_pause_over(struct loop_timer *t)
{
	listener_accept(CONTAINER_OF(t, struct listener, pause));
}

int listener_new(int fd, struct server *server, struct permits *permits,
	const struct config_listener *c, struct listener **ret_listener)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->server = server;
	l->permits = permits;
	l->settings = settings_ref(server->settings);
	l->at = c;
	l->name = c ? span_str(c->name) : SPAN_LIT("submit");
	l->role = c ? c->role : LISTENER_MX;
	l->tls = c ? c->tls : TLS_NONE;
	l->tls_client = c ? c->tls_client : TLS_CLIENT_INHERIT;
	l->local = !c;
	l->again.fn = on_again;
	l->pause.fn = on_pause_over;
	const int on = 1;
	/* A reply of several writes must not wait for the peer's delayed ACK. What is accepted has
	 * it from here; on a unix socket it fails, and is not needed. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	int r = watch_init_shared(&l->watch, fd, on_ready);
	if (r < 0) {
		settings_unref(l->settings);
		free(l);
		return r;
	}
	*ret_listener = l;
	return 0;
}

void listener_free(struct listener *l)
{
	if (!l)
		return;
	watch_done(&l->watch);
	loop_defer_cancel(&l->again);
	loop_timer_cancel(&l->pause);
	settings_unref(l->settings);
	free(l);
}
