/* VRFY, RFC 5321 4.1.1.6, 3.5.3, 7.3: who lives here is no stranger's business, so it is never
 * verified; 252 says so without saying no. Enhanced code 2.0.0: nothing about the address is
 * claimed (2.1.5 would say that it is valid). */
#include "session/verb.h"

struct verdict verb_vrfy(struct session *s, const struct command *c)
{
	(void)s;
	(void)c;
	return VERDICT(252, "2.0.0", "Cannot VRFY, but will take mail and try to deliver it");
}
