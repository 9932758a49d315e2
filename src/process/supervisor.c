/* The life of the server: configuration, resources, children, then signals. Root's rights stay
 * here, so this process reads nothing that strangers can write but the frames of its children,
 * and of those only READY, FAILED, two requests of control's, the dispatcher's for a spare
 * deliverer, and the directory's word that logins taught something. */
#include "process/supervisor.h"
#include "process/tls_supply.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "ipc/admin.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PERMITS_OCTETS	  (8u << 20) /* what accept/permits.c expects */
#define EXIT_CONFIG	  78
#define EXIT_OS		  71
#define TABLES_PERIOD	  (USEC_PER_SEC / 2)
#define RELOAD_ERRORS_MAX (1u << 16)

static void print_errors(const struct buf *errors)
{
	struct span rest = buf_span(errors);

	while (rest.len) {
		struct span line = span_head(rest, span_index(rest, '\n'));
		(void)fprintf(stderr, "postrider: %.*s\n", SPAN_FMT(line));
		rest = span_from(rest, line.len + 1);
	}
}

static void log_errors(const char *event, const struct buf *errors)
{
	struct span rest = buf_span(errors);

	while (rest.len) {
		struct span line = span_head(rest, span_index(rest, '\n'));
		struct log_line *l = log_begin(LOG_LEVEL_ERROR, event);
		log_span(l, "text", line);
		log_end(l);
		rest = span_from(rest, line.len + 1);
	}
}

static int load(const char *path, struct config **ret, struct buf *errors)
{
	if (path)
		return config_load(path, ret, errors);
	char *here = getcwd(NULL, 0);
	int r = here ? config_evaluation(here, ret) : -errno;
	if (r < 0)
		buf_printf(errors, "cannot make the evaluation configuration: %s\n", strerror(-r));
	free(here);
	return r;
}

