/* What the sessions of one process share. */
#pragma once
#include "base/list.h"
#include "session/intake.h"
#include "session/lookup_client.h"
#include "session/settings.h"
#include "session/tls_server.h"

struct server {
	struct settings *settings; /* of new sessions */
	struct tls_server *tls;	   /* of new handshakes; NULL: no certificates */
	struct intake *intake;
	struct lookup_client *directory;
	struct list sessions; /* struct session */
	size_t n_sessions;
	struct list kept; /* ended ones, for their storage */
	unsigned n_kept;
	bool draining;
	uint64_t next_session; /* number of the next one, for the log */
	struct buf scratch[2]; /* storage for a reply and its text that no session uses now */
	/* Called after a session has ended and been freed. */
	void (*session_ended)(struct server *srv);
};
/* seam outlives it. config is copied. */
MUST_CHECK int server_init(
	struct server *srv, const struct seam *seam, uint16_t slot, const struct config *config);
void server_done(struct server *srv); /* no session may be left */
/* For new sessions; a session under way keeps its own. */
MUST_CHECK int server_reload(struct server *srv, const struct config *config);
/* For new handshakes; takes over the reference. tls NULL: none. */
void server_set_tls(struct server *srv, struct tls_server *tls);
/* An empty buffer for a reply: an idle session has none of its own. It goes back when the reply
 * has been sent; some are kept, for whoever comes next. */
struct buf server_scratch(struct server *srv);
void server_scratch_back(struct server *srv, struct buf *b);
/* Sessions outside a transaction end now with 421, the others after theirs. */
void server_drain(struct server *srv);
/* Ends what is left (the grace is over). */
void server_cancel(struct server *srv);
