/* A connection costs before and after its messages: the session with its stream, its fiber and its
 * buffers, the greeting, EHLO's answer, the lines `connect` and `session-end`, QUIT, and giving all
 * of it back. Here it is the receiver's own code on the real loop, with a socket pair for the
 * network; what the kernel does is not counted.
 *
 * The client's octets are there before the session begins, so that the count does not depend on
 * who runs when. */
#include "connection.h"
#include "fiber/fiber.h"
#include "session/server.h"
#include "session/session.h"
#include "spool/seam.h"

#include <sys/socket.h>
#include <unistd.h>

static struct server server;

static bool connection_prepare(void)
{
	static char hostname[] = "mx.example.org", data[] = "/nonexistent";
	struct config c = {.hostname = hostname, .data = data};
	struct seam *seam;

	c.limits.message_size = 50u << 20;
	c.limits.recipients = 1000;
	c.limits.errors = 20;
	c.limits.hops = 50;
	c.limits.command_timeout = c.limits.data_timeout = 60 * USEC_PER_SEC;
	if (loop_init() < 0 || seam_posix_new(-1, &seam) < 0 ||
		server_init(&server, seam, 1, &c) < 0)
		return false;
	loop_stop(); /* loop_run ends with the session's fiber */
	return true;
}

bool connection_run(uint64_t n)
{
	static const char said[] = "EHLO client.example.org\r\nQUIT\r\n";
	struct session_origin origin = {.listener = SPAN_LIT("mx")};
	int fds[2];

	if (!server.settings && !connection_prepare())
		return false;
	if (address_parse(SPAN_LIT("192.0.2.7"), (uint16_t)(1024 + n % 60000), &origin.client) <
			0 ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
		return false;
	bool ok = send(fds[1], said, sizeof(said) - 1, MSG_NOSIGNAL) == sizeof(said) - 1;
	ok = session_start(&server, fds[0], &origin) == 0 && loop_run() == 0 && ok;
	close(fds[1]);
	return ok && server.n_sessions == 0;
}
