/* Sockets that the supervisor opens for others: where listeners listen, and the data folder's own.
 * A reload takes over what stays. The data folder's are bound by short names from inside the
 * folder: sun_path has 108 octets. */
#include "process/sockets.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_BACKLOG 4096

/* A socket that lies there and that nobody listens on is what a dead server left. */
static void remove_dead_socket(const struct config_address *ca)
{
	struct sockaddr_un sun;
	struct stat st;

	memcpy(&sun, &ca->address.ss, sizeof(sun));
	sun.sun_path[sizeof(sun.sun_path) - 1] = '\0';
	if (lstat(sun.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	CLEANUP(fd_closep)
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 &&
		errno == ECONNREFUSED)
		(void)unlink(sun.sun_path);
}

/* Who may connect to a unix socket is said by the rights of its folder, as with a port. */
static int bind_address(int fd, const struct config_address *ca)
{
	const struct sockaddr *sa = (const struct sockaddr *)&ca->address.ss;
	bool local = sa->sa_family == AF_UNIX;
	mode_t mask = 0;

	if (local) {
		remove_dead_socket(ca);
		mask = umask(0111);
	}
	int r = bind(fd, sa, ca->address.len);
	int e = errno;
	if (local)
		(void)umask(mask);
	errno = e;
	return r;
}

static int bind_listener(const struct config_address *ca, struct buf *errors)
{
	const struct sockaddr *sa = (const struct sockaddr *)&ca->address.ss;
	int one = 1;
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0) {
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (sa->sa_family == AF_INET6)
			(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
		if (bind_address(fd, ca) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
			return fd;
	}
	int e = -errno;
	const char *remedy = "";
	if (e == -EADDRINUSE)
		remedy = ": another program listens there (ss -ltnp names it): stop it or change "
			 "the listener";
	else if (e == -EACCES)
		remedy = ": ports below 1024 need root or CAP_NET_BIND_SERVICE";
	else if (e == -EADDRNOTAVAIL || e == -EAFNOSUPPORT)
		remedy = ": this machine does not have that address";
	buf_printf(errors, "listener %s: %s%s\n", ca->text, strerror(-e), remedy);
	fd_close(fd);
	return e;
}

/* A socket of the running server with the same address is taken over; the old resource stays
 * valid (dup), because the reload may still fail. */
static int take_over(struct resources *old, const struct config_address *ca)
{
	for (size_t i = 0; old && i < old->n; i++) {
		struct resource *item = &old->items[i];
		if (strncmp(item->name, "listener:", 9) == 0 && item->path &&
			strcmp(item->path, ca->text) == 0)
			return fcntl(item->fd, F_DUPFD_CLOEXEC, 3);
	}
	return -1;
}

int sockets_open_listeners(
	struct resources *r, struct resources *old, const struct config *c, struct buf *errors)
{
	int failed = 0;

	for (size_t i = 0; i < c->n_listeners; i++) {
		const struct config_listener *l = &c->listeners[i];
		for (size_t j = 0; j < l->n_addresses; j++) {
			const struct config_address *ca = &l->addresses[j];
			char name[64];
			int fd = take_over(old, ca);
			if (fd < 0)
				fd = bind_listener(ca, errors);
			if (fd < 0) {
				/* The evaluation mode's [::1] is a nicety: machines without IPv6
				 * exist. */
				if (!(c->evaluation &&
					    (fd == -EADDRNOTAVAIL || fd == -EAFNOSUPPORT)))
					failed = fd;
				continue;
			}
			(void)snprintf(name, sizeof(name), "listener:%zu:%zu", i, j);
			int e = resources_add(r, name, fd, ca->text);
			failed = e < 0 ? e : failed;
		}
	}
	return failed;
}

int sockets_open_unix(struct resources *r, struct resources *old, const struct config *c,
	int data_fd, const char *name, int type, mode_t mode, struct buf *errors)
{
	struct resource *have = resources_find(old, name);

	if (have) {
		int fd = fcntl(have->fd, F_DUPFD_CLOEXEC, 3);
		return fd < 0 ? -errno : resources_add(r, name, fd, NULL);
	}
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", name);
	CLEANUP(fd_closep) int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), e = 0;
	mode_t mask = umask(0777 & ~mode);

	/* The lock is ours, so a socket that lies there is a dead server's. */
	if (fd < 0 || fchdir(data_fd) < 0 || (unlink(name) < 0 && errno != ENOENT) ||
		bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 ||
		listen(fd, LISTEN_BACKLOG) < 0)
		e = -errno;
	(void)umask(mask);
	if (here >= 0 && fchdir(here) < 0 && e == 0)
		e = -errno;
	if (e < 0) {
		buf_printf(
			errors, "%s/%s: cannot make the socket: %s\n", c->data, name, strerror(-e));
		fd_close(fd);
		return e;
	}
	return resources_add(r, name, fd, NULL);
}
