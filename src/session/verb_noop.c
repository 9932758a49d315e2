/* NOOP, RFC 5321 4.1.1.9: changes nothing; its argument is ignored. */
#include "session/verb.h"

struct verdict verb_noop(struct session *s, const struct command *c)
{
	(void)s;
	(void)c;
	return VERDICT(250, "2.0.0", "Ok");
}
