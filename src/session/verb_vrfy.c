/* VRFY, RFC 5321 4.1.1.6, 3.5.3, 7.3: who lives here is no stranger's business, so it is never
 * verified; 252 says so without saying no. Enhanced code 2.0.0: nothing about the address is
 * claimed (2.1.5 would say that it is valid). */
#include "mail/idna.h"
#include "session/verb.h"

/* RFC 6531 3.7.4.2: a non-ASCII argument is followed by SMTPUTF8. */
static bool is_announced(struct span argument)
{
	struct span end = SPAN_LIT(" SMTPUTF8");

	return text_is_ascii(argument) ||
	       (argument.len > end.len &&
		       span_equal_nocase(span_from(argument, argument.len - end.len), end));
}

struct verdict verb_vrfy(struct session *s, const struct command *c)
{
	(void)s;
	if (!is_announced(c->argument))
		return VERDICT(553, "5.6.7", "A non-ASCII address needs SMTPUTF8");
	return VERDICT(252, "2.0.0", "Cannot VRFY, but will take mail and try to deliver it");
}
