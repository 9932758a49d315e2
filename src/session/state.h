/* Inside of the session room: what a session knows. The verbs read and write it; nobody else does.
 */
#pragma once
#include "mail/command.h"
#include "session/session.h"
#include "session/transaction.h"

struct session {
	struct list node; /* server.sessions */
	struct server *server;
	struct settings *settings;
	const struct config *config; /* of settings */
	struct session_origin origin;
	struct fiber *fiber;
	struct stream *io;
	struct address peer;  /* the client at the greeting, whatever XCLIENT says later */
	struct buf name;      /* of the client, by XCLIENT; empty: nobody said one */
	struct buf forwarded; /* of XFORWARD, for the log: "ADDR=192.0.2.1 HELO=x" */
	uint64_t number;      /* in the log */
	uint64_t started_usec;

	bool trusted;	     /* the client may relay */
	bool bare_tolerated; /* it is one of limits.bare_newlines */
	bool idle;	     /* waits for a command, outside a transaction */
	bool done;	     /* no further command */
	bool urgent;	     /* the reply must not wait for others */
	const char *end;     /* why it ended, for the log */

	struct buf helo; /* argument of the last EHLO or HELO; empty: none yet */
	bool extended;	 /* it was EHLO */
	/* AUTH (login.h): */
	struct buf login; /* "local@domain"; empty: nobody yet */
	unsigned auth_failures;
	uint64_t recipients_left;     /* of the user's hour, as of MAIL */
	uint64_t own_size, own_rcpts; /* the user's limits of a message, as of MAIL; 0: none */
	/* Of the TLS connection; empty: none (ipc/auth.h says what they are). */
	struct buf exporter, end_point, fingerprint, subject;
	struct tls_server *tls_server; /* that the connection's TLS was begun with, or NULL */
	struct transaction tx;
	struct arrival *arrival; /* NULL: no BDAT of the transaction yet */
	struct buf text;	 /* a reply's text, where it is not static (reply.h) */

	unsigned commands, bad, refused_rcpts, slowed;
	uint64_t accepted;     /* messages */
	uint64_t transactions; /* MAILs answered 250 */
};
/* The client's address without port, or "local". */
struct address_text session_client_text(const struct session *s);
/* Frees what ended sessions have left for later ones. */
void sessions_discard_kept(struct server *srv);
/* What the configuration says about this client. */
void session_classify(struct session *s);
/* RFC 5321 3.1, 4.3.1 */
struct verdict session_greeting(struct session *s);
/* Forgets the transaction, and the chunks that came of it. */
void session_reset(struct session *s);
/* The session ends after this reply. reason: a fixed word for the log. */
void session_end(struct session *s, const char *reason);
/* RFC 3848: how the message came. */
struct span session_protocol(const struct session *s);
