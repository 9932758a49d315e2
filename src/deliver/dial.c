/* Connecting, without names: what needs the DNS belongs to the resolver process, not here.
 *
 * A socket to a port of this machine on which nobody listens can connect to itself (TCP
 * simultaneous open, when the kernel picks that very port as its own): this would look like a next
 * hop that is up and says nothing, so it counts as refused. */
#include "deliver/dial.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "fiber/fiber.h"

#define DIAL_ADDRESSES_MAX 2u
#define DIAL_BACKLOG_USEC  (20 * USEC_PER_MSEC) /* between tries at a full unix backlog */

static int address_of_unix(struct span path, struct address *ret_address)
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

/* How many addresses, or a negative errno. */
static int addresses_of(const struct job *job, struct address *addresses)
{
	int r;
	if (job->path.len > 0) {
		r = address_of_unix(job->path, &addresses[0]);
		return r < 0 ? r : 1;
	}
	struct span host = job->host;
	if (host.len > 0 && host.ptr[host.len - 1] == '.')
		host.len--;
	static const struct span loopback[] = {SPAN_LIT("127.0.0.1"), SPAN_LIT("[::1]")};
	if (span_equal_nocase(host, SPAN_LIT("localhost"))) {
		for (unsigned i = 0; i < ARRAY_LEN(loopback); i++) {
			r = address_parse(loopback[i], job->port, &addresses[i]);
			if (r < 0)
				return r;
		}
		return ARRAY_LEN(loopback);
	}
	struct buf text = BUF_INIT(128);
	bool v6 = span_index(host, ':') < host.len && host.ptr[0] != '[';
	if (v6)
		buf_char(&text, '[');
	buf_put(&text, host);
	if (v6)
		buf_char(&text, ']');
	r = text.error ? text.error : address_parse(buf_span(&text), job->port, &addresses[0]);
	buf_done(&text);
	return r < 0 ? -EHOSTUNREACH : 1;
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

SUSPENDS static int connect_wait(int fd, uint64_t deadline_usec)
{
	struct watch w = {0};
	int r = watch_init(&w, fd, NULL);
	while (r >= 0) {
		r = fiber_wait_writable(&w, deadline_usec);
		if (r < 0)
			break;
		int error = 0;
		socklen_t len = sizeof(error);
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
			error = errno;
		r = -error;
		struct address peer = {.len = sizeof(peer.ss)};
		if (r == 0 && getpeername(fd, (struct sockaddr *)&peer.ss, &peer.len) == 0)
			break;
	}
	watch_done(&w);
	return r;
}

SUSPENDS static int dial_one(const struct address *a, uint64_t deadline_usec, int *ret_fd)
{
	CLEANUP(fd_closep)
	int fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int r;
	for (;;) {
		r = connect(fd, (const struct sockaddr *)&a->ss, a->len) < 0 ? -errno : 0;
		if (r != -EAGAIN) /* unix: the listener's backlog is full */
			break;
		if (loop_now_usec() >= deadline_usec)
			return -ETIMEDOUT;
		r = fiber_sleep(DIAL_BACKLOG_USEC);
		if (r < 0)
			return r;
	}
	if (r == -EINPROGRESS || r == -EINTR)
		r = connect_wait(fd, deadline_usec);
	if (r < 0)
		return r;
	if (!address_is_unix(a)) {
		int on = 1; /* commands gather in the stream: Nagle would only delay the last */
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	}
	if (connected_to_itself(fd))
		return -ECONNREFUSED;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

int dial(const struct job *job, int *ret_fd, struct address *ret_peer)
{
	struct address addresses[DIAL_ADDRESSES_MAX] = {0};
	*ret_peer = (struct address){0};
	int n = addresses_of(job, addresses);
	int r = n < 0 ? n : -EHOSTUNREACH;
	for (int i = 0; i < n; i++) {
		*ret_peer = addresses[i];
		r = dial_one(&addresses[i], loop_now_usec() + job->connect_timeout, ret_fd);
		if (r >= 0 || r == -ECANCELED)
			break;
	}
	return r;
}
