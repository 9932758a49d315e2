/* RCPT, RFC 5321 4.1.1.3, 3.3: adds a recipient. Whether it is ours the configuration says, whether
 * such a user exists the directory, whether a foreign one may pass the relay check.
 *
 * <postmaster> without a domain is ours (4.5.1: every server must take it); on a pure relay it
 * goes on to the next hop. An address literal of the address that the client reached us at
 * (4.1.3) means the domain of this host. 452 4.5.3 beyond the limit lets the client keep what was
 * accepted and send the rest in another transaction (4.5.3.1.10). */
#include "base/stats.h"
#include "checks/relay.h"
#include "mail/idna.h"
#include "session/events.h"
#include "session/extension.h"
#include "session/login.h"
#include "session/recipient.h"
#include "session/submission.h"
#include "session/verb.h"

static struct verdict check_state(const struct session *s)
{
	if (!s->tx.open)
		return VERDICT(503, "5.5.1", "MAIL first");
	if (s->arrival) /* RFC 3030 2: the envelope is complete */
		return VERDICT(503, "5.5.1", "BDAT has begun");
	if (s->tx.n_rcpts >= s->tx.max_rcpts)
		return VERDICT(452, "4.5.3", "Too many recipients");
	return VERDICT(250, "2.1.5", "Recipient ok");
}

/* Is the literal "[192.0.2.1]" or "[IPv6:2001:db8::1]" the address of our end of the connection? */
static bool literal_is_ours(const struct session *s, struct span literal)
{
	struct address ours = s->origin.server, named;
	struct span inner = span_from(span_head(literal, literal.len - 1), 1);

	if (span_starts_nocase(inner, SPAN_LIT("IPv6:")))
		inner = span_from(inner, 5);
	if (address_parse(inner, 25, &named) < 0)
		return false;
	if (ours.len == 0) {
		ours.len = sizeof(ours.ss);
		if (getsockname(stream_fd(s->io), (struct sockaddr *)&ours.ss, &ours.len) < 0)
			return false;
	}
	return address_equal_host(&ours, &named);
}

/* The domain that stands for the path's own; ptr NULL: its own. */
static struct span substitute_domain(const struct session *s, const struct path *p)
{
	bool literal = p->domain_kind == DOMAIN_LITERAL_V4 || p->domain_kind == DOMAIN_LITERAL_V6;

	if (p->domain_kind == DOMAIN_NONE || (literal && literal_is_ours(s, p->domain)))
		return recipient_home(s->config);
	return SPAN_NULL;
}

/* RFC 9422 4.3 RCPTDOMAINMAX: as 4.5.3.1.10, the rest in another transaction. */
static struct verdict count_domain(struct session *s, struct span domain)
{
	struct transaction *t = &s->tx;
	uint64_t most = s->config->limits.recipient_domains;

	if (most == 0 || transaction_has_domain(t, domain))
		return VERDICT(250, "2.1.5", "Ok");
	if (t->n_domains >= most)
		return VERDICT(452, "4.5.3", "Recipients in too many domains");
	t->n_domains++;
	return VERDICT(250, "2.1.5", "Ok");
}

static SUSPENDS struct verdict judge(struct session *s, struct span canonical, bool trusted)
{
	struct span domain = address_domain(canonical);

	if (config_domain(s->config, domain))
		return recipient_ask(s, canonical);
	return check_relay(&(struct relay_ask){
		.config = s->config,
		.trusted = trusted,
		.submitter = session_is_logged_in(s),
		.domain = domain,
	});
}

static SUSPENDS struct verdict add(struct session *s, const struct path *p)
{
	struct transaction *t = &s->tx;
	bool bare_postmaster = p->domain_kind == DOMAIN_NONE;
	struct span canonical;

	int r = transaction_canonical(t, p, substitute_domain(s, p), &canonical);
	if (r == -EINVAL)
		return VERDICT(553, "5.1.3", "The domain is no valid name");
	if (r < 0)
		return VERDICT(452, "4.5.3", "Too many recipients");
	if (transaction_has(t, canonical))
		return VERDICT(250, "2.1.5", "Recipient ok, named before");
	struct verdict v = submission_check_rcpt(s);
	if (verdict_is_ok(v))
		v = judge(s, canonical, s->trusted || bare_postmaster);
	if (verdict_is_ok(v)) {
		struct verdict counted = count_domain(s, address_domain(canonical));
		v = verdict_is_ok(counted) ? v : counted;
	}
	if (!verdict_is_ok(v))
		return v;
	if (transaction_add(t, canonical, p->text) < 0)
		return VERDICT(452, "4.5.3", "Too many recipients");
	t->relayed |= config_domain(s->config, address_domain(canonical)) == NULL;
	return v;
}

struct verdict verb_rcpt(struct session *s, const struct command *c)
{
	struct verdict v = check_state(s);
	if (v.code == 503)
		return v;
	s->tx.next = (struct message_rcpt){0};
	if (verdict_is_ok(v))
		v = extension_params(s, c);
	/* RFC 6531 3.3 */
	if (verdict_is_ok(v) && !(s->tx.flags & MESSAGE_SMTPUTF8) && !text_is_ascii(c->argument))
		v = VERDICT(553, "5.6.7", "A non-ASCII address needs SMTPUTF8 at MAIL");
	if (verdict_is_ok(v))
		v = add(s, &c->path);
	if (verdict_is_ok(v)) {
		s->tx.n_taken++;
		return v;
	}
	s->tx.refused++;
	if (verdict_is_permanent(v))
		s->refused_rcpts++;
	event_rcpt_refused(s, c->path.text, v);
	return v;
}
