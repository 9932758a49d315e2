/* Roles as children: fork and re-execute this program (a fresh address space layout), tell it its
 * configuration, fds and peers, restart it when it dies.
 *
 * Wiring: for every pair of roles that talk (edges below) each two living processes share one
 * socketpair. When a process is started again it gets fresh pairs to all living peers; their old
 * channels have seen end-of-file by then. Restarts wait: at once the first time, then doubling up
 * to RESTART_WAIT_MAX while deaths come fast. */
#include "process/supervisor.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESTART_FAST	 (5 * USEC_PER_SEC)
#define RESTART_WAIT_MAX (5 * USEC_PER_SEC)
#define RESTART_WAIT_MIN (20 * USEC_PER_MSEC)

static const enum role edges[][2] = {
	{ROLE_RECEIVER, ROLE_DISPATCHER},
	{ROLE_RECEIVER, ROLE_DIRECTORY},
	{ROLE_RECEIVER, ROLE_KEYS},
	{ROLE_DELIVERER, ROLE_KEYS},
	{ROLE_DIRECTORY, ROLE_KEYS},
	{ROLE_DISPATCHER, ROLE_DIRECTORY},
	{ROLE_DISPATCHER, ROLE_DELIVERER},
	{ROLE_DISPATCHER, ROLE_MAILBOX},
	{ROLE_CONTROL, ROLE_DISPATCHER},
	{ROLE_RESOLVER, ROLE_DISPATCHER},
	{ROLE_RESOLVER, ROLE_DELIVERER},
	{ROLE_RESOLVER, ROLE_CONTROL},
	{ROLE_RESOLVER, ROLE_REPORTER},
	{ROLE_REPORTER, ROLE_DELIVERER},
	{ROLE_REPORTER, ROLE_CONTROL},
};

static bool talk(enum role a, enum role b)
{
	for (size_t i = 0; i < ARRAY_LEN(edges); i++)
		if ((edges[i][0] == a && edges[i][1] == b) ||
			(edges[i][0] == b && edges[i][1] == a))
			return true;
	return false;
}

/* Which of the supervisor's fds a role is given. Least that its work needs. */
static bool is_given(const struct config *config, enum role role, const char *name)
{
	static const struct {
		const char *prefix;
		enum role role;
	} rights[] = {
		{"listener:", ROLE_RECEIVER},
		{"submit", ROLE_RECEIVER},
		{"permits", ROLE_RECEIVER},
		{"tickets", ROLE_RECEIVER},
		{"certificate:", ROLE_RECEIVER},
		{"ocsp:", ROLE_RECEIVER},
		{"client-ca:", ROLE_RECEIVER},
		{"key:", ROLE_KEYS},
		{"shown-key:", ROLE_KEYS},
		{"shown-certificate:", ROLE_DELIVERER},
		{"secrets", ROLE_KEYS},
		{"spool", ROLE_DISPATCHER},
		{"maildir:", ROLE_MAILBOX},
		{"users:", ROLE_DIRECTORY},
		{"auth", ROLE_DIRECTORY},
		{"aliases:", ROLE_DIRECTORY},
		{"senders:", ROLE_DIRECTORY},
		{"route:", ROLE_DIRECTORY},
		{"trust_anchor:", ROLE_RESOLVER},
		{"outside", ROLE_DELIVERER},
		{"ca:", ROLE_DELIVERER},
		{"sts", ROLE_DELIVERER},
		{"credentials:", ROLE_DELIVERER},
		{"control", ROLE_CONTROL},
		{"ca:", ROLE_REPORTER},
		{"tlsrpt", ROLE_REPORTER},
	};

	if (strcmp(name, "empty") == 0)
		return true;
	/* Where the operator wants it so (tls { keys = receiver }). */
	if (role == ROLE_RECEIVER && strncmp(name, "key:", 4) == 0)
		return config->tls.keys_in == TLS_KEYS_RECEIVER;
	for (size_t i = 0; i < ARRAY_LEN(rights); i++)
		if (rights[i].role == role &&
			strncmp(name, rights[i].prefix, strlen(rights[i].prefix)) == 0)
			return true;
	return false;
}

static void send_frame(struct child *c, uint16_t type, struct span payload, int fd)
{
	/* A child that does not take its frames dies of it: the end of its channel. */
	int r = channel_send(c->channel, type, payload, &fd, fd >= 0 ? 1 : 0);
	if (r < 0)
		log_text(LOG_LEVEL_WARN, "process-unreachable", "%s[%u]: %s", role_name(c->role),
			c->index, strerror(-r));
}

/* What a reload may change. The rest (spool, unix sockets, shared tables) is given once: its users
 * hold it for their whole life. */
