/* EXPN, RFC 5321 4.1.1.7, 3.5, 7.3: the members of a list, told only where a domain's configuration
 * has `expn`; one a line (3.5.2). Else 502, as 3.5.3 has it for a command that the server knows and
 * does not do; EHLO offers it only where some domain has the key. */
#include "mail/idna.h"
#include "mail/reply.h"
#include "session/limits.h"
#include "session/recipient.h"
#include "session/verb.h"

static SUSPENDS struct verdict expand(struct session *s, struct span canonical, bool utf8)
{
	const struct config_domain *d = config_domain(s->config, address_domain(canonical));
	struct buf lines = BUF_INIT(MEMBERS_OCTETS_MAX), reply = BUF_INIT(2 * MEMBERS_OCTETS_MAX);

	if (!d || !d->expn)
		return VERDICT(502, "5.5.1", "EXPN is not available");
	struct verdict v = recipient_ask(s, canonical);
	if (verdict_is_ok(v))
		v = recipient_members(s, canonical, &lines);
	/* RFC 6531 3.7.4.2: who did not say that UTF-8 is understood gets none. */
	if (v.code == 250 && !utf8 && !text_is_ascii(buf_span(&lines)))
		v = VERDICT(550, "5.6.8", "The list has addresses in UTF-8: ask with SMTPUTF8");
	if (v.code == 250) {
		reply_format(&reply, 250, "2.1.5", buf_span(&lines));
		/* Longer than any other reply: it goes past the session's own buffer. */
		v = reply.error == 0 && stream_write(s->io, buf_span(&reply)) == 0
			    ? VERDICT_NONE
			    : VERDICT(451, "4.3.0", "Out of memory");
	}
	buf_done(&lines);
	buf_done(&reply);
	return v;
}

struct verdict verb_expn(struct session *s, const struct command *c)
{
	struct buf canonical = BUF_INIT(PATH_MAX_SMTP * 2);
	bool utf8 = false;

	struct verdict v = recipient_argument(s, c->argument, &canonical, &utf8);
	if (verdict_is_ok(v))
		v = expand(s, buf_span(&canonical), utf8);
	else if (v.code == 501)
		v = VERDICT(502, "5.5.1", "EXPN is not available");
	buf_done(&canonical);
	return v;
}
