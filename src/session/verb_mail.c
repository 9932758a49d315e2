/* MAIL, RFC 5321 4.1.1.2, 3.3: begins a transaction. Order of the questions: state, parameters (a
 * declared size is refused before anything else is looked at, RFC 1870 6.1), then whether there is
 * room for mail at all. 452 and 451 here cost the client nothing but a retry. */
#include "mail/idna.h"
#include "session/events.h"
#include "session/extension.h"
#include "session/login.h"
#include "session/parameter.h"
#include "session/reply.h"
#include "session/submission.h"
#include "session/verb.h"

static struct verdict check_state(const struct session *s)
{
	/* 4.1.4: a client SHOULD say EHLO first; a server MAY insist, and ours needs the name. */
	if (s->helo.len == 0)
		return VERDICT(503, "5.5.1", "EHLO or HELO first");
	struct verdict v = login_check_mail(s);
	if (!verdict_is_ok(v))
		return v;
	if (s->tx.open)
		return VERDICT(503, "5.5.1", "A transaction is open already");
	return VERDICT(250, "2.1.0", "Sender ok");
}

/* RFC 9422 4.1 MAILMAX: the client was told; it comes again with a new connection. */
static struct verdict check_transactions(struct session *s)
{
	uint64_t most = s->config->limits.transactions;

	if (most == 0 || s->transactions < most)
		return VERDICT(250, "2.1.0", "Ok");
	session_end(s, "transactions");
	return VERDICT(421, "4.7.0", "Too many transactions in one session, connect again");
}

static struct verdict refuse(struct session *s, const struct command *c, struct verdict v)
{
	session_reset(s);
	event_mail_refused(s, c->path.text, v);
	return v;
}

static SUSPENDS struct verdict begin(struct session *s, const struct command *c)
{
	if (transaction_prepare(&s->tx) < 0)
		return VERDICT(451, "4.3.0", "Out of memory");
	struct verdict v = extension_params(s, c);
	if (verdict_is_ok(v))
		v = param_times_agree(s);
	/* RFC 6531 3.3, 3.4: non-ASCII in the envelope has to be announced. */
	if (verdict_is_ok(v) && !(s->tx.flags & MESSAGE_SMTPUTF8) && !text_is_ascii(c->argument))
		v = VERDICT(553, "5.6.7", "A non-ASCII address needs SMTPUTF8");
	if (verdict_is_ok(v))
		v = intake_check(s->server->intake); /* suspends; c points into the read buffer,
							which nobody else touches meanwhile */
	if (!verdict_is_ok(v))
		return v;
	int r = transaction_begin(&s->tx, &c->path, loop_now_usec());
	if (r == -EINVAL)
		return VERDICT(553, "5.1.7", "The domain is no valid name");
	if (r < 0)
		return VERDICT(451, "4.3.0", "Out of memory");
	v = submission_check_sender(s);
	if (!verdict_is_ok(v))
		return v;
	/* RFC 6710 4.1 */
	if (s->tx.priority_lowered)
		return VERDICT(250, "2.3.6", "0 is the new priority");
	return VERDICT(250, "2.1.0", "Sender ok");
}

struct verdict verb_mail(struct session *s, const struct command *c)
{
	struct verdict v = check_state(s);
	if (!verdict_is_ok(v))
		return v;
	v = check_transactions(s);
	if (verdict_is_ok(v))
		v = begin(s, c);
	if (!verdict_is_ok(v))
		return refuse(s, c, v);
	s->transactions++;
	return v;
}