static bool is_renewed(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(supervise_renewed); i++)
		if (strncmp(name, supervise_renewed[i], strlen(supervise_renewed[i])) == 0)
			return true;
	return false;
}

static void send_fds(struct child *c, bool again)
{
	struct buf b = BUF_INIT(8192);
	const struct resources *r = &c->s->resources;

	for (size_t i = 0; i < r->n; i++) {
		if (!is_given(c->s->config, c->role, r->items[i].name) ||
			(again && !is_renewed(r->items[i].name)))
			continue;
		buf_reset(&b);
		wire_put_span(&b, span_str(r->items[i].name));
		send_frame(c, FRAME_FD, buf_span(&b), r->items[i].fd);
	}
	buf_done(&b);
}

static void send_config(struct child *c)
{
	struct buf b = BUF_INIT(CHANNEL_FRAME_MAX);

	config_dump(c->s->config, &b);
	send_frame(c, FRAME_CONFIG, buf_span(&b), -1);
	buf_done(&b);
}

static void send_stats(struct child *c)
{
	struct buf b = BUF_INIT(64), name = BUF_INIT(32);

	buf_printf(&name, "stats:%u", (unsigned)c->role * STATS_ROLE_SLOTS + c->index);
	wire_put_span(&b, buf_span(&name));
	send_frame(c, FRAME_FD, buf_span(&b), c->s->stats_fd);
	buf_done(&b);
	buf_done(&name);
}

/* With the account to run as: looked up once, by us. The system's look-up loads its modules and
 * asks some two hundred files and sockets, which no role needs to repeat. */
static void send_start(struct child *c)
{
	struct buf b = BUF_INIT(16);

	wire_put_u32(&b, c->s->accounts.uid[c->role]);
	wire_put_u32(&b, c->s->accounts.gid[c->role]);
	send_frame(c, FRAME_START, buf_span(&b), -1);
	buf_done(&b);
}

static void send_peer(
	struct child *to, const struct child *peer, uint16_t type, int fd, bool abnormal)
{
	struct buf b = BUF_INIT(16);

	wire_put_u8(&b, (uint8_t)peer->role);
	wire_put_u16(&b, (uint16_t)peer->index);
	if (type == FRAME_PEER_GONE)
		wire_put_u8(&b, abnormal);
	send_frame(to, type, buf_span(&b), fd);
	buf_done(&b);
}

static void wire_up(struct child *a, struct child *b)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		log_text(LOG_LEVEL_ERROR, "wiring-failed", "%s", strerror(errno));
		return;
	}
	/* Room for bursts: a full pair costs its writer a wait for the peer's turn. */
	int octets = 1 << 20;
	for (int i = 0; i < 2; i++) {
		(void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &octets, sizeof(octets));
		(void)setsockopt(pair[i], SOL_SOCKET, SO_RCVBUF, &octets, sizeof(octets));
	}
	send_peer(a, b, FRAME_PEER, pair[0], false);
	send_peer(b, a, FRAME_PEER, pair[1], false);
	fd_close(pair[0]);
	fd_close(pair[1]);
}

static int on_frame(void *arg, struct frame *f)
{
	struct child *c = arg;

	if (f->type == FRAME_READY) {
		if (!c->ready) {
			c->ready = true;
			supervisor_child_ready(c->s);
		}
	} else if (f->type == FRAME_FAILED) {
		struct log_line *l = log_begin(LOG_LEVEL_ERROR, "process-cannot-work");
		log_str(l, "process", role_name(c->role));
		log_u64(l, "index", c->index);
		log_span(l, "reason", f->payload);
		log_end(l);
		c->failed = true;
	} else {
		supervisor_frame(c->s, c, f);
	}
	return 0;
}

/* waitpid tells more; the channel is freed there. */
static void on_close(void *arg, int error)
{
	(void)arg;
	(void)error;
}

/* After fork: only what must be done before exec; nothing of the parent's memory is kept. */
NORETURN static void exec_role(struct supervisor *s, const struct child *c, int channel_fd)
{
	char index[16];
	sigset_t none;
	int self = fcntl(s->self_fd, F_DUPFD_CLOEXEC, 10),
	    lock = fcntl(s->resources.lock, F_DUPFD_CLOEXEC, 10);
	int channel = fcntl(channel_fd, F_DUPFD_CLOEXEC, 10),
	    null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (self < 0 || lock < 0 || channel < 0 || null < 0 || dup2(null, 0) < 0 ||
		dup2(null, 1) < 0 || dup2(channel, SUPERVISE_FD) < 0 ||
		dup2(lock, SUPERVISE_LOCK) < 0)
		_exit(71);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)snprintf(index, sizeof(index), "%u", c->index);
	char name[] = "postrider", flag[] = "--role", role[24];
	(void)snprintf(role, sizeof(role), "%s", role_name(c->role));
	char *argv[] = {name, flag, role, index, NULL};
	fexecve(self, argv, environ);
	_exit(72);
}