void supervisor_say(struct supervisor *s, const char *state)
{
	if (s->notify_fd >= 0)
		(void)send(s->notify_fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* systemd's notify socket (sd_notify(3)): a path, or "@" for an abstract name. */
static int notify_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;

	if (len < 2 || len >= sizeof(sun.sun_path))
		return -1;
	memcpy(sun.sun_path, path, len);
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sun,
			       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		fd = fd_close(fd);
	return fd;
}

static void say_inactive(const struct config *c)
{
	for (size_t i = 0; i < c->n_unsupported; i++)
		log_text(LOG_LEVEL_WARN, "config-not-active", "%s", c->unsupported[i]);
}

/* The demo account's password, or where it should be. */
static void read_demo_password(const struct supervisor *s, char *out, size_t size)
{
	CLEANUP(fd_closep)
	int fd = openat(s->resources.data_fd, "demo-password", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

	(void)snprintf(out + (n < 0 ? 0 : n), size - (size_t)(n < 0 ? 0 : n), "%s",
		n < 0 ? "(see demo-password)" : "");
	out[strcspn(out, "\n")] = '\0';
}

static void welcome(const struct supervisor *s)
{
	const struct config *c = s->config;
	char password[64];

	if (!c->evaluation)
		return;
	read_demo_password(s, password, sizeof(password));
	(void)fprintf(stderr,
		"\n"
		"  Postrider %s runs in evaluation mode, on this machine only.\n"
		"  Mail (MX)    127.0.0.1:2525   any name @localhost is accepted\n"
		"  Mailboxes    %s/mail/localhost/NAME/new\n"
		"  Submission   127.0.0.1:2587   STARTTLS, user demo, password %s\n"
		"  Not yet      the dashboard 8025 stays closed\n"
		"\n"
		"  Send a first mail:\n"
		"    printf 'Subject: hello\\n\\nIt works.\\n' | build/postrider send "
		"you@localhost\n"
		"  or, as a mail program does, with TLS and a password:\n"
		"    curl -ksS --ssl-reqd --url smtp://127.0.0.1:2587 --user demo@localhost:%s \\\n"
		"      --mail-from demo@localhost --mail-rcpt you@localhost --upload-file FILE\n"
		"  Look at it:   ls %s/mail/localhost/you/new\n"
		"  Stop:         Ctrl-C\n\n",
		POSTRIDER_VERSION, c->data, password, password, c->data);
}

void supervisor_child_ready(struct supervisor *s)
{
	if (s->ready_said || !children_all_ready(s))
		return;
	s->ready_said = true;
	log_text(LOG_LEVEL_INFO, "ready", "%s serves %s", POSTRIDER_VERSION, s->config->data);
	log_flush();
	welcome(s);
	supervisor_say(s, "READY=1");
}

static bool has_dns_port(const struct config *c, uint16_t port)
{
	bool has = port == 53;

	for (size_t i = 0; i < c->dns.n_servers && !has; i++)
		has = address_port(&c->dns.servers[i].address) == port;
	for (size_t i = 0; i < c->dns.n_stubs && !has; i++)
		has = address_port(&c->dns.stubs[i].server) == port;
	for (size_t i = 0; i < c->dns.n_forwards && !has; i++)
		has = address_port(&c->dns.forwards[i].server) == port;
	return has;
}

/* The resolver may connect to the ports that it was started with. */
static bool has_new_dns_port(const struct config *next, const struct config *old)
{
	bool new = false;

	for (size_t i = 0; i < next->dns.n_servers && !new; i++)
		new = !has_dns_port(old, address_port(&next->dns.servers[i].address));
	for (size_t i = 0; i < next->dns.n_stubs && !new; i++)
		new = !has_dns_port(old, address_port(&next->dns.stubs[i].server));
	for (size_t i = 0; i < next->dns.n_forwards && !new; i++)
		new = !has_dns_port(old, address_port(&next->dns.forwards[i].server));
	return new;
}

/* errors: why not, in lines; -errno then, and nothing has changed. */
static int reload(struct supervisor *s, struct buf *errors)
{
	struct config *c = NULL;
	struct resources next;

	resources_init(&next);
	supervisor_say(s, "RELOADING=1");
	int r = s->path ? load(s->path, &c, errors) : 0;
	if (r == 0 && c && strcmp(c->data, s->config->data) != 0) {
		buf_printf(errors, "`data` cannot change in a running server: restart it\n");
		r = -EINVAL;
	}
	if (r == 0 && c)
		r = resources_open(&next, &s->resources, c, &s->accounts, errors);
	if (r < 0) {
		log_errors("reload-failed", errors);
		log_text(LOG_LEVEL_ERROR, "reload-failed",
			"the earlier configuration stays in force");
		config_free(c);
		resources_done(&next);
	} else {
		/* What a process may reach is fixed for its life (landlock). */
		bool new_folder = c && resources_have_new_folder(&next, &s->resources);
		bool new_port = c && has_new_dns_port(c, s->config);
		if (c) {
			resources_adopt(&next, &s->resources);
			s->resources = next;
			config_free(s->config);
			s->config = c;
		} else {
			(void)resources_refresh_tables(&s->resources);
			resources_done(&next);
		}
		supervise_log_init(s->config, ROLE_SUPERVISOR, -1);
		say_inactive(s->config);
		children_reload(s);
		if (new_folder)
			children_renew(s, ROLE_MAILBOX);
		if (new_port)
			children_renew(s, ROLE_RESOLVER);
		log_text(LOG_LEVEL_INFO, "reloaded", "the new configuration is in force");
	}
	supervisor_say(s, "READY=1");
	return r;
}

static void reload_by_signal(struct supervisor *s)
{
	struct buf errors = BUF_INIT(RELOAD_ERRORS_MAX);

	(void)!reload(s, &errors); /* it is in the log */
	buf_done(&errors);
}

static void reload_asked(struct supervisor *s, struct child *from, uint64_t token)
{
	struct buf errors = BUF_INIT(RELOAD_ERRORS_MAX), b = BUF_INIT(2 * RELOAD_ERRORS_MAX);
	int r = reload(s, &errors);
	struct span text = buf_span(&errors);

	while (r < 0 && text.len > 0 && text.ptr[text.len - 1] == '\n')
		text.len--;
	admin_end_encode(
		&(struct admin_end){.token = token, .error = (uint32_t)-r, .text = text}, &b);
	if (!b.error)
		(void)!channel_send(from->channel, FRAME_ADMIN_END, buf_span(&b), NULL, 0);
	buf_done(&errors);
	buf_done(&b);
}

static void status_row(struct supervisor *s, struct child *to, uint64_t token)
{
	struct buf b = BUF_INIT(1 << 16);

	wire_put_u64(&b, token);
	for (unsigned i = 0; i < s->n_children; i++) {
		const struct child *c = s->children[i];
		wire_put_u8(&b, (uint8_t)c->role);
		wire_put_u16(&b, (uint16_t)c->index);
		wire_put_u32(&b, (uint32_t)c->pid);
		wire_put_u8(&b, c->ready);
	}
	(void)!channel_send(to->channel, FRAME_ADMIN_ROW, buf_span(&b), NULL, 0);
	buf_done(&b);
}

/* From control only: u64 token, u8 verb (ipc/admin.h begins so). */
void supervisor_frame(struct supervisor *s, struct child *from, struct frame *f)
{
	struct wire w = wire_reader(f->payload);

	if (from->role == ROLE_DISPATCHER && f->type == FRAME_SPARE_WANT) {
		uint8_t role = wire_get_u8(&w);
		if (!w.error && !s->draining && (role == ROLE_DELIVERER || role == ROLE_MAILBOX))
			children_spare(s, (enum role)role);
		return;
	}
	if (from->role == ROLE_DIRECTORY && f->type == FRAME_KEYS_LEARNED) {
		learn_begin(s);
		return;
	}
	uint64_t token = wire_get_u64(&w);
	uint8_t verb = wire_get_u8(&w);

	if (from->role != ROLE_CONTROL || f->type != FRAME_ADMIN || w.error)
		return;
	struct admin_end end = {.token = token};
	if (verb == ADMIN_RELOAD) {
		reload_asked(s, from, token);
		return;
	}
	if (verb == ADMIN_STATUS)
		status_row(s, from, token);
	else
		end.error = EINVAL;
	struct buf b = BUF_INIT(256);
	admin_end_encode(&end, &b);
	(void)!channel_send(from->channel, FRAME_ADMIN_END, buf_span(&b), NULL, 0);
	buf_done(&b);
}

static void on_signal(struct watch *w, uint32_t events)
{
	struct supervisor *s = CONTAINER_OF(w, struct supervisor, signals);
	struct signalfd_siginfo info;

	(void)events;
	while (read(w->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGCHLD:
			children_reap(s);
			learn_reap(s);
			break;
		case SIGHUP:
			if (!s->draining)
				reload_by_signal(s);
			break;
		default:
			drain_begin(s);
		}
	}
}

static int watch_signals(struct supervisor *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return fd < 0 ? -errno : watch_init(&s->signals, fd, on_signal);
}

static void watch_certificates(struct supervisor *s)
{
	struct buf errors = BUF_INIT(1 << 16);

	if (tls_supply_refresh(&s->resources, s->config, &errors)) {
		children_new_certificates(s);
		log_text(LOG_LEVEL_INFO, "certificates-loaded", "new files are in use");
	} else if (errors.len > 0) {
		log_errors("certificates-refused", &errors);
		log_text(LOG_LEVEL_ERROR, "certificates-refused",
			"the earlier certificates stay in use");
	}
	buf_done(&errors);
}

static void rotate_tickets(struct supervisor *s)
{
	uint64_t now = loop_now_usec();

	if (now < s->tickets_usec)
		return;
	tickets_rotate(s->tickets);
	s->tickets_usec = now + TICKET_PERIOD_SEC * USEC_PER_SEC;
}

static void on_tables(struct loop_timer *t)
{
	struct supervisor *s = CONTAINER_OF(t, struct supervisor, tables);

	if (resources_refresh_tables(&s->resources))
		children_new_tables(s);
	watch_certificates(s);
	rotate_tickets(s);
	if (loop_timer_set(t, loop_now_usec() + TABLES_PERIOD) < 0)
		log_text(LOG_LEVEL_ERROR, "no-memory", "tables are no longer watched");
}

static int make_stats(struct supervisor *s)
{
	off_t octets = (off_t)ROLE_COUNT * STATS_ROLE_SLOTS * STATS_SLOT_OCTETS;

	s->stats_fd = memfd_create("postrider-stats", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s->stats_fd < 0 || ftruncate(s->stats_fd, octets) < 0 ||
		fcntl(s->stats_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return stats_attach(s->stats_fd, ROLE_SUPERVISOR * STATS_ROLE_SLOTS);
}

/* Tells roles, which cannot open files any more, in which life of the kernel they are: unsynced
 * writes survive a dead process, but not a dead kernel (spool/seam.h). */
static void export_boot_id(void)
{
	char text[40] = "", hex[33] = "";
	size_t n = 0;
	CLEANUP(fd_closep) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	for (ssize_t i = 0; i < got && n < sizeof(hex) - 1; i++)
		if (text[i] != '-' && text[i] > ' ')
			hex[n++] = text[i];
	(void)setenv("POSTRIDER_BOOT_ID", hex, 1);
}

static void harden(void)
{
	struct rlimit files;

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)umask(0022);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

static int prepare(struct supervisor *s, struct buf *errors)
{
	const char *what = "";
	int r = accounts_find(s->config, &s->accounts, &what);

	if (r < 0)
		buf_printf(errors, "cannot %s: %s\n", what, strerror(-r));
	if (r == 0)
		r = resources_open_data(&s->resources, s->config, &s->accounts, errors);
	if (r == 0)
		r = resources_add_shared(&s->resources, "permits", PERMITS_OCTETS);
	if (r == 0)
		r = tls_supply_tickets(&s->resources, &s->tickets);
	if (r == 0)
		r = resources_open(&s->resources, NULL, s->config, &s->accounts, errors);
	return r;
}

static int run(struct supervisor *s)
{
	int r = loop_init();

	if (r == 0)
		r = watch_signals(s);
	if (r == 0)
		r = make_stats(s);
	if (r < 0)
		return r;
	loop_set_turn_hook(log_flush);
	s->tables.fn = on_tables;
	r = loop_timer_set(&s->tables, loop_now_usec() + TABLES_PERIOD);
	if (r == 0)
		r = children_start(s);
	if (r == 0)
		r = loop_run();
	children_kill(s);
	return r;
}

int supervise(const char *path)
{
	struct supervisor s = {.path = path, .notify_fd = -1, .stats_fd = -1, .status = EXIT_OS};
	struct buf errors = BUF_INIT(1 << 16);

	resources_init(&s.resources);
	s.self_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	s.notify_fd = notify_open();
	export_boot_id();
	harden();
	if (load(path, &s.config, &errors) < 0) {
		print_errors(&errors);
		buf_done(&errors);
		return EXIT_CONFIG;
	}
	supervise_log_init(s.config, ROLE_SUPERVISOR, -1);
	int r = prepare(&s, &errors);
	if (r < 0) {
		print_errors(&errors);
		s.status = r == -EBUSY || r == -EADDRINUSE ? 75 : EXIT_CONFIG;
	} else {
		say_inactive(s.config);
		r = run(&s);
		if (r < 0)
			log_text(LOG_LEVEL_ERROR, "server-failed", "%s", strerror(-r));
		else
			log_text(LOG_LEVEL_INFO, "stopped", "status %d", s.status);
	}
	log_flush();
	buf_done(&errors);
	resources_done(&s.resources);
	config_free(s.config);
	return s.status;
}
