/* EHLO, RFC 5321 4.1.1.1, and HELO, its old form. Both begin the session anew: whatever transaction
 * was open is forgotten (4.1.4). One whose argument is bad changes nothing (the parser refused it
 * before it came here). The name decides nothing; it is recorded in Received. The replies carry no
 * enhanced code (RFC 2034 4). */
#include "session/extension.h"
#include "session/verb.h"

static bool begin_anew(struct session *s, struct span name, bool extended)
{
	session_reset(s);
	buf_reset(&s->helo);
	buf_put(&s->helo, name);
	s->extended = extended;
	return s->helo.error == 0;
}

struct verdict verb_ehlo(struct session *s, const struct command *c)
{
	if (!begin_anew(s, c->argument, true))
		return VERDICT(451, "4.3.0", "Out of memory");
	buf_reset(&s->text);
	buf_str(&s->text, s->config->hostname);
	extension_lines(s, &s->text);
	buf_char(&s->text, '\0');
	if (s->text.error < 0)
		return VERDICT(451, "4.3.0", "Out of memory");
	return VERDICT(250, "", s->text.ptr);
}

struct verdict verb_helo(struct session *s, const struct command *c)
{
	if (!begin_anew(s, c->argument, false))
		return VERDICT(451, "4.3.0", "Out of memory");
	return VERDICT(250, "", s->config->hostname);
}
