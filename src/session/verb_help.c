/* HELP, RFC 5321 4.1.1.8. Its argument is ignored: there is one page. What else a client may say,
 * EHLO has told it. */
#include "session/verb.h"

struct verdict verb_help(struct session *s, const struct command *c)
{
	(void)c;
	if (s->origin.role == LISTENER_LMTP)
		return VERDICT(214, "2.0.0",
			"Commands: LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY EXPN HELP QUIT\n"
			"See RFC 2033 and the reply to LHLO");
	return VERDICT(214, "2.0.0",
		"Commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY EXPN ETRN HELP QUIT\n"
		"See RFC 5321 and the reply to EHLO");
}
