/* HELP, RFC 5321 4.1.1.8. Its argument is ignored: there is one page. */
#include "session/verb.h"

struct verdict verb_help(struct session *s, const struct command *c)
{
	(void)s;
	(void)c;
	return VERDICT(214, "2.0.0",
		"Commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\n"
		"See RFC 5321");
}
