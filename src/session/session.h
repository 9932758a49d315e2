/* One SMTP session, RFC 5321 3.1 and 4.1: from the greeting to the last reply. */
#pragma once
#include "net/stream.h"
#include "session/server.h"

/* Where a connection comes from. */
struct session_origin {
	struct address client;
	struct address server;		  /* where it was reached; len 0: ask the socket */
	struct address proxy;		  /* who said so, before the greeting; len 0: nobody */
	const struct config_listener *at; /* NULL: none of the configuration; as long as listener */
	enum listener_role role;
	enum tls_mode tls;
	enum tls_wish tls_client;
	struct span listener; /* its name; lives as long as the settings it was taken from */
	bool local;	      /* the submission socket of this machine: may relay */
	uint64_t uid;	      /* of the peer of that socket */
	/* Reads what comes before the greeting and says who the client is; NULL: nothing comes. A
	 * negative errno ends the connection without a word. */
	int (*preamble)(
		struct stream *io, const struct config *c, struct session_origin *o); /* SUSPENDS */
	void (*ended)(const struct session_origin
			*o); /* the connection is gone (its permit is free); may be NULL */
	void *arg;
	uint32_t permit; /* for ended */
};
/* Starts a fiber for the connection; takes over fd, also on error (then `ended` is not called).
 * -ENOMEM and epoll's errors. */
MUST_CHECK int session_start(struct server *srv, int fd, const struct session_origin *origin);
