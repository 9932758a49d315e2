/* One place through which every reply goes: counted, with its enhanced code (RFC 2034 4: all 2xx,
 * 4xx and 5xx but the greeting and the answers to HELO and EHLO), lines folded by mail/reply. */
#include "session/reply.h"
#include "base/stats.h"
#include "mail/reply.h"

int reply_send(struct session *s, struct verdict v)
{
	if (v.code >= 500)
		STATS_ADD(replies_5xx_total, 1);
	else if (v.code >= 400)
		STATS_ADD(replies_4xx_total, 1);
	struct buf line = server_scratch(s->server);
	reply_format(&line, v.code, v.enhanced, span_str(v.text));
	int r = line.error < 0 ? line.error : stream_write(s->io, buf_span(&line));
	server_scratch_back(s->server, &line);
	return r;
}

/* LMTP: as many replies as RCPTs were answered 250, in their order (RFC 2033 4.2). PRDR: 353, one
 * for each recipient, then one for the message (draft-hall-prdr 2); where all are refused alike,
 * one reply is enough. A 421 ends the session and is said once. */
struct verdict reply_to_message(struct session *s, struct verdict v)
{
	bool lmtp = s->origin.role == LISTENER_LMTP;
	bool prdr = s->tx.prdr && verdict_is_ok(v);
	struct verdict each = lmtp ? v : VERDICT(250, "2.1.5", "Recipient ok");
	uint32_t n = lmtp ? s->tx.n_taken - 1 : s->tx.n_taken;
	int r = 0;

	if ((!lmtp && !prdr) || s->tx.n_taken == 0 || v.code == 0 || v.code == 421)
		return v;
	if (prdr)
		r = reply_send(s, VERDICT(353, "", "Each recipient, then the message"));
	for (uint32_t i = 0; i < n && r >= 0; i++)
		r = reply_send(s, each);
	return v; /* an error shows at the next write */
}

struct buf *reply_begin(struct session *s)
{
	if (!s->text.ptr)
		s->text = server_scratch(s->server);
	buf_reset(&s->text);
	return &s->text;
}

struct verdict reply_text(struct session *s, uint16_t code, const char *enhanced)
{
	buf_char(&s->text, '\0');
	/* What was promised stays promised. */
	return VERDICT(code, enhanced, s->text.error < 0 ? "" : s->text.ptr);
}

void reply_sent(struct session *s)
{
	server_scratch_back(s->server, &s->text);
}
