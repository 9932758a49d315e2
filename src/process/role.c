/* The life of a role process, as role.h orders it. The supervisor's channel is fd 3; the lock of
 * the data folder is inherited as fd 4 and only kept open. The end of the supervisor is the end of
 * this process at once: by PR_SET_PDEATHSIG, and by end-of-file on the channel. */
#include "process/role.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "fiber/offload.h"
#include "net/channel.h"
#include "process/confine.h"
#include "process/supervise.h"
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROLE_FDS_MAX  512u
#define ROLE_NAME_MAX 4200u /* "maildir:" and a path */

struct role_fd {
	char *name;
	int fd;
};
struct role_process {
	const struct role_ops *ops;
	unsigned index;
	void *state;
	struct channel *supervisor;
	struct config *config, *next_config;
	struct role_fd *fds;
	size_t n_fds;
	int *retired;
	size_t n_retired;
	pid_t parent;
	bool started, draining;
	int status;
};

void role_set_state(struct role_process *p, void *state)
{
	p->state = state;
}

void *role_state(const struct role_process *p)
{
	return p->state;
}

const struct config *role_config(const struct role_process *p)
{
	return p->config;
}

unsigned role_index(const struct role_process *p)
{
	return p->index;
}

int role_fd(const struct role_process *p, const char *name)
{
	for (size_t i = 0; i < p->n_fds; i++)
		if (strcmp(p->fds[i].name, name) == 0)
			return p->fds[i].fd;
	return -1;
}

int role_next_fd(
	const struct role_process *p, const char *prefix, size_t *cursor, const char **ret_name)
{
	while (*cursor < p->n_fds) {
		const struct role_fd *f = &p->fds[(*cursor)++];
		if (strncmp(f->name, prefix, strlen(prefix)) == 0) {
			*ret_name = f->name;
			return f->fd;
		}
	}
	return -1;
}

void role_failed(struct role_process *p, const char *fmt, ...)
{
	struct buf b = BUF_INIT(4096);
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	if (channel_send(p->supervisor, FRAME_FAILED, buf_span(&b), NULL, 0) == 0)
		channel_flush(p->supervisor);
	buf_done(&b);
}

void role_finished(struct role_process *p)
{
	p->status = 0;
	loop_exit();
}

/* A replaced fd may still be watched: it is closed after ops->reload has let go of it (an epoll
 * entry outlives the closing of its fd as long as another process holds the same socket). */
