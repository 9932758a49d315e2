/* VRFY, RFC 5321 4.1.1.6, 3.5, 7.3: who lives here is no stranger's business, so by default it is
 * not verified; 252 says so without saying no. Enhanced code 2.0.0: nothing about the address is
 * claimed (2.1.5 would say that it is valid). A domain whose configuration has `vrfy` tells the
 * truth: 250 with the mailbox in <> (3.5.1), or 550. */
#include "session/recipient.h"
#include "session/reply.h"
#include "session/verb.h"

static SUSPENDS struct verdict verify(struct session *s, struct span canonical)
{
	const struct config_domain *d = config_domain(s->config, address_domain(canonical));

	if (!d || !d->vrfy)
		return VERDICT(
			252, "2.0.0", "Cannot VRFY, but will take mail and try to deliver it");
	struct verdict v = recipient_ask(s, canonical);
	if (!verdict_is_ok(v))
		return v;
	struct buf *out = reply_begin(s);

	buf_char(out, '<');
	buf_put(out, canonical);
	buf_char(out, '>');
	return reply_text(s, 250, "2.1.5");
}

struct verdict verb_vrfy(struct session *s, const struct command *c)
{
	struct buf canonical = BUF_INIT(PATH_MAX_SMTP * 2);
	bool utf8 = false; /* what is told back is no more than what was said */

	struct verdict v = recipient_argument(s, c->argument, &canonical, &utf8);
	if (verdict_is_ok(v))
		v = verify(s, buf_span(&canonical));
	else if (v.code == 501) /* a user's name, say: 3.5.1 leaves open what a string may be */
		v = VERDICT(252, "2.0.0", "Cannot VRFY, but will take mail and try to deliver it");
	buf_done(&canonical);
	return v;
}
