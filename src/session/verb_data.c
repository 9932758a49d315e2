/* DATA, RFC 5321 4.1.1.4, 3.3: the message itself, ended by a dot. What the last reply promises
 * stands in promise.c. A message that may hold any octets cannot come this way (RFC 3030 3), and
 * once BDAT has begun there is no way back to DATA (RFC 3030 2). */
#include "session/events.h"
#include "session/promise.h"
#include "session/refusal.h"
#include "session/reply.h"
#include "session/verb.h"

static struct verdict check_state(const struct session *s)
{
	if (!s->tx.open)
		return VERDICT(503, "5.5.1", "MAIL first");
	if (s->arrival)
		return VERDICT(503, "5.5.1", "BDAT has begun: finish it with BDAT, or RSET");
	if (s->tx.body == BODY_BINARYMIME)
		return VERDICT(503, "5.5.1", "A BINARYMIME message comes by BDAT");
	/* RFC 2033 4.2 */
	if (s->tx.n_rcpts == 0 && s->origin.role == LISTENER_LMTP)
		return VERDICT(503, "5.5.1", "No valid recipients");
	/* 3.3: 503 or 554; with pipelining the client could not know better (RFC 2920 3.1). */
	if (s->tx.n_rcpts == 0)
		return VERDICT(554, "5.5.1", "No valid recipients");
	return VERDICT(250, "2.0.0", "Ok");
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
	arrival_init(&arrival, s, in);
	r = reply_send(s, VERDICT(354, "", "End data with <CR><LF>.<CR><LF>"));
	if (r >= 0)
		r = arrival_receive(&arrival, s);
	v = r >= 0 ? reply_to_message(s, promise_message(s, &arrival))
		   : promise_broken_off(s, &arrival, r);
	arrival_done(&arrival);
	session_reset(s);
	return v;
}
