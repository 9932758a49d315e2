/* RFC 5321 6.1: with 250 a server takes responsibility for a message. It is said only when the
 * message is durable and the dispatcher has been told (incoming.h); everything that fails on our
 * side before that is 4xx, so that the client keeps the message.
 *
 * Our Received field (4.4) is put before the body when both the id and the recipients are known.
 * Return-Path is written at final delivery, not here. */
#include "session/promise.h"
#include "base/ident.h"
#include "base/stats.h"
#include "net/tls.h"
#include "session/events.h"
#include "session/limits.h"
#include "session/login.h"
#include "session/received.h"
#include "session/refusal.h"
#include "session/reply.h"
#include "session/submission.h"
#include "session/verb.h"

static int prepend_received(struct session *s, struct incoming *in, struct span client)
{
	const struct transaction *t = &s->tx;
	struct received r = {
		.helo = buf_span(&s->helo),
		.client = s->origin.local ? SPAN_NULL : client,
		.name = buf_span(&s->name),
		.unix_client = address_is_unix(&s->origin.client),
		.hidden = session_is_logged_in(s) && s->config->auth.hide_client,
		.uid = s->origin.uid,
		.hostname = span_str(s->config->hostname),
		.protocol = session_protocol(s),
		.id = incoming_id(in),
		.only_recipient = t->n_rcpts == 1 ? t->rcpts[0].address : SPAN_NULL,
		.wall_usec = loop_wall_usec(),
	};

	struct tls_facts tls;
	if (stream_tls(s->io)) {
		tls_facts(stream_tls(s->io), &tls);
		r.tls_version = tls.version;
		r.tls_cipher = tls.cipher;
	}
	struct buf field = server_scratch(s->server);
	received_format(&r, &field);
	int result = field.error < 0 ? field.error : incoming_prepend(in, buf_span(&field));
	server_scratch_back(s->server, &field);
	return result;
}

/* 8-bit octets may come undeclared (BODY=7BIT): what is there counts, not what was said. */
static uint64_t body_of(const struct transaction *t, const struct arrival *a)
{
	bool high = a->header_has_8bit || a->body_has_8bit;

	return MAX((uint64_t)t->body, (uint64_t)(high ? BODY_8BITMIME : BODY_7BIT));
}

static uint64_t flags_of(const struct transaction *t, const struct arrival *a)
{
	/* RFC 8689 4.1: REQUIRETLS goes before the field. */
	bool optional = header_tls_optional(&a->header) && !(t->flags & MESSAGE_REQUIRETLS);

	return t->flags | (optional ? MESSAGE_TLS_OPTIONAL : 0) |
	       (a->header_has_8bit ? MESSAGE_UTF8_HEADER : 0) |
	       (a->body_has_8bit ? MESSAGE_8BIT_BODY : 0);
}

/* fields: what the header lacked, below our Received. */
static SUSPENDS int commit(struct session *s, struct arrival *a, struct span fields)
{
	const struct transaction *t = &s->tx;
	uint64_t data_end = loop_now_usec();
	struct address_text client = session_client_text(s);
	struct message m = {
		.id = a->id,
		.arrival_wall_usec = loop_wall_usec(),
		.body = body_of(t, a),
		.uid = s->origin.uid,
		.relay = t->relayed,
		.flags = flags_of(t, a),
		.ret = t->ret,
		.priority = t->priority,
		.hold_until_wall_usec = t->hold_until_wall_usec,
		.deliver_by_wall_usec = t->deliver_by_wall_usec,
		.deliver_by_mode = t->deliver_by_mode,
		.envid = t->envid,
		.reverse_path = t->reverse_path,
		.client = span_str(client.s),
		.helo = buf_span(&s->helo),
		.protocol = session_protocol(s),
		.listener = s->origin.listener,
		.login = buf_span(&s->login),
		.rcpts = t->rcpts,
		.n_rcpts = t->n_rcpts,
	};
	int r = prepend_received(s, a->in, m.client);
	if (r == 0 && fields.len)
		r = incoming_prepend(a->in, fields);
	if (r == 0)
		r = incoming_commit(a->in, &m);
	if (r == 0) {
		s->accepted++;
		STATS_ADD(messages_accepted_total, 1);
		STATS_ADD(recipients_accepted_total, t->n_rcpts);
		STATS_ADD(octets_accepted_total, m.size);
		event_message_accepted(s, &m, data_end - t->began_usec, loop_now_usec() - data_end);
	}
	return r;
}

static struct verdict accepted(struct session *s, uint64_t id)
{
	struct buf *out = reply_begin(s);

	buf_str(out, "Accepted as ");
	buf_str(out, ident_format(id).s);
	return reply_text(s, 250, "2.0.0");
}

struct verdict promise_message(struct session *s, struct arrival *a)
{
	struct verdict v = arrival_check(a, s);
	struct buf fields = BUF_INIT(SUBMISSION_FIELDS_MAX);

	if (verdict_is_ok(v))
		v = submission_finish(s, a, &fields);
	if (verdict_is_ok(v)) {
		int r = commit(s, a, buf_span(&fields));
		buf_done(&fields);
		if (r == 0)
			return accepted(s, a->id);
		v = refusal_of(r);
		if (r == -ECANCELED)
			session_end(s, "drain");
	}
	buf_done(&fields);
	return promise_refused(s, a, v);
}

struct verdict promise_refused(struct session *s, struct arrival *a, struct verdict v)
{
	if (!a->reported) {
		STATS_ADD(messages_refused_total, 1);
		event_message_refused(s, a->id, a->octets, v);
	}
	a->reported = true;
	return v;
}

struct verdict promise_broken_off(struct session *s, struct arrival *a, int error)
{
	struct verdict v = VERDICT_NONE;
	const char *reason = "closed";

	if (error == -ETIMEDOUT || error == -ETIME) {
		v = error == -ETIME ? VERDICT(421, "4.4.2", "Data arrives too slowly, closing")
				    : VERDICT(421, "4.4.2", "Timeout, closing");
		reason = error == -ETIME ? "data-rate" : "data-timeout";
	} else if (error == -ECANCELED) {
		v = refusal_of(error);
		reason = "drain";
	}
	session_end(s, reason);
	event_message_refused(s, a->id, a->octets,
		v.code ? v : VERDICT(0, "", "The client left before the end of data"));
	return v;
}
