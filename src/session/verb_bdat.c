/* BDAT, RFC 3030 2: the message in chunks, each with its size and its reply; LAST ends it.
 *
 *   bdat-cmd = "BDAT" SP chunk-size [ SP "LAST" ] CRLF chunk
 *
 * A client sends the chunk without waiting: its octets are consumed whatever the answer is, or they
 * would be read as commands. Only a size that is no number leaves nothing to consume. After a
 * refused chunk the message is refused, and so is each further chunk that was already on its way
 * (the client ends it with RSET). The arrival lives in the session from the first chunk to the
 * last, to RSET, or to the session's end. */
#include "session/promise.h"
#include "session/refusal.h"
#include "session/reply.h"
#include "session/verb.h"

#include <stdlib.h>

/* 250, or the answer; *ret_last is set by LAST. */
static struct verdict check_marker(const struct command *c, bool *ret_last)
{
	if (c->n_params < 2)
		return VERDICT(250, "2.0.0", "Ok");
	*ret_last = span_equal_nocase(c->params[1].keyword, SPAN_LIT("LAST"));
	return *ret_last ? VERDICT(250, "2.0.0", "Ok")
			 : VERDICT(501, "5.5.4", "Syntax: BDAT size [LAST]");
}

static struct verdict check_state(const struct session *s)
{
	if (!s->tx.open)
		return VERDICT(503, "5.5.1", "MAIL first");
	if (s->tx.n_rcpts == 0)
		return VERDICT(554, "5.5.1", "No valid recipients");
	return VERDICT(250, "2.0.0", "Ok");
}

/* The first chunk: the draft begins. When none can, what comes is discarded. */
static SUSPENDS struct arrival *begin(struct session *s)
{
	struct incoming *in = NULL;
	struct arrival *a = malloc(sizeof(*a));

	if (!a)
		return NULL;
	struct verdict v = intake_check(s->server->intake);
	int r = verdict_is_ok(v) ? incoming_new(s->server->intake, &in) : 0;
	arrival_init(a, s, in);
	if (r < 0)
		v = refusal_of(r);
	if (!in)
		arrival_refuse(a, v);
	return a;
}

/* A chunk of a command that is refused: read, and forgotten. */
static SUSPENDS struct verdict discard(struct session *s, uint64_t octets, struct verdict v)
{
	struct arrival a;

	arrival_init(&a, s, NULL);
	arrival_refuse(&a, v);
	int r = arrival_receive_chunk(&a, s, octets, false);
	if (r < 0)
		v = promise_broken_off(s, &a, r);
	arrival_done(&a);
	return v;
}

static struct verdict received_octets(struct session *s, uint64_t octets)
{
	struct buf *out = reply_begin(s);

	buf_u64(out, octets);
	buf_str(out, " octets received");
	return reply_text(s, 250, "2.0.0");
}

static SUSPENDS struct verdict receive(struct session *s, uint64_t octets, bool last)
{
	if (!s->arrival)
		s->arrival = begin(s);
	if (!s->arrival)
		return discard(s, octets, refusal_of(-ENOMEM));

	struct arrival *a = s->arrival;
	struct verdict v;
	int r = arrival_receive_chunk(a, s, octets, last);
	if (r < 0)
		v = promise_broken_off(s, a, r);
	else if (!verdict_is_ok(a->verdict))
		v = promise_refused(s, a, a->verdict);
	else if (last)
		v = promise_message(s, a);
	else
		v = received_octets(s, octets);
	if (r >= 0 && last)
		v = reply_to_message(s, v);
	if (r < 0 || last)
		session_reset(s);
	return v;
}

struct verdict verb_bdat(struct session *s, const struct command *c)
{
	uint64_t octets = 0;
	bool last = false;

	int r = span_to_u64(c->params[0].keyword, UINT64_MAX, &octets);
	if (r == -ERANGE) {
		/* Nobody can send so much; what follows cannot be told from commands. */
		session_end(s, "chunk-size");
		return VERDICT(552, "5.3.4", "The chunk is too big, closing");
	}
	if (r < 0)
		return VERDICT(501, "5.5.4", "Syntax: BDAT size [LAST]");
	struct verdict v = check_marker(c, &last);
	if (verdict_is_ok(v))
		v = check_state(s);
	return verdict_is_ok(v) ? receive(s, octets, last) : discard(s, octets, v);
}