static int spawn(struct child *c)
{
	static const struct channel_ops ops = {.on_frame = on_frame, .on_close = on_close};
	struct supervisor *s = c->s;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	log_flush();
	pid_t pid = fork();
	if (pid == 0)
		exec_role(s, c, pair[1]);
	int r = pid < 0 ? -errno : 0;
	fd_close(pair[1]);
	if (r < 0) {
		fd_close(pair[0]);
		return r;
	}
	r = channel_new(pair[0], &ops, c, &c->channel);
	if (r < 0) {
		(void)kill(pid, SIGKILL); /* our own child, not yet reaped: the pid is its */
		(void)waitpid(pid, NULL, 0);
		return r;
	}
	channel_set_backlog_max(c->channel, 16u << 20);
	c->pid = pid;
	c->ready = false;
	c->started_usec = loop_now_usec();
	send_config(c);
	send_stats(c);
	send_fds(c, false);
	for (unsigned i = 0; i < s->n_children; i++) {
		struct child *peer = s->children[i];
		if (peer != c && peer->pid && talk(c->role, peer->role))
			wire_up(c, peer);
	}
	return 0;
}

static void restart_later(struct child *c)
{
	uint64_t wait = RESTART_WAIT_MIN;

	for (unsigned i = 1; i < c->fast_deaths && wait < RESTART_WAIT_MAX; i++)
		wait *= 2;
	if (c->fast_deaths == 0)
		wait = 0;
	if (loop_timer_set(&c->restart, loop_now_usec() + MIN(wait, RESTART_WAIT_MAX)) < 0)
		abort(); /* without memory for a timer nothing can go on; children die with us */
}

static void on_restart(struct loop_timer *t)
{
	struct child *c = CONTAINER_OF(t, struct child, restart);

	if (c->pid || c->s->draining)
		return;
	int r = spawn(c);
	if (r == 0)
		send_start(c);
	if (r < 0) {
		log_text(LOG_LEVEL_ERROR, "process-not-started", "%s[%u]: %s", role_name(c->role),
			c->index, strerror(-r));
		c->fast_deaths++;
		restart_later(c);
		return;
	}
	STATS_ADD(restarts_total, 1);
	struct log_line *l = log_begin(LOG_LEVEL_WARN, "process-restarted");
	log_str(l, "process", role_name(c->role));
	log_u64(l, "index", c->index);
	log_u64(l, "pid", (uint64_t)c->pid);
	log_end(l);
}

static int add_child(struct supervisor *s, enum role role, unsigned index)
{
	struct child *c = calloc(1, sizeof(*c));

	if (!c || s->n_children >= CHILDREN_MAX) {
		free(c);
		return -ENOMEM;
	}
	c->s = s;
	c->role = role;
	c->index = index;
	c->restart.fn = on_restart;
	s->children[s->n_children++] = c;
	return 0;
}

void children_spare(struct supervisor *s, enum role role)
{
	for (unsigned i = 0; i < s->n_children; i++)
		if (s->children[i]->role == role && s->children[i]->index == ROLE_SPARE_INDEX)
			return; /* it runs, or will be started again */
	int r = add_child(s, role, ROLE_SPARE_INDEX);
	if (r == 0) {
		struct child *c = s->children[s->n_children - 1];
		r = spawn(c);
		if (r == 0)
			send_start(c);
		else
			restart_later(c);
	}
	struct log_line *l =
		log_begin(r < 0 ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, "process-spare-started");
	log_str(l, "process", role_name(role));
	if (r < 0)
		log_errno(l, r);
	log_end(l);
}

static unsigned count_for(unsigned configured)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = configured ? configured : (unsigned)(cores > 0 ? cores : 1);

	return MIN(n, ROLE_SPARE_INDEX);
}

int children_start(struct supervisor *s)
{
	const struct {
		enum role role;
		unsigned n;
	} plan[] = {
		{ROLE_KEYS, 1}, /* first: it has a new key before receivers ask for it */
		/* What a client waits for comes before what only mail waits for. */
		{ROLE_RECEIVER, count_for(s->config->receivers)},
		{ROLE_DIRECTORY, 1},
		{ROLE_DISPATCHER, 1},
		{ROLE_CONTROL, 1},
		{ROLE_MAILBOX, 1},
		{ROLE_DELIVERER, count_for(s->config->deliverers)},
		{ROLE_RESOLVER, 1},
		{ROLE_REPORTER, 1},
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(plan); i++)
		for (unsigned j = 0; r == 0 && j < plan[i].n; j++)
			r = add_child(s, plan[i].role, j);
	for (unsigned i = 0; r == 0 && i < s->n_children; i++)
		r = spawn(s->children[i]);
	/* Nobody begins before all his peers are wired; their linking goes on meanwhile. */
	for (unsigned i = 0; r == 0 && i < s->n_children; i++)
		send_start(s->children[i]);
	return r;
}

