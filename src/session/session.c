/* The session's fiber: greeting, then command by command to the end. RFC 5321 3.1, 4.1.4, 4.2,
 * 4.5.3.2.7 (a server waits at least 5 minutes for a command).
 *
 * The loop owns what is common to all verbs: reading a line, the limits of bad behaviour, the
 * timeout, the drain. A session outside a transaction is idle and may be ended at any time; inside
 * one it may finish (server_drain). Whatever ends it, everything it holds is let go of in
 * session_free, at the one end of its fiber. */
#include "session/session.h"
#include "base/stats.h"
#include "checks/relay.h"
#include "fiber/sanitizer.h"
#include "net/tls.h"
#include "session/arrival.h"
#include "session/encryption.h"
#include "session/events.h"
#include "session/limits.h"
#include "session/login.h"
#include "session/refusal.h"
#include "session/reply.h"
#include "session/tls_server.h"
#include "session/verb.h"

#include <stdlib.h>
#include <string.h>

static struct verdict (*const verbs[VERB_COUNT])(struct session *, const struct command *) = {
	[VERB_EHLO] = verb_ehlo,
	[VERB_HELO] = verb_helo,
	[VERB_LHLO] = verb_lhlo,
	[VERB_AUTH] = verb_auth,
	[VERB_STARTTLS] = verb_starttls,
	[VERB_MAIL] = verb_mail,
	[VERB_RCPT] = verb_rcpt,
	[VERB_DATA] = verb_data,
	[VERB_BDAT] = verb_bdat,
	[VERB_RSET] = verb_rset,
	[VERB_NOOP] = verb_noop,
	[VERB_VRFY] = verb_vrfy,
	[VERB_EXPN] = verb_expn,
	[VERB_ETRN] = verb_etrn,
	[VERB_XCLIENT] = verb_xclient,
	[VERB_XFORWARD] = verb_xforward,
	[VERB_HELP] = verb_help,
	[VERB_QUIT] = verb_quit,
};

struct address_text session_client_text(const struct session *s)
{
	if (s->origin.local)
		return (struct address_text){"local"};
	return address_host_text(&s->origin.client);
}

void session_reset(struct session *s)
{
	struct arrival *a = TAKE(s->arrival);

	if (a)
		arrival_done(a);
	free(a);
	transaction_reset(&s->tx);
	buf_reset(&s->forwarded);
}

void session_end(struct session *s, const char *reason)
{
	s->done = true;
	if (!s->end)
		s->end = reason;
}

struct span session_protocol(const struct session *s)
{
	/* RFC 3848, and RFC 6531 4.3 for a message that asked for SMTPUTF8: "S" behind TLS, "A" for
	 * who is logged in. */
	static const char *const words[2][2][4] = {
		{{"ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA"},
			{"UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA"}},
		{{"LMTP", "LMTPS", "LMTPA", "LMTPSA"},
			{"UTF8LMTP", "UTF8LMTPS", "UTF8LMTPA", "UTF8LMTPSA"}}};
	unsigned secured = (stream_tls(s->io) ? 1u : 0u) | (session_is_logged_in(s) ? 2u : 0u);

	/* HELO has no word for more. */
	if (!s->extended)
		return SPAN_LIT("SMTP");
	return span_str(words[s->origin.role == LISTENER_LMTP]
			     [(s->tx.flags & MESSAGE_SMTPUTF8) != 0][secured]);
}

/* ---- one command ---- */

/* RFC 2920 3.2 (5), (6): replies to these, and to what is no command, are not kept back for more to
 * join them, though a client should not have put anything behind. */
static const bool urgent[VERB_COUNT] = {
	[VERB_EHLO] = true,
	[VERB_LHLO] = true,
	[VERB_DATA] = true,
	[VERB_VRFY] = true,
	[VERB_EXPN] = true,
	[VERB_QUIT] = true,
	[VERB_NOOP] = true,
};

static SUSPENDS struct verdict handle(struct session *s, struct span line, bool crlf)
{
	struct command c;

	s->urgent = true;
	/* 2.3.8: only CRLF ends a line. */
	if (!crlf && !s->bare_tolerated)
		return VERDICT(500, "5.5.2", "A command ends with CRLF");
	struct verdict v = command_parse(line, s->extended, &c);
	if (c.verb == VERB_HTTP) {
		session_end(s, "http");
		return VERDICT(421, "4.7.0", "This is a mail server, closing");
	}
	if (!verdict_is_ok(v))
		return v;
	if (!verbs[c.verb])
		return VERDICT(502, "5.5.1", "Command not implemented");
	s->urgent = urgent[c.verb];
	return verbs[c.verb](s, &c);
}

