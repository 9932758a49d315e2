/* The receiver process: its listeners, the parts that its sessions share (session/server.h), and
 * its life as a role: start, reload, drain.
 *
 * Reload: new sessions get the new configuration and the listeners are watched anew; running
 * sessions keep the configuration they began with. Drain: listeners go first, then sessions as
 * server_drain says, after the grace all of them; then the open segment is sealed, and when the
 * dispatcher has been told everything, or does not answer for a while, the role is finished. */
#include "accept/receiver.h"
#include "accept/listener.h"
#include "base/log.h"
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
	int dispatcher_fd, directory_fd; /* peers that came before the start, or -1 */
	bool serving;			 /* server is initialised */
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

static int listener_open(
	struct receiver *r, int fd, struct span name, enum listener_role role, bool local)
{
	struct listener *l = NULL;

	int result = listener_new(fd, &r->server, r->permits, name, role, local, &l);
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
		result = listener_open(r, fd, l ? span_str(l->name) : SPAN_LIT("unnamed"),
			l ? l->role : LISTENER_MX, false);
		if (result < 0)
			return result;
	}
	fd = role_fd(r->process, "submit");
	return fd >= 0 ? listener_open(r, fd, SPAN_LIT("submit"), LISTENER_MX, true) : 0;
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
	r->dispatcher_fd = r->directory_fd = -1;
	list_init(&r->listeners);
	r->grace.fn = on_grace_over;
	r->quiet.fn = on_quiet_poll;
	role_set_state(p, r);
	return r;
}

static int receiver_serve(struct receiver *r)
{
	unsigned index = role_index(r->process);
	const struct config *c = role_config(r->process);

	int result = seam_posix_new(-1, &r->seam);
	if (result == 0)
		result = permits_new(role_fd(r->process, "permits"), index, &r->permits);
	if (result == 0)
		result = server_init(&r->server, r->seam, (uint16_t)(SLOT_OF_FIRST + index), c);
	if (result < 0)
		return result;
	r->server.session_ended = on_session_ended;
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

	if (!r || (peer != ROLE_DISPATCHER && peer != ROLE_DIRECTORY)) {
		fd_close(fd);
		return;
	}
	int *pending = peer == ROLE_DISPATCHER ? &r->dispatcher_fd : &r->directory_fd;
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
