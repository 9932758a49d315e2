/* ETRN, RFC 1985: a host that was away asks for the mail that waits for it. Nothing is sent on this
 * connection: the queue tries its usual way at once (section 6: anybody may ask, nobody gains by
 * it; the dispatcher bounds how often). Only for domains that the configuration names.
 *
 *   etrn-command = "ETRN" SP ( ( [ "@" ] Domain ) / ( "#" queue-name ) ) CRLF
 *
 * What "@" and "#" mean here is said in config/etrn.c. */
#include "mail/path.h"
#include "session/reply.h"
#include "session/verb.h"

static bool is_node(struct span node)
{
	enum domain_kind kind;

	if (node.ptr[0] == '#')
		return node.len > 1 && span_index(node, ' ') == node.len;
	return domain_parse(span_from(node, node.ptr[0] == '@'), false, &kind) == 0 &&
	       kind == DOMAIN_NAME;
}

struct verdict verb_etrn(struct session *s, const struct command *c)
{
	struct etrn_wish wish;

	if (s->origin.role == LISTENER_LMTP || !config_etrn_somewhere(s->config))
		return VERDICT(502, "5.5.1", "ETRN is not available");
	if (s->helo.len == 0)
		return VERDICT(503, "5.5.1", "EHLO first");
	if (s->tx.open) /* 5.1 */
		return VERDICT(503, "5.5.1", "Not in a transaction");
	if (!is_node(c->argument))
		return VERDICT(501, "5.5.4", "Syntax: ETRN domain, @domain or #queue");
	if (!config_etrn(s->config, c->argument, &wish))
		return VERDICT(459, "4.7.1", "Node not allowed");
	if (!intake_ask_retry(s->server->intake, c->argument))
		return VERDICT(458, "4.3.0", "Unable to queue messages for that node now");
	struct buf *out = reply_begin(s);
	buf_str(out, "Queuing for node ");
	buf_put(out, c->argument); /* a domain, or a title of ours: clean text */
	buf_str(out, " started");
	return reply_text(s, 250, "2.0.0");
}
