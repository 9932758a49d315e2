/* Connecting. An attempt that has not succeeded after DIAL_ATTEMPT_DELAY gets company by the next
 * address; one that fails is followed at once. So a dead IPv6 path costs a quarter of a second, and
 * a peer that works is not flooded.
 *
 * A socket to a port of this machine on which nobody listens can connect to itself (TCP
 * simultaneous open, when the kernel picks that very port as its own): this would look like a next
 * hop that is up and says nothing, so it counts as refused. */
#include "deliver/dial.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#define DIAL_BACKLOG_USEC (20 * USEC_PER_MSEC) /* between tries at a full unix backlog */

struct attempt {
	struct watch watch;
	struct cond *woken;
	int fd; /* -1: not running */
	uint64_t deadline_usec;
	bool ready;
};
struct race {
	const struct dial *ask;
	struct attempt attempts[DIAL_TOGETHER_MAX];
	unsigned started, running;
	uint64_t next_start_usec;
	int error;
	unsigned error_index;
	struct cond woken;
};

int dial_unix_address(struct span path, struct address *ret_address)
{
	struct address a = {.len = sizeof(struct sockaddr_un)};
	struct sockaddr_un *un = (struct sockaddr_un *)(void *)&a.ss;
	if (path.len >= sizeof(un->sun_path) || memchr(path.ptr, '\0', path.len))
		return -ENAMETOOLONG;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path.ptr, path.len);
	*ret_address = a;
	return 0;
}

static bool connected_to_itself(int fd)
{
	struct address here = {.len = sizeof(here.ss)}, there = {.len = sizeof(there.ss)};
	if (getsockname(fd, (struct sockaddr *)&here.ss, &here.len) < 0 ||
		getpeername(fd, (struct sockaddr *)&there.ss, &there.len) < 0)
		return false;
	return here.ss.ss_family != AF_UNIX && address_port(&here) == address_port(&there) &&
	       address_equal_host(&here, &there);
}

static void on_ready(struct watch *w, uint32_t events)
{
	struct attempt *t = CONTAINER_OF(w, struct attempt, watch);
	(void)events;
	t->ready = true;
	cond_signal(t->woken);
}

static int bind_source(int fd, const struct address *from)
{
	int on = 1;
	if (!from)
		return 0;
	/* The port is chosen at connect, by the whole four-tuple: no early exhaustion. */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	struct address a = *from;
	if (a.ss.ss_family == AF_INET6)
		((struct sockaddr_in6 *)(void *)&a.ss)->sin6_port = 0;
	else
		((struct sockaddr_in *)(void *)&a.ss)->sin_port = 0;
	return bind(fd, (const struct sockaddr *)&a.ss, a.len) < 0 ? -errno : 0;
}

static void attempt_end(struct race *race, struct attempt *t)
{
	if (t->fd < 0)
		return;
	watch_done(&t->watch);
	fd_close(t->fd);
	t->fd = -1;
	race->running--;
}

static void attempt_failed(struct race *race, unsigned i, int error)
{
	attempt_end(race, &race->attempts[i]);
	race->error = error;
	race->error_index = i;
	race->next_start_usec = 0; /* RFC 8305 5: the next at once */
}

/* 0: under way or connected; else why not. */
static int attempt_start(struct race *race, unsigned i)
{
	const struct address *a = &race->ask->addresses[i];
	struct attempt *t = &race->attempts[i];
	*t = (struct attempt){.fd = -1, .woken = &race->woken};
	int fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int r = bind_source(
		fd, a->ss.ss_family == AF_INET6 ? race->ask->from_v6 : race->ask->from_v4);
	if (r >= 0 && connect(fd, (const struct sockaddr *)&a->ss, a->len) < 0)
		r = errno == EINPROGRESS || errno == EINTR ? 0 : -errno;
	if (r >= 0)
		r = watch_init(&t->watch, fd, on_ready);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	t->fd = fd;
	t->ready = true; /* it may be connected already: look at once */
	t->deadline_usec = loop_now_usec() + race->ask->timeout_usec;
	race->running++;
	race->next_start_usec = loop_now_usec() + DIAL_ATTEMPT_DELAY;
	return 0;
}

/* 1 connected, 0 still under way, negative errno. */
static int attempt_look(struct attempt *t)
{
	struct address peer = {.len = sizeof(peer.ss)};
	if (t->ready) {
		int error = 0;
		socklen_t len = sizeof(error);
		t->ready = false;
		if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
			error = errno;
		if (error)
			return -error;
		if (getpeername(t->fd, (struct sockaddr *)&peer.ss, &peer.len) == 0)
			return connected_to_itself(t->fd) ? -ECONNREFUSED : 1;
	}
	return t->deadline_usec <= loop_now_usec() ? -ETIMEDOUT : 0;
}