/* 4.2.4, 4.3.2: what a client got wrong, as opposed to what we do not want. */
static bool is_bad_command(struct verdict v)
{
	return (v.code >= 500 && v.code <= 504) || v.code == 555;
}

/* Counts a reply against the limits: the answer itself after a growing delay, or 421. */
static SUSPENDS struct verdict restrain(struct session *s, struct verdict v)
{
	uint64_t limit = s->config->limits.errors;
	uint64_t refused_limit = limit * ERRORS_PER_REFUSALS;

	if (is_bad_command(v))
		s->bad++;
	else if (v.code < 550 || s->refused_rcpts <= refused_limit)
		return v;
	if (limit == 0 || (s->bad <= limit && s->refused_rcpts <= refused_limit))
		return v;
	if (s->slowed == 0)
		event_slowed(s);
	if (s->slowed++ == ERRORS_SLOWED) {
		session_end(s, "errors");
		return VERDICT(421, "4.7.0", "Too many errors, closing");
	}
	/* Replies to earlier commands are not held back; an error shows at the next write. */
	if (stream_flush(s->io) < 0 || fiber_sleep(s->slowed * ERRORS_STEP_USEC) < 0)
		return v;
	return v;
}

/* What to say when no line came. */
static struct verdict unread(struct session *s, int error)
{
	if (error == -ETIMEDOUT) {
		session_end(s, "timeout");
		return VERDICT(421, "4.4.2", "Timeout, closing");
	}
	session_end(s, error == -ECANCELED ? "drain" : "closed");
	return error == -ECANCELED ? refusal_of(error) : VERDICT_NONE;
}

static SUSPENDS struct verdict next(struct session *s)
{
	struct span line;
	bool crlf = false;

	if (s->server->draining && !s->tx.open) {
		session_end(s, "drain");
		return refusal_of(-ECANCELED);
	}
	s->idle = !s->tx.open;
	int r = stream_read_line(s->io,
		s->origin.role == LISTENER_SUBMISSION ? AUTH_LINE_MAX : COMMAND_LINE_MAX_EXTENDED,
		&line, &crlf);
	s->idle = false;
	if (r < 0 && r != -EMSGSIZE)
		return unread(s, r);
	s->commands++;
	STATS_ADD(commands_total, 1);
	/* 4.5.3.1.4, 4.2.4: a line that is too long is 500. */
	return restrain(
		s, r == -EMSGSIZE ? VERDICT(500, "5.5.2", "Line too long") : handle(s, line, crlf));
}

struct verdict session_greeting(struct session *s)
{
	struct buf *out = reply_begin(s);

	buf_str(out, s->config->hostname);
	buf_str(out, s->origin.role == LISTENER_LMTP ? " LMTP Postrider" : " ESMTP Postrider");
	return reply_text(s, 220, "");
}

/* RFC 8314 3.3: the handshake comes before everything else. */
static SUSPENDS int session_greet(struct session *s)
{
	if (s->origin.tls == TLS_IMPLICIT && !s->origin.local) {
		int r = encryption_is_possible(s) ? encryption_start(s) : -ENOENT;
		if (r < 0) {
			session_end(s, r == -ECANCELED ? "drain" : "tls");
			return r;
		}
	}
	return reply_send(s, session_greeting(s));
}

static SUSPENDS int session_run(struct session *s)
{
	int r = session_greet(s);

	reply_sent(s);
	while (r >= 0 && !s->done) {
		struct verdict v = next(s);
		if (v.code != 0)
			r = reply_send(s, v);
		reply_sent(s);
		if (r >= 0 && s->urgent && !s->done)
			r = stream_flush(s->io);
		if (r >= 0 && s->commands % COMMANDS_PER_TURN == COMMANDS_PER_TURN - 1)
			r = fiber_yield() == -ECANCELED ? 0 : r; /* the next wait tells */
	}
	return r < 0 ? r : stream_finish(s->io);
}

/* ---- birth and end ---- */

/* Ended sessions that wait for the next connection, with the storage of a name and a transaction.
 * The sanitizer shall see a use after the end. */
#if FIBER_ASAN
#define SESSIONS_KEPT 0u
#else
#define SESSIONS_KEPT 32u
#endif

/* All zero but for what an ended one has left: helo's storage, the transaction's arena. */
static struct session *session_take(struct server *srv)
{
	struct list *n = list_pop_front(&srv->kept);

