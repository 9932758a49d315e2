/* RSET, RFC 5321 4.1.1.5: forgets the transaction, keeps the session (EHLO's name and all). */
#include "session/verb.h"

struct verdict verb_rset(struct session *s, const struct command *c)
{
	(void)c;
	session_reset(s);
	return VERDICT(250, "2.0.0", "Ok");
}
