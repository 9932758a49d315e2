/* QUIT, RFC 5321 4.1.1.10: the reply, then the end; an open transaction is forgotten. */
#include "session/verb.h"

struct verdict verb_quit(struct session *s, const struct command *c)
{
	(void)c;
	session_end(s, "quit");
	return VERDICT(221, "2.0.0", "Bye");
}