static void log_death(const struct child *c, int status, bool abnormal)
{
	struct log_line *l =
		log_begin(abnormal ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "process-ended");

	log_str(l, "process", role_name(c->role));
	log_u64(l, "index", c->index);
	log_u64(l, "pid", (uint64_t)c->pid);
	if (WIFSIGNALED(status))
		log_str(l, "signal", sigabbrev_np(WTERMSIG(status)));
	else
		log_u64(l, "status", (uint64_t)WEXITSTATUS(status));
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		log_str(l, "violation", "seccomp");
	log_end(l);
}

static void child_ended(struct child *c, int status)
{
	struct supervisor *s = c->s;
	bool abnormal = !(WIFEXITED(status) && WEXITSTATUS(status) == 0);

	log_death(c, status, abnormal && !(s->draining && s->drain_phase == UINT_MAX));
	c->pid = 0;
	channel_free(TAKE(c->channel));
	for (unsigned i = 0; i < s->n_children; i++) {
		struct child *peer = s->children[i];
		if (peer->pid && talk(c->role, peer->role))
			send_peer(peer, c, FRAME_PEER_GONE, -1, abnormal);
	}
	if (s->draining) {
		drain_step(s);
		return;
	}
	if (loop_now_usec() - c->started_usec < RESTART_FAST)
		c->fast_deaths++;
	else
		c->fast_deaths = 0;
	/* What could not even start will not start better the next time. */
	if (c->failed && !s->ready_said) {
		s->status = 70;
		loop_exit();
		return;
	}
	c->failed = false;
	restart_later(c);
}

void children_reap(struct supervisor *s)
{
	int status;

	for (unsigned i = 0; i < s->n_children; i++) {
		struct child *c = s->children[i];
		if (c->pid && waitpid(c->pid, &status, WNOHANG) == c->pid)
			child_ended(c, status);
	}
}

void children_reload(struct supervisor *s)
{
	for (unsigned i = 0; i < s->n_children; i++) {
		struct child *c = s->children[i];
		if (!c->pid)
			continue;
		send_config(c);
		send_fds(c, true);
		send_start(c);
	}
}

void children_renew(struct supervisor *s, enum role role)
{
	struct buf b = BUF_INIT(16);

	wire_put_u64(&b, s->config->grace);
	for (unsigned i = 0; i < s->n_children; i++)
		if (s->children[i]->pid && s->children[i]->role == role)
			send_frame(s->children[i], FRAME_DRAIN, buf_span(&b), -1);
	buf_done(&b);
}

static void renew_fds(struct supervisor *s, enum role role)
{
	for (unsigned i = 0; i < s->n_children; i++) {
		struct child *c = s->children[i];
		if (!c->pid || c->role != role)
			continue;
		send_fds(c, true);
		send_start(c);
	}
}

void children_new_tables(struct supervisor *s)
{
	renew_fds(s, ROLE_DIRECTORY);
	renew_fds(s, ROLE_RESOLVER);
	renew_fds(s, ROLE_DELIVERER);
	renew_fds(s, ROLE_REPORTER);
}

void children_new_certificates(struct supervisor *s)
{
	renew_fds(s, ROLE_KEYS);
	renew_fds(s, ROLE_RECEIVER);
	renew_fds(s, ROLE_DELIVERER);
}

void children_kill(struct supervisor *s)
{
	for (unsigned i = 0; i < s->n_children; i++) {
		struct child *c = s->children[i];
		loop_timer_cancel(&c->restart);
		if (c->pid) {
			(void)kill(c->pid, SIGKILL);
			(void)waitpid(c->pid, NULL, 0);
		}
		channel_free(c->channel);
		free(c);
	}
	s->n_children = 0;
}

bool children_all_ready(const struct supervisor *s)
{
	for (unsigned i = 0; i < s->n_children; i++)
		if (!s->children[i]->ready)
			return false;
	return true;
}

bool children_running(const struct supervisor *s, enum role role)
{
	for (unsigned i = 0; i < s->n_children; i++)
		if (s->children[i]->role == role && s->children[i]->pid)
			return true;
	return false;
}
