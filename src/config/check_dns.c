/* What `check` says of dns { }: can the trust anchor's file be read, does each server answer at
 * all? One question for the root's name servers goes to each, over UDP, with a short wait; whatever
 * comes back counts. A silent server is a warning: it may come back, and mail only waits. */
#include "config/check.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_MSEC 1500

/* ". IN NS" with RD, id 0x5052. */
static const char question[] = "PR\1\0\0\1\0\0\0\0\0\0\0\0\2\0\1";

static int probe(const struct address *server)
{
	CLEANUP(fd_closep) int fd = socket(server->ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char answer[16];

	if (fd < 0 || connect(fd, (const struct sockaddr *)&server->ss, server->len) < 0 ||
		send(fd, question, sizeof(question) - 1, 0) < 0)
		return -errno;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n = poll(&p, 1, WAIT_MSEC);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ETIMEDOUT;
	return recv(fd, answer, sizeof(answer), 0) < 0 ? -errno : 0;
}

static void check_server(
	const struct config *c, const struct address *server, const char *key, struct buf *warnings)
{
	int r = probe(server);

	if (r == 0)
		return;
	buf_printf(warnings, "%s: dns.%s: ", c->path ? c->path : "evaluation", key);
	address_format(server, warnings);
	if (r == -ECONNREFUSED)
		buf_str(warnings, " refuses questions: no name server listens there; start it or "
				  "correct the address\n");
	else if (r == -ETIMEDOUT)
		buf_str(warnings, " does not answer: is it up, may this machine ask it, does a "
				  "firewall drop UDP?\n");
	else
		buf_printf(warnings, " cannot be asked: %s: correct the address\n", strerror(-r));
}

static unsigned check_anchor(const struct config *c, struct buf *errors)
{
	struct stat st;
	CLEANUP(fd_closep)
	int fd = open(c->dns.trust_anchor, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
		return 0;
	buf_printf(errors,
		"%s: dns.trust_anchor: '%s': %s: name a file with DS or DNSKEY records, or "
		"remove the key (the root's keys are built in)\n",
		c->path ? c->path : "evaluation", c->dns.trust_anchor,
		fd < 0 ? strerror(errno) : "it is empty or no regular file");
	return 1;
}

unsigned config_check_dns(const struct config *c, struct buf *warnings, struct buf *errors)
{
	for (size_t i = 0; i < c->dns.n_servers; i++)
		check_server(c, &c->dns.servers[i].address, "server", warnings);
	for (size_t i = 0; i < c->dns.n_stubs; i++)
		check_server(c, &c->dns.stubs[i].server, "stub", warnings);
	for (size_t i = 0; i < c->dns.n_forwards; i++)
		check_server(c, &c->dns.forwards[i].server, "forward", warnings);
	return c->dns.trust_anchor ? check_anchor(c, errors) : 0;
}