static int retire_fd(struct role_process *p, int fd)
{
	int *grown = realloc(p->retired, (p->n_retired + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	p->retired = grown;
	p->retired[p->n_retired++] = fd;
	return 0;
}

static void close_retired(struct role_process *p)
{
	for (size_t i = 0; i < p->n_retired; i++)
		fd_close(p->retired[i]);
	free(TAKE(p->retired));
	p->n_retired = 0;
}

static int set_fd(struct role_process *p, struct span name, int fd)
{
	for (size_t i = 0; i < p->n_fds; i++) {
		if (!span_equal(span_str(p->fds[i].name), name))
			continue;
		int r = retire_fd(p, p->fds[i].fd);
		if (r == 0)
			p->fds[i].fd = fd;
		return r;
	}
	if (p->n_fds >= ROLE_FDS_MAX || name.len > ROLE_NAME_MAX)
		return -EPROTO;
	struct role_fd *grown = realloc(p->fds, (p->n_fds + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	p->fds = grown;
	char *copy = strndup(name.ptr, name.len);
	if (!copy)
		return -ENOMEM;
	p->fds[p->n_fds++] = (struct role_fd){copy, fd};
	return 0;
}

/* Names not given again after a reload are gone: FRAME_CONFIG clears lists that it replaces. */
static int drop_fds(struct role_process *p, const char *prefix)
{
	size_t kept = 0;
	for (size_t i = 0; i < p->n_fds; i++) {
		if (strncmp(p->fds[i].name, prefix, strlen(prefix)) == 0) {
			if (retire_fd(p, p->fds[i].fd) < 0)
				return -ENOMEM;
			free(p->fds[i].name);
		} else {
			p->fds[kept++] = p->fds[i];
		}
	}
	p->n_fds = kept;
	return 0;
}

static int on_fd(struct role_process *p, struct frame *f)
{
	struct wire w = wire_reader(f->payload);
	struct span name = wire_get_span(&w);
	static const char stats[] = "stats:";

	if (w.error || f->n_fds != 1)
		return -EPROTO;
	if (span_starts_nocase(name, SPAN_LIT(stats))) {
		uint64_t slot;
		int r = span_to_u64(span_from(name, sizeof(stats) - 1), UINT16_MAX, &slot);
		if (r < 0 || (r = stats_attach(f->fds[0], (unsigned)slot)) < 0)
			return r;
		if (p->ops->role != ROLE_CONTROL)
			return 0;
		name = SPAN_LIT("stats");
	}
	int r = set_fd(p, name, f->fds[0]);
	if (r == 0)
		f->fds[0] = -1;
	return r;
}

static int on_config(struct role_process *p, struct frame *f)
{
	struct config *c;
	int r = config_parse_dump(f->payload, &c);

	if (r < 0)
		return r;
	config_free(p->next_config);
	p->next_config = c;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(supervise_renewed); i++)
		r = drop_fds(p, supervise_renewed[i]);
	return r;
}

/* The resolver's: what dns { } names, and 53. */
static void add_port(struct confine_options *o, uint16_t port)
{
	for (unsigned i = 0; i < o->n_ports; i++)
		if (o->ports[i] == port)
			return;
	if (o->n_ports < CONFINE_PORTS_MAX)
		o->ports[o->n_ports++] = port;
}

static void add_dns_ports(struct confine_options *o, const struct config *c)
{
	add_port(o, 53);
	for (size_t i = 0; i < c->dns.n_servers; i++)
		add_port(o, address_port(&c->dns.servers[i].address));
	for (size_t i = 0; i < c->dns.n_stubs; i++)
		add_port(o, address_port(&c->dns.stubs[i].server));
	for (size_t i = 0; i < c->dns.n_forwards; i++)
		add_port(o, address_port(&c->dns.forwards[i].server));
}

static int confine_role(struct role_process *p, uid_t uid, gid_t gid)
{
	struct confine_options o = {.role = p->ops->role,
		.uid = uid,
		.gid = gid,
		.parent = p->parent,
		.empty_fd = role_fd(p, "empty"),
		.outside_fd = role_fd(p, "outside")};
	static const char *const folders[] = {"sts", "tlsrpt", "spool", "auth"};
	const char *what = "confine itself", *name;
	size_t cursor = 0;
	int fd;

	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if ((fd = role_fd(p, folders[i])) >= 0)
			o.folders[o.n_folders++] = fd;
	while (o.n_folders < CONFINE_FOLDERS_MAX &&
		(fd = role_next_fd(p, "maildir:", &cursor, &name)) >= 0)
		o.folders[o.n_folders++] = fd;
	if (o.role == ROLE_RESOLVER)
		add_dns_ports(&o, p->next_config);
	int r = confine(&o, &what);
	if (r < 0)
		role_failed(p, "cannot %s: %s", what, strerror(-r));
	return r;
}

/* What only this role needs, while its files can still be opened. */
static int load_libraries(struct role_process *p)
{
	const char *why = "";
	int r = p->ops->load ? p->ops->load(&why) : 0;

	if (r < 0)
		role_failed(p, "cannot load a library: %s: install it", why);
	return r;
}

static enum log_level level_of(const struct config *c)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	for (size_t i = 0; c->log.level && i < ARRAY_LEN(names); i++)
		if (strcmp(c->log.level, names[i]) == 0)
			return (enum log_level)i;
	return LOG_LEVEL_INFO;
}

void supervise_log_init(const struct config *c, enum role role, int index)
{
	const char *format = c->log.format ? c->log.format : "auto";
	bool json = strcmp(format, "json") == 0 || (strcmp(format, "auto") == 0 && !isatty(2));

	log_init(2, json ? LOG_JSON : LOG_READABLE, level_of(c), role_name(role), index);
}

static int on_start(struct role_process *p, struct frame *f)
{
	struct wire w = wire_reader(f->payload);
	uid_t uid = wire_get_u32(&w);
	gid_t gid = wire_get_u32(&w);
	int r = 0;

	/* Root's rights are the supervisor's alone. */
	if (w.error || (uid == 0 && geteuid() == 0) || (!p->next_config && !p->config))
		return -EPROTO;
	struct config *old = p->config;
	if (p->next_config) {
		supervise_log_init(p->next_config, p->ops->role, (int)p->index);
		if (!p->started &&
			((r = load_libraries(p)) < 0 || (r = confine_role(p, uid, gid)) < 0))
			return r;
		p->config = TAKE(p->next_config);
	}
	if (!p->started) {
		p->started = true;
		r = p->ops->start(p);
	} else if (p->ops->reload) {
		p->ops->reload(p, old ? old : p->config);
	}
	close_retired(p);
	if (old != p->config)
		config_free(old);
	/* What confining, parsing and loading took goes back: some of a hundred KiB a process. */
	(void)malloc_trim(0);
	if (r < 0) {
		role_failed(p, "cannot start: %s", strerror(-r));
		return r;
	}
	return channel_send(p->supervisor, FRAME_READY, SPAN_NULL, NULL, 0);
}

static int on_peer(struct role_process *p, struct frame *f)
{
	struct wire w = wire_reader(f->payload);
	uint8_t role = wire_get_u8(&w);
	uint16_t index = wire_get_u16(&w);

	if (w.error || role >= ROLE_COUNT)
		return -EPROTO;
	if (f->type == FRAME_PEER_GONE) {
		bool abnormal = wire_get_u8(&w) != 0;
		if (p->ops->peer_gone)
			p->ops->peer_gone(p, (enum role)role, index, abnormal);
		return 0;
	}
	if (f->n_fds != 1)
		return -EPROTO;
	int fd = f->fds[0];
	f->fds[0] = -1;
	p->ops->peer(p, (enum role)role, index, fd);
	return 0;
}

static int on_drain(struct role_process *p, struct frame *f)
{
	struct wire w = wire_reader(f->payload);
	uint64_t grace = wire_get_u64(&w);

	if (w.error)
		return -EPROTO;
	if (!p->draining) {
		p->draining = true;
		p->ops->drain(p, grace);
	}
	return 0;
}

static int on_frame(void *arg, struct frame *f)
{
	struct role_process *p = arg;

	switch (f->type) {
	case FRAME_CONFIG:
		return on_config(p, f);
	case FRAME_FD:
		return on_fd(p, f);
	case FRAME_PEER:
	case FRAME_PEER_GONE:
		return on_peer(p, f);
	case FRAME_START:
		return on_start(p, f);
	case FRAME_DRAIN:
		return on_drain(p, f);
	default:
		return p->ops->supervisor_frame ? p->ops->supervisor_frame(p, f) : -EPROTO;
	}
}

static void on_close(void *arg, int error)
{
	struct role_process *p = arg;

	(void)error;
	/* Nobody outlives the supervisor; nothing can be awaited here. */
	log_flush();
	_exit(p->draining ? 0 : 70);
}

int role_send_supervisor(struct role_process *p, uint16_t type, struct span payload)
{
	return channel_send(p->supervisor, type, payload, NULL, 0);
}

static void turn_hook(void)
{
	log_flush();
}

int role_main(const struct role_ops *ops, unsigned index)
{
	static const struct channel_ops channel_ops = {.on_frame = on_frame, .on_close = on_close};
	struct role_process p = {.ops = ops, .index = index, .status = 70, .parent = getppid()};

	signal(SIGPIPE, SIG_IGN);
	/* A terminal's Ctrl-C goes to the whole group; the supervisor drains us in order. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	log_init(2, LOG_JSON, LOG_LEVEL_INFO, role_name(ops->role), (int)index);
	int r = loop_init();
	if (r == 0)
		r = offload_init(ops->offload_threads ? ops->offload_threads : 1);
	if (r == 0)
		r = channel_new(SUPERVISE_FD, &channel_ops, &p, &p.supervisor);
	if (r == 0) {
		loop_set_turn_hook(turn_hook);
		r = loop_run();
	}
	if (r < 0)
		log_text(LOG_LEVEL_ERROR, "role-failed", "%s", strerror(-r));
	log_flush();
	/* Fibers that still wait end with the process: everything durable is on disk already. */
	_exit(r < 0 ? 70 : p.status);
}
