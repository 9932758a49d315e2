/* EHLO, RFC 5321 4.1.1.1, HELO, its old form, and LHLO, RFC 2033 4.1. All begin the session anew:
 * whatever transaction was open is forgotten (4.1.4). One whose argument is bad changes nothing
 * (the parser refused it before it came here). The name decides nothing; it is recorded in
 * Received. The replies carry no enhanced code (RFC 2034 4). */
#include "session/extension.h"
#include "session/login.h"
#include "session/lookup_client.h"
#include "session/reply.h"
#include "session/verb.h"

static bool begin_anew(struct session *s, struct span name, bool extended)
{
	session_reset(s);
	buf_reset(&s->helo);
	buf_put(&s->helo, name);
	s->extended = extended;
	return s->helo.error == 0;
}

static struct verdict unknown_here(const char *text)
{
	return VERDICT(500, "5.5.1", text);
}

SUSPENDS static struct verdict extended_hello(struct session *s, const struct command *c)
{
	if (login_is_offered(s))
		lookup_client_await_offer(s->server->directory);
	if (!begin_anew(s, c->argument, true))
		return VERDICT(451, "4.3.0", "Out of memory");
	struct buf *out = reply_begin(s);
	buf_str(out, s->config->hostname);
	extension_lines(s, out);
	return out->error < 0 ? VERDICT(451, "4.3.0", "Out of memory") : reply_text(s, 250, "");
}

struct verdict verb_ehlo(struct session *s, const struct command *c)
{
	if (s->origin.role == LISTENER_LMTP)
		return unknown_here("This is LMTP: say LHLO");
	return extended_hello(s, c);
}

/* RFC 2033 4.1: as EHLO, and the only greeting of LMTP. */
struct verdict verb_lhlo(struct session *s, const struct command *c)
{
	if (s->origin.role != LISTENER_LMTP)
		return unknown_here("This is SMTP: say EHLO");
	return extended_hello(s, c);
}

struct verdict verb_helo(struct session *s, const struct command *c)
{
	if (s->origin.role == LISTENER_LMTP)
		return unknown_here("This is LMTP: say LHLO");
	if (!begin_anew(s, c->argument, false))
		return VERDICT(451, "4.3.0", "Out of memory");
	return VERDICT(250, "", s->config->hostname);
}
