/* DATA, RFC 5321 4.1.1.4, 3.3: the message itself, and the one reply that is a promise. 250 is sent
 * only when the message is durable and the dispatcher has been told (incoming.h); everything that
 * fails on our side before that is 4xx, so that the client keeps the message.
 *
 * Our Received field (4.4) is put before the body when both the id and the recipients are known.
 * Return-Path is written at final delivery, not here. */
#include "base/ident.h"
#include "base/stats.h"
#include "checks/content.h"
#include "session/arrival.h"
#include "session/events.h"
#include "session/received.h"
#include "session/refusal.h"
#include "session/reply.h"
#include "session/verb.h"

static struct verdict check_state(const struct session *s)
{
	if (!s->tx.open)
		return VERDICT(503, "5.5.1", "MAIL first");
	/* 3.3: 503 or 554; with pipelining the client could not know better (RFC 2920 3.1). */
	if (s->tx.n_rcpts == 0)
		return VERDICT(554, "5.5.1", "No valid recipients");
	return VERDICT(250, "2.0.0", "Ok");
}

static struct verdict check_arrival(const struct session *s, const struct arrival *a)
{
	if (!verdict_is_ok(a->verdict))
		return a->verdict;
	return check_content(&(struct content_ask){
		.bare_newline = a->dot.bare_newline,
		.tolerate_bare = s->bare_tolerated,
		.received = a->header.received,
		.hops = s->config->limits.hops,
	});
}

static int prepend_received(struct session *s, struct incoming *in, struct span client)
{
	const struct transaction *t = &s->tx;
	struct received r = {
		.helo = buf_span(&s->helo),
		.client = s->origin.local ? SPAN_NULL : client,
		.uid = s->origin.uid,
		.hostname = span_str(s->config->hostname),
		.protocol = session_protocol(s),
		.id = incoming_id(in),
		.only_recipient = t->n_rcpts == 1 ? t->rcpts[0].address : SPAN_NULL,
		.wall_usec = loop_wall_usec(),
	};

	buf_reset(&s->text);
	received_format(&r, &s->text);
	return s->text.error < 0 ? s->text.error : incoming_prepend(in, buf_span(&s->text));
}

static SUSPENDS int commit(struct session *s, struct arrival *a)
{
	const struct transaction *t = &s->tx;
	uint64_t data_end = loop_now_usec();
	struct buf client = BUF_INIT(128);

	session_client_text(s, &client);
	struct message m = {
		.id = incoming_id(a->in),
		.arrival_wall_usec = loop_wall_usec(),
		.body = MAX(
			(uint64_t)t->body, (uint64_t)(a->dot.has_8bit ? BODY_8BITMIME : BODY_7BIT)),
		.uid = s->origin.uid,
		.relay = t->relayed,
		.reverse_path = t->reverse_path,
		.client = buf_span(&client),
		.helo = buf_span(&s->helo),
		.protocol = session_protocol(s),
		.listener = s->origin.listener,
		.rcpts = t->rcpts,
		.n_rcpts = t->n_rcpts,
	};
	int r = client.error < 0 ? client.error : prepend_received(s, a->in, m.client);
	if (r == 0)
		r = incoming_commit(a->in, &m);
	if (r == 0) {
		s->accepted++;
		STATS_ADD(messages_accepted_total, 1);
		STATS_ADD(recipients_accepted_total, t->n_rcpts);
		STATS_ADD(octets_accepted_total, m.size);
		event_message_accepted(s, &m, data_end - t->began_usec, loop_now_usec() - data_end);
	}
	buf_done(&client);
	return r;
}

static SUSPENDS struct verdict finish(struct session *s, struct arrival *a, uint64_t id)
{
	struct verdict v = check_arrival(s, a);

	if (verdict_is_ok(v)) {
		int r = commit(s, a);
		if (r == 0)
			return reply_text(s, 250, "2.0.0", "Accepted as %s", ident_format(id).s);
		v = refusal_of(r);
		if (r == -ECANCELED)
			session_end(s, "drain");
	}
	STATS_ADD(messages_refused_total, 1);
	event_message_refused(s, id, a->octets, v);
	return v;
}

/* The session ends in the middle of the data. */
static struct verdict broken_off(struct session *s, const struct arrival *a, uint64_t id, int error)
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
	event_message_refused(s, id, a->octets,
		v.code ? v : VERDICT(0, "", "The client left before the end of data"));
	return v;
}

struct verdict verb_data(struct session *s, const struct command *c)
{
	struct incoming *in = NULL;
	struct arrival arrival;
	(void)c;

	struct verdict v = check_state(s);
	if (!verdict_is_ok(v))
		return v;
	/* Asked at MAIL already; a dispatcher may have been restarted since, and is awaited. */
	v = intake_check(s->server->intake);
	int r = verdict_is_ok(v) ? incoming_new(s->server->intake, &in) : 0;
	if (r < 0)
		v = refusal_of(r);
	if (!in) {
		event_message_refused(s, 0, 0, v);
		return v;
	}
	uint64_t id = incoming_id(in);
	arrival_init(&arrival, s, in);
	r = reply_send(s, VERDICT(354, "", "End data with <CR><LF>.<CR><LF>"));
	if (r >= 0)
		r = arrival_receive(&arrival, s);
	v = r >= 0 ? finish(s, &arrival, id) : broken_off(s, &arrival, id, r);
	arrival_done(&arrival);
	transaction_reset(&s->tx);
	return v;
}
