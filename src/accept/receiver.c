/* The receiver process: its listeners, the parts that its sessions share (session/server.h), and
 * its life as a role: start, reload, drain.
 *
 * Reload: new sessions get the new configuration and the listeners are watched anew; running
 * sessions keep the configuration they began with. Drain: listeners go first, then sessions as
 * server_drain says, after the grace all of them; then the open segment is sealed, and when the
 * dispatcher has been told everything, or does not answer for a while, the role is finished. */
#include "accept/receiver.h"
#include "accept/listener.h"
#include "accept/tls_load.h"
#include "base/log.h"
#include "ipc/sign_client.h"
#include "spool/seam.h"

#include <stdlib.h>

#define SLOT_OF_FIRST  1u /* slot 0 is the dispatcher's own (spool/segment.h) */
#define QUIET_POLL     (10 * USEC_PER_MSEC)
#define QUIET_WAIT_MAX (5 * USEC_PER_SEC)

struct receiver {
	struct role_process *process;
	struct seam *seam;
	struct server server;
	struct permits *permits;
	struct list listeners;
	struct sign_client *keys;
	const struct ticket_page *tickets;
	int dispatcher_fd, directory_fd, keys_fd; /* peers that came before the start, or -1 */
	bool serving;				  /* server is initialised */
	bool draining, closed;
	uint64_t quiet_deadline;
	struct loop_timer grace, quiet;
};

/* ---- listeners ---- */

static void listeners_close(struct receiver *r)
{
	struct list *it;
	while ((it = list_pop_front(&r->listeners)))
		listener_free(CONTAINER_OF(it, struct listener, node));
}

static int listener_open(struct receiver *r, int fd, const struct config_listener *c)
{
	struct listener *l = NULL;

	int result = listener_new(fd, &r->server, r->permits, c, &l);
	if (result < 0)
		return result;
	list_push_back(&r->listeners, &l->node);
	return 0;
}

/* "listener:<i>:<j>": the configuration's listener i; NULL: none has that number. */
static const struct config_listener *listener_of(const struct config *c, struct span fd_name)
{
	struct span index = span_from(fd_name, sizeof("listener:") - 1);
	uint64_t i;

	if (c->n_listeners == 0 ||
		span_to_u64(span_head(index, span_index(index, ':')), c->n_listeners - 1, &i) < 0)
		return NULL;
	return &c->listeners[i];
}

static int listeners_open(struct receiver *r)
{
	const struct config *c = r->server.settings->config;
	size_t cursor = 0;
	const char *name;
	int fd, result;

	while ((fd = role_next_fd(r->process, "listener:", &cursor, &name)) >= 0) {
		const struct config_listener *l = listener_of(c, span_str(name));
		result = l ? listener_open(r, fd, l) : 0;
		if (result < 0)
			return result;
	}
	fd = role_fd(r->process, "submit");
	return fd >= 0 ? listener_open(r, fd, NULL) : 0;
}

/* ---- drain ---- */

static void drain_step(struct receiver *r)
{
	uint64_t now = loop_now_usec();

	if (!r->draining || r->server.n_sessions > 0)
		return;
	if (!r->closed) {
		r->closed = true;
		r->quiet_deadline = now + QUIET_WAIT_MAX;
	}
	intake_close(r->server.intake);
	bool over = intake_is_quiet(r->server.intake) || now >= r->quiet_deadline;
	if (over || loop_timer_set(&r->quiet, now + QUIET_POLL) < 0)
		role_finished(r->process);
}

static void on_session_ended(struct server *srv)
{
	drain_step(CONTAINER_OF(srv, struct receiver, server));
}

static void on_grace_over(struct loop_timer *t)
{
	server_cancel(&CONTAINER_OF(t, struct receiver, grace)->server);
}

static void on_quiet_poll(struct loop_timer *t)
{
	drain_step(CONTAINER_OF(t, struct receiver, quiet));
}

static void receiver_drain(struct role_process *p, uint64_t grace_usec)
{
	struct receiver *r = role_state(p);

	if (!r || !r->serving) {
		role_finished(p);
		return;
	}
	r->draining = true;
	listeners_close(r);
	server_drain(&r->server);
	if (loop_timer_set(&r->grace, loop_now_usec() + grace_usec) < 0)
		server_cancel(&r->server);
	drain_step(r);
}