/* The index of a connected one, or -1. */
static int race_look(struct race *race)
{
	for (unsigned i = 0; i < race->started; i++) {
		if (race->attempts[i].fd < 0)
			continue;
		int r = attempt_look(&race->attempts[i]);
		if (r > 0)
			return (int)i;
		if (r < 0)
			attempt_failed(race, i, r);
	}
	return -1;
}

static uint64_t race_wait_until(const struct race *race)
{
	uint64_t until = race->ask->deadline_usec;
	if (race->started < race->ask->n)
		until = MIN(until, race->next_start_usec);
	for (unsigned i = 0; i < race->started; i++)
		if (race->attempts[i].fd >= 0)
			until = MIN(until, race->attempts[i].deadline_usec);
	return until;
}

/* The winner's index, or a negative errno. */
SUSPENDS static int race_run(struct race *race)
{
	for (;;) {
		int winner = race_look(race);
		if (winner >= 0)
			return winner;
		bool late = loop_now_usec() >= race->ask->deadline_usec;
		if (race->started < race->ask->n && !late &&
			(race->running == 0 || loop_now_usec() >= race->next_start_usec)) {
			unsigned i = race->started++;
			int r = attempt_start(race, i);
			if (r < 0)
				attempt_failed(race, i, r);
			continue;
		}
		if (race->running == 0)
			return race->error;
		if (late)
			return -ETIMEDOUT;
		int r = cond_wait(&race->woken, race_wait_until(race));
		if (r < 0 && r != -ETIMEDOUT)
			return r;
	}
}

SUSPENDS static int dial_race(const struct dial *ask, int *ret_fd, unsigned *ret_index)
{
	struct race race = {.ask = ask, .error = -EHOSTUNREACH};
	assert(ask->n <= DIAL_TOGETHER_MAX);
	for (unsigned i = 0; i < DIAL_TOGETHER_MAX; i++)
		race.attempts[i].fd = -1;
	cond_init(&race.woken);
	int r = race_run(&race);
	*ret_index = r >= 0 ? (unsigned)r : race.error_index;
	if (r >= 0) {
		struct attempt *winner = &race.attempts[r];
		watch_done(&winner->watch);
		*ret_fd = winner->fd;
		winner->fd = -1;
	}
	for (unsigned i = 0; i < race.started; i++)
		attempt_end(&race, &race.attempts[i]);
	return r < 0 ? r : 0;
}

/* As root this process sees no files, but its working directory is the real root
 * (process/confine.h): there the path without its slash leads to the same place. */
static int connect_unix(int fd, const struct address *a)
{
	if (connect(fd, (const struct sockaddr *)&a->ss, a->len) == 0)
		return 0;
	struct address relative = *a;
	struct sockaddr_un *un = (struct sockaddr_un *)(void *)&relative.ss;
	if (errno != ENOENT || un->sun_path[0] != '/')
		return -errno;
	memmove(un->sun_path, un->sun_path + 1, sizeof(un->sun_path) - 1);
	return connect(fd, (const struct sockaddr *)un, relative.len) < 0 ? -errno : 0;
}

/* A unix socket connects at once, or its listener's backlog is full (-EAGAIN) and nothing tells
 * when it is not. */
SUSPENDS static int dial_unix(const struct dial *ask, int *ret_fd)
{
	uint64_t deadline = MIN(ask->deadline_usec, loop_now_usec() + ask->timeout_usec);
	CLEANUP(fd_closep)
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	for (;;) {
		int r = connect_unix(fd, &ask->addresses[0]);
		if (r == 0) {
			*ret_fd = fd;
			fd = -1;
		}
		if (r != -EAGAIN)
			return r;
		if (loop_now_usec() >= deadline)
			return -ETIMEDOUT;
		r = fiber_sleep(DIAL_BACKLOG_USEC);
		if (r < 0)
			return r;
	}
}

int dial(const struct dial *ask, int *ret_fd, unsigned *ret_index)
{
	*ret_index = 0;
	if (ask->n == 1 && address_is_unix(&ask->addresses[0]))
		return dial_unix(ask, ret_fd);
	int r = dial_race(ask, ret_fd, ret_index);
	int on = 1; /* commands gather in the stream: Nagle would only delay the last */
	if (r >= 0)
		(void)setsockopt(*ret_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return r;
}
