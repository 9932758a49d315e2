/* Bare newlines: RFC 5321 2.3.8 forbids to send them, and a server that guesses what they meant is
 * how one message is smuggled inside another. 554 5.6.0: the content is at fault, a second try will
 * not help. Only networks of old devices that the operator names are spared.
 *
 * Long lines: a line has at most 998 octets (RFC 5322 2.1.1), yet 4.5.3.1.6 of RFC 5321 asks
 * servers to take longer ones where they can, and clients send them: refused only where an operator
 * says so.
 *
 * Loops: RFC 5321 6.3 counts Received fields; 5.4.6 is RFC 3463's "routing loop detected". */
#include "checks/content.h"

struct verdict check_content(const struct content_ask *ask)
{
	if (ask->bare_newline && !ask->tolerate_bare)
		return VERDICT(554, "5.6.0", "Bare CR or LF in the message, RFC 5321 2.3.8");
	if (ask->line_length > 0 && ask->longest_line > ask->line_length)
		return VERDICT(554, "5.6.0", "A line of the message is too long");
	if (ask->hops > 0 && ask->received > ask->hops)
		return VERDICT(554, "5.4.6", "Too many hops, the message loops");
	return VERDICT(250, "2.6.0", "Content ok");
}
