/* EXPN, RFC 5321 4.1.1.7, 7.3: the members of a list are told to nobody. 502, as 3.5.3 has it for a
 * command that the server knows and does not do; EHLO does not offer it. */
#include "session/verb.h"

struct verdict verb_expn(struct session *s, const struct command *c)
{
	(void)s;
	(void)c;
	return VERDICT(502, "5.5.1", "EXPN is not available");
}
