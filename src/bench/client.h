/* A session of the generator (private to the room): one connection at a time, one fiber. */
#pragma once
#include "bench/load.h"
#include "net/stream.h"

#define CLIENT_HEAD_MAX 4096u

struct client {
	struct load *l;
	struct stream *s; /* NULL: not connected */
	bool pipelining, chunking, auth, starttls;
	uint64_t connected_usec; /* when connect() began; taken by the first message */
	bool first;
	struct buf envelope, head;
};
/* Octets, slowly with --slow. */
SUSPENDS int client_put(struct client *c, struct span octets);
/* The reply's code (RFC 5321 4.2), or a negative errno. What is no 2xx or 3xx is counted. hello:
 * learn what is offered. */
SUSPENDS int client_get(struct client *c, const char *where, bool hello);
/* To the last reply before MAIL. Failures are counted. -EPROTO: refused. */
SUSPENDS int client_open(struct client *c);
/* QUIT and its reply. */
SUSPENDS void client_quit(struct client *c);
void client_close(struct client *c);