	if (!n)
		return calloc(1, sizeof(struct session));
	srv->n_kept--;
	struct session *s = CONTAINER_OF(n, struct session, node);
	struct transaction tx = s->tx;
	struct buf helo = s->helo;
	memset(s, 0, sizeof(*s));
	s->tx = tx;
	s->helo = helo;
	return s;
}

static void session_discard(struct session *s)
{
	transaction_done(&s->tx);
	buf_done(&s->helo);
	free(s);
}

/* It has been reset. */
static void session_leave(struct server *srv, struct session *s)
{
	if (srv->n_kept >= SESSIONS_KEPT) {
		session_discard(s);
		return;
	}
	buf_reset(&s->helo);
	list_push_front(&srv->kept, &s->node);
	srv->n_kept++;
}

void sessions_discard_kept(struct server *srv)
{
	for (struct list *n; (n = list_pop_front(&srv->kept));)
		session_discard(CONTAINER_OF(n, struct session, node));
	srv->n_kept = 0;
}

static void session_free(struct session *s)
{
	struct server *srv = s->server;

	session_reset(s);
	stream_free(s->io);
	tls_server_unref(s->tls_server);
	buf_done(&s->name);
	buf_done(&s->login);
	buf_done(&s->exporter);
	buf_done(&s->end_point);
	buf_done(&s->fingerprint);
	buf_done(&s->subject);
	buf_done(&s->forwarded);
	reply_sent(s);
	list_remove(&s->node);
	srv->n_sessions--;
	STATS_SUB(connections_open, 1);
	if (s->origin.ended)
		s->origin.ended(&s->origin);
	settings_unref(s->settings); /* origin.listener points into it */
	session_leave(srv, s);
	if (srv->session_ended)
		srv->session_ended(srv);
}

/* Who the client is, where something comes before the greeting that says so. */
static SUSPENDS int session_meet(struct session *s)
{
	int r = s->origin.preamble ? s->origin.preamble(s->io, s->config, &s->origin) : 0;

	s->peer = s->origin.client;
	if (r == 0 && s->origin.preamble)
		session_classify(s);
	if (r < 0)
		s->end = r == -ECANCELED ? "drain" : "proxy";
	return r;
}

static void session_main(void *arg)
{
	struct session *s = arg;

	int r = session_meet(s);
	event_connect(s);
	if (r == 0)
		r = session_run(s);
	if (r < 0 && !s->end)
		s->end = r == -ETIMEDOUT ? "timeout" : r == -ECANCELED ? "drain" : "closed";
	event_end(s);
	session_free(s);
}

/* What the configuration says about this client, once. */
void session_classify(struct session *s)
{
	const struct config *c = s->config;

	s->trusted = s->origin.local ||
		     networks_contain(c->relay.from, c->relay.n_from, &s->origin.client);
	s->bare_tolerated =
		!s->origin.local && networks_contain(c->limits.bare_newlines,
					    c->limits.n_bare_newlines, &s->origin.client);
}

int session_start(struct server *srv, int fd, const struct session_origin *origin)
{
	struct session *s = session_take(srv);

	if (!s) {
		fd_close(fd);
		return -ENOMEM;
	}
	bool tcp = !origin->local && !address_is_unix(&origin->client);
	int r = stream_new_known(fd, tcp, &s->io);
	if (r < 0) {
		session_leave(srv, s);
		return r;
	}
	s->server = srv;
	s->settings = settings_ref(srv->settings);
	s->config = s->settings->config;
	s->origin = *origin;
	s->number = srv->next_session++;
	s->started_usec = loop_now_usec();
	s->helo.max = DOMAIN_MAX + 1;
	s->name = BUF_INIT(DOMAIN_MAX);
	s->login = BUF_INIT(PATH_MAX_SMTP + DOMAIN_MAX);
	s->exporter = s->end_point = s->fingerprint = BUF_INIT(64);
	s->subject = BUF_INIT(4096);
	s->forwarded = BUF_INIT(FORWARDED_OCTETS_MAX);
	stream_set_timeout(
		s->io, s->config->limits.command_timeout, s->config->limits.command_timeout);
	session_classify(s);
	transaction_init(&s->tx, (uint32_t)MIN(s->config->limits.recipients, (uint64_t)UINT32_MAX));
	r = fiber_spawn(session_main, s, &s->fiber);
	if (r < 0) {
		stream_free(s->io);
		settings_unref(s->settings);
		session_leave(srv, s);
		return r;
	}
	list_push_back(&srv->sessions, &s->node);
	srv->n_sessions++;
	STATS_ADD(connections_total, 1);
	STATS_ADD(connections_open, 1);
	return 0;
}
