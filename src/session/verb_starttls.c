/* STARTTLS, RFC 3207. Behind it everything that the client has said before is forgotten (4.2): it
 * begins anew with EHLO, because until now anybody could have spoken for it.
 *
 * A client waits for the 220 before it goes on (4). What came together with the command can only be
 * somebody's between us who wants it executed as if it had come encrypted (CVE-2011-0411): it ends
 * the session. What comes while 220 is on its way meets a handshake, which it is not. */
#include "net/tls.h"
#include "session/encryption.h"
#include "session/reply.h"
#include "session/verb.h"

static struct verdict check_starttls(const struct session *s)
{
	if (s->origin.tls == TLS_NONE || s->origin.local)
		return VERDICT(502, "5.5.1", "Command not implemented");
	if (stream_tls(s->io))
		return VERDICT(503, "5.5.1", "TLS is active already");
	if (!encryption_is_possible(s))
		return VERDICT(454, "4.7.0", "TLS not available due to temporary reason");
	return VERDICT(220, "2.0.0", "Ready to start TLS");
}

/* 4.2 */
static void forget(struct session *s)
{
	session_reset(s);
	buf_reset(&s->helo);
	s->extended = false;
}

struct verdict verb_starttls(struct session *s, const struct command *c)
{
	(void)c;

	struct verdict v = check_starttls(s);
	if (v.code != 220)
		return v;
	if (stream_buffered(s->io).len > 0) {
		session_end(s, "starttls-injection");
		return VERDICT(
			503, "5.5.1", "Nothing may follow STARTTLS before its reply, closing");
	}
	forget(s);
	int r = reply_send(s, v);
	if (r >= 0)
		r = encryption_start(s);
	if (r < 0)
		session_end(s, r == -ECANCELED ? "drain" : "tls");
	return VERDICT_NONE;
}
