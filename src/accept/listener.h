/* A listening socket of a receiver: accepts in bounded batches, refuses beyond the limits, starts
 * sessions. */
#pragma once
#include "accept/permits.h"
#include "base/list.h"
#include "fiber/fiber.h"
#include "session/session.h"

struct listener {
	struct list node;
	struct watch watch; /* on a borrowed fd */
	struct loop_defer again;
	struct loop_timer pause;
	struct server *server;
	struct permits *permits;
	struct settings *settings; /* that the name belongs to */
	struct span name;
	const struct config_listener *at; /* within settings; NULL: the socket for submission */
	enum listener_role role;
	enum tls_mode tls;
	enum tls_wish tls_client;
	bool local; /* the unix socket for submission */
};
/* fd: listening, borrowed until listener_free. c: within the server's settings; NULL: the unix
 * socket for submission. */
MUST_CHECK int listener_new(int fd, struct server *server, struct permits *permits,
	const struct config_listener *c, struct listener **ret_listener);
void listener_free(struct listener *l); /* takes nothing more; NULL allowed */