/* ---- life ---- */

/* Peers come before the start, and with them this. */
static struct receiver *receiver_get(struct role_process *p)
{
	struct receiver *r = role_state(p);
	if (r)
		return r;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->process = p;
	r->dispatcher_fd = r->directory_fd = r->keys_fd = -1;
	list_init(&r->listeners);
	r->grace.fn = on_grace_over;
	r->quiet.fn = on_quiet_poll;
	role_set_state(p, r);
	return r;
}

static int load_tls(struct receiver *r)
{
	struct tls_server *tls = NULL;

	int result = tls_load(r->process, r->tickets, sign_client_signer(r->keys), &tls);
	if (result == 0)
		server_set_tls(&r->server, tls);
	return result;
}

static int receiver_serve(struct receiver *r)
{
	unsigned index = role_index(r->process);
	const struct config *c = role_config(r->process);

	int result = seam_posix_new(-1, &r->seam);
	if (result == 0)
		result = permits_new(role_fd(r->process, "permits"), index, &r->permits);
	if (result == 0)
		result = sign_client_new(&r->keys);
	if (result == 0)
		result = tls_map_tickets(r->process, &r->tickets);
	if (result == 0)
		result = server_init(&r->server, r->seam, (uint16_t)(SLOT_OF_FIRST + index), c);
	if (result < 0)
		return result;
	r->server.session_ended = on_session_ended;
	result = load_tls(r);
	if (result < 0)
		return result;
	r->serving = true;
	return 0;
}

static int take_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

static int receiver_attach(struct receiver *r)
{
	int result = 0;

	if (r->dispatcher_fd >= 0)
		result = intake_attach(r->server.intake, take_fd(&r->dispatcher_fd));
	if (result == 0 && r->directory_fd >= 0)
		result = lookup_client_attach(r->server.directory, take_fd(&r->directory_fd));
	if (result == 0 && r->keys_fd >= 0)
		result = sign_client_attach(r->keys, take_fd(&r->keys_fd));
	return result;
}

static int receiver_start(struct role_process *p)
{
	struct receiver *r = receiver_get(p);

	if (!r) {
		role_failed(p, "out of memory");
		return -ENOMEM;
	}
	int result = receiver_serve(r);
	if (result == 0)
		result = receiver_attach(r);
	if (result == 0)
		result = listeners_open(r);
	if (result < 0)
		role_failed(p, "cannot start receiving: %s", strerror(-result));
	return result;
}

static void receiver_peer(struct role_process *p, enum role peer, unsigned index, int fd)
{
	struct receiver *r = receiver_get(p);
	(void)index;

	int *pending = !r			 ? NULL
		       : peer == ROLE_DISPATCHER ? &r->dispatcher_fd
		       : peer == ROLE_DIRECTORY	 ? &r->directory_fd
		       : peer == ROLE_KEYS	 ? &r->keys_fd
						 : NULL;
	if (!pending) {
		fd_close(fd);
		return;
	}
	fd_close(*pending);
	*pending = fd;
	if (!r->serving)
		return;
	int result = receiver_attach(r);
	if (result < 0)
		log_text(LOG_LEVEL_ERROR, "peer-failed", "%s: %s", role_name(peer),
			strerror(-result));
}

static void receiver_reload(struct role_process *p, const struct config *old)
{
	struct receiver *r = role_state(p);
	(void)old;

	if (r->draining)
		return;
	listeners_close(r);
	int result = server_reload(&r->server, role_config(p));
	/* The supervisor has looked at the files: without them nothing was to be offered. */
	if (result == 0 && load_tls(r) < 0)
		log_text(LOG_LEVEL_ERROR, "certificate-unusable",
			"the earlier certificates stay in use");
	if (result == 0)
		result = listeners_open(r);
	/* Without listeners we are of no use: the supervisor starts us again. */
	if (result < 0) {
		role_failed(p, "cannot reload: %s", strerror(-result));
		receiver_drain(p, 0);
	}
}

const struct role_ops receiver_role = {
	.role = ROLE_RECEIVER,
	.start = receiver_start,
	.peer = receiver_peer,
	.reload = receiver_reload,
	.drain = receiver_drain,
	.offload_threads = 2, /* one fdatasync runs, one waits behind it in the next segment */
};
