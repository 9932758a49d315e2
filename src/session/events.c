/* One event, one line, fixed words: the names are an interface. Whatever a peer wrote passes
 * through log_span, which escapes it. */
#include "session/events.h"
#include "base/log.h"
#include "fiber/fiber.h"
#include "net/tls.h"
#include "session/limits.h"

static struct log_line *begin(enum log_level level, const char *event, const struct session *s)
{
	struct log_line *l = log_begin(level, event);

	if (!l)
		return NULL;
	log_id(l, "session", s->number);
	log_str(l, "client", session_client_text(s).s);
	return l;
}

static void verdict(struct log_line *l, struct verdict v)
{
	log_u64(l, "code", v.code);
	log_str(l, "enhanced", v.enhanced);
	log_str(l, "text", v.text);
}

static void peer(struct log_line *l, const char *key, struct span octets)
{
	log_span(l, key, span_head(octets, LOG_PEER_OCTETS));
}

void event_connect(const struct session *s)
{
	struct log_line *l = begin(LOG_LEVEL_INFO, "connect", s);

	if (l && !s->origin.local)
		log_u64(l, "port", address_port(&s->origin.client));
	if (s->origin.local)
		log_u64(l, "uid", s->origin.uid);
	log_span(l, "listener", s->origin.listener);
	if (l && s->origin.proxy.len > 0)
		log_str(l, "proxy", address_host_text(&s->origin.proxy).s);
	log_end(l);
}

void event_tls(const struct session *s, uint64_t usec)
{
	struct log_line *l = begin(LOG_LEVEL_INFO, "tls", s);
	struct tls_facts f;

	if (!l)
		return;
	tls_facts(stream_tls(s->io), &f);
	log_str(l, "version", f.version);
	log_str(l, "cipher", f.cipher);
	if (f.sni)
		peer(l, "sni", span_str(f.sni));
	if (f.peer_certificate) {
		struct buf hex = BUF_INIT(128);
		for (size_t i = 0; i < s->fingerprint.len; i++)
			buf_printf(&hex, "%02x", (unsigned)(uint8_t)s->fingerprint.ptr[i]);
		log_span(l, "fingerprint", buf_span(&hex));
		log_str(l, "verified", f.verified ? "yes" : "no");
		peer(l, "subject", buf_span(&s->subject));
		buf_done(&hex);
	}
	log_str(l, "resumed", f.resumed ? "yes" : "no");
	log_msec(l, "time", usec);
	log_end(l);
}

void event_tls_failed(const struct session *s, int error)
{
	struct log_line *l = begin(LOG_LEVEL_INFO, "tls-failed", s);

	log_span(l, "listener", s->origin.listener);
	log_errno(l, error);
	log_str(l, "reason", stream_tls_error(s->io));
	log_end(l);
}

/* The words of a session's TLS, for other events. */
static void encryption(struct log_line *l, const struct session *s)
{
	const SSL *ssl = stream_tls(s->io);

	if (ssl)
		log_str(l, "tls", SSL_get_version(ssl));
}

/* The line's client is who it is from now on. */
void event_xclient(const struct session *s)
{
	struct log_line *l = begin(LOG_LEVEL_INFO, "xclient", s);

	log_str(l, "proxy", address_host_text(&s->peer).s);
	peer(l, "name", buf_span(&s->name));
	peer(l, "helo", buf_span(&s->helo));
	log_span(l, "login", buf_span(&s->login));
	log_end(l);
}

void event_end(const struct session *s)
{
	struct log_line *l = begin(LOG_LEVEL_INFO, "session-end", s);

	log_str(l, "reason", s->end ? s->end : "closed");
	peer(l, "helo", buf_span(&s->helo));
	encryption(l, s);
	log_u64(l, "accepted", s->accepted);
	log_u64(l, "commands", s->commands);
	log_u64(l, "bad", s->bad);
	log_u64(l, "octets-in", stream_octets_in(s->io));
	log_u64(l, "octets-out", stream_octets_out(s->io));
	log_msec(l, "time", loop_now_usec() - s->started_usec);
	log_end(l);
}

void event_rcpt_refused(const struct session *s, struct span path, struct verdict v)
{
	struct log_line *l = begin(LOG_LEVEL_INFO, "recipient-refused", s);

	log_span(l, "from", s->tx.reverse_path);
	peer(l, "to", path);
	verdict(l, v);
	log_end(l);
}

void event_mail_refused(const struct session *s, struct span path, struct verdict v)
{
	struct log_line *l = begin(LOG_LEVEL_INFO, "sender-refused", s);

	peer(l, "from", path);
	verdict(l, v);
	log_end(l);
}

void event_message_refused(const struct session *s, uint64_t id, uint64_t octets, struct verdict v)
{
	struct log_line *l = begin(LOG_LEVEL_INFO, "message-refused", s);

	if (id)
		log_id(l, "id", id);
	log_span(l, "from", s->tx.reverse_path);
	log_u64(l, "rcpts", s->tx.n_rcpts);
	log_u64(l, "size", octets);
	peer(l, "helo", buf_span(&s->helo));
	verdict(l, v);
	log_end(l);
}

void event_message_accepted(
	const struct session *s, const struct message *m, uint64_t data_usec, uint64_t commit_usec)
{
	struct log_line *l = begin(LOG_LEVEL_INFO, "message-accepted", s);

	log_id(l, "id", m->id);
	log_span(l, "from", m->reverse_path);
	log_u64(l, "rcpts", m->n_rcpts);
	if (m->n_rcpts == 1)
		log_span(l, "to", m->rcpts[0].address);
	log_u64(l, "size", m->size);
	peer(l, "helo", m->helo);
	log_span(l, "protocol", m->protocol);
	encryption(l, s);
	if (s->forwarded.len > 0)
		log_span(l, "forwarded", buf_span(&s->forwarded));
	log_span(l, "listener", m->listener);
	log_msec(l, "data", data_usec);
	log_msec(l, "commit", commit_usec);
	log_end(l);
}

void event_slowed(const struct session *s)
{
	struct log_line *l = begin(LOG_LEVEL_INFO, "session-slowed", s);

	log_u64(l, "bad", s->bad);
	log_u64(l, "refused", s->refused_rcpts);
	log_end(l);
}
