/* MAIL, RFC 5321 4.1.1.2, 3.3: begins a transaction. Order of the questions: state, parameters (a
 * declared size is refused before anything else is looked at, RFC 1870 6.1), then whether there is
 * room for mail at all. 452 and 451 here cost the client nothing but a retry. */
#include "session/events.h"
#include "session/extension.h"
#include "session/verb.h"

static struct verdict check_state(const struct session *s)
{
	/* 4.1.4: a client SHOULD say EHLO first; a server MAY insist, and ours needs the name. */
	if (s->helo.len == 0)
		return VERDICT(503, "5.5.1", "EHLO or HELO first");
	if (s->tx.open)
		return VERDICT(503, "5.5.1", "A transaction is open already");
	return VERDICT(250, "2.1.0", "Sender ok");
}

static struct verdict refuse(struct session *s, const struct command *c, struct verdict v)
{
	session_reset(s);
	event_mail_refused(s, c->path.text, v);
	return v;
}

struct verdict verb_mail(struct session *s, const struct command *c)
{
	struct verdict v = check_state(s);
	if (!verdict_is_ok(v))
		return v;
	v = extension_params(s, c);
	if (verdict_is_ok(v))
		v = intake_check(s->server->intake); /* suspends; c points into the read buffer,
							which nobody else touches meanwhile */
	if (!verdict_is_ok(v))
		return refuse(s, c, v);
	if (transaction_begin(&s->tx, &c->path, loop_now_usec()) < 0)
		return refuse(s, c, VERDICT(451, "4.3.0", "Out of memory"));
	return VERDICT(250, "2.1.0", "Sender ok");
}
