/* XCLIENT and XFORWARD, as Postfix's XCLIENT_README and XFORWARD_README describe them: a proxy in
 * front of us says whose session this is, a filter behind another server says where a message came
 * from.
 *
 *   xclient-command  = "XCLIENT" 1*( SP name "=" value )    ; NAME ADDR PORT PROTO HELO LOGIN
 *                                                           ; DESTADDR DESTPORT
 *   xforward-command = "XFORWARD" 1*( SP name "=" value )   ; NAME ADDR PORT PROTO HELO IDENT
 * SOURCE value            = xtext                                ; or "[UNAVAILABLE]",
 * "[TEMPUNAVAIL]"
 *
 * XCLIENT changes who the client is, so everything that follows from it is asked anew, and the
 * session starts again with a greeting. XFORWARD changes nothing but what the log says of the next
 * message. Both only from the networks that the listener names; whether they may is asked of the
 * connection itself, not of what an earlier XCLIENT made of it. */
#include "checks/relay.h"
#include "mail/xtext.h"
#include "session/events.h"
#include "session/limits.h"
#include "session/proxied.h"
#include "session/reply.h"
#include "session/verb.h"

enum attribute {
	ATTR_NAME,
	ATTR_ADDR,
	ATTR_PORT,
	ATTR_PROTO,
	ATTR_HELO,
	ATTR_LOGIN,
	ATTR_DESTADDR,
	ATTR_DESTPORT,
	ATTR_IDENT,
	ATTR_SOURCE,
	ATTR_COUNT,
};
#define BIT(a)	      (1u << (a))
#define XCLIENT_ATTRS (BIT(ATTR_DESTPORT + 1) - 1u)
#define XFORWARD_ATTRS                                                                             \
	(BIT(ATTR_NAME) | BIT(ATTR_ADDR) | BIT(ATTR_PORT) | BIT(ATTR_PROTO) | BIT(ATTR_HELO) |     \
		BIT(ATTR_IDENT) | BIT(ATTR_SOURCE))

static const char *const attribute_names[ATTR_COUNT] = {"NAME", "ADDR", "PORT", "PROTO", "HELO",
	"LOGIN", "DESTADDR", "DESTPORT", "IDENT", "SOURCE"};

/* What one command says; ptr NULL: not said; empty: unavailable. */
struct attributes {
	struct buf text; /* all values, decoded, one behind the other */
	size_t at[ATTR_COUNT], len[ATTR_COUNT];
	unsigned said;
};

static struct span value_of(const struct attributes *a, enum attribute name)
{
	return span_head(span_from(buf_span(&a->text), a->at[name]), a->len[name]);
}

static bool is_said(const struct attributes *a, enum attribute name)
{
	return (a->said & BIT(name)) != 0;
}

static int attribute_find(struct span name, unsigned allowed)
{
	for (int i = 0; i < ATTR_COUNT; i++)
		if ((allowed & BIT(i)) && span_equal_nocase(name, span_str(attribute_names[i])))
			return i;
	return -1;
}

static bool attribute_take(struct attributes *a, struct span word, unsigned allowed)
{
	size_t equals = span_index(word, '=');
	int name = attribute_find(span_head(word, equals), allowed);
	struct span value = span_from(word, equals + 1);

	/* Twice the same would leave open which of them counts. */
	if (name < 0 || equals == word.len || value.len == 0 || (a->said & BIT(name)))
		return false;
	size_t before = a->text.len;
	bool unavailable = span_equal_nocase(value, SPAN_LIT("[UNAVAILABLE]")) ||
			   span_equal_nocase(value, SPAN_LIT("[TEMPUNAVAIL]"));
	if (!unavailable && xtext_decode(value, &a->text) < 0)
		return false;
	struct span decoded = span_from(buf_span(&a->text), before);
	if (!text_is_printable(decoded) || decoded.len > PROXIED_VALUE_MAX)
		return false;
	a->said |= BIT(name);
	a->at[name] = before;
	a->len[name] = decoded.len;
	return true;
}

static bool attributes_parse(struct attributes *a, struct span argument, unsigned allowed)
{
	while (argument.len > 0) {
		size_t space = span_index(argument, ' ');
		if (space > 0 && !attribute_take(a, span_head(argument, space), allowed))
			return false;
		argument = span_from(argument, space + 1);
	}
	return a->said != 0;
}

/* Empty is unavailable. */
static bool is_name(struct span name)
{
	enum domain_kind kind;

	return name.len == 0 || (domain_parse(name, false, &kind) == 0 && kind == DOMAIN_NAME);
}

/* ---- XCLIENT ---- */

/* "192.0.2.1" or "IPV6:2001:db8::1" with the port beside it; unavailable: what was there stays. */
static bool read_address(
	const struct attributes *a, enum attribute host, enum attribute port, struct address *io)
{
	struct span text = value_of(a, host), digits = value_of(a, port);
	uint64_t number = io->len > 0 ? address_port(io) : 0;

	if (is_said(a, port) && digits.len > 0 && span_to_u64(digits, UINT16_MAX, &number) < 0)
		return false;
	if (!is_said(a, host) || text.len == 0)
		return true;
	if (span_starts_nocase(text, SPAN_LIT("IPV6:")))
		text = span_from(text, 5);
	return address_parse_host(text, (uint16_t)number, io) == 0;
}

/* The session as it is at its beginning, with another client. */
static void begin_again(struct session *s, const struct attributes *a)
{
	session_reset(s);
	buf_reset(&s->helo);
	buf_reset(&s->login);
	s->extended = false;
	s->transactions = 0;
	if (is_said(a, ATTR_NAME)) {
		buf_reset(&s->name);
		buf_put(&s->name, value_of(a, ATTR_NAME));
	}
	buf_put(&s->helo, value_of(a, ATTR_HELO));
	buf_put(&s->login, value_of(a, ATTR_LOGIN));
	if (s->helo.len > 0)
		s->extended = span_equal_nocase(value_of(a, ATTR_PROTO), SPAN_LIT("ESMTP"));
	session_classify(s);
}

static struct verdict xclient(struct session *s, const struct attributes *a)
{
	struct address client = s->origin.client, server = s->origin.server;
	struct span proto = value_of(a, ATTR_PROTO), helo = value_of(a, ATTR_HELO);

	if (!read_address(a, ATTR_ADDR, ATTR_PORT, &client) ||
		!read_address(a, ATTR_DESTADDR, ATTR_DESTPORT, &server))
		return VERDICT(501, "5.5.4", "Bad address or port");
	if (proto.len > 0 && !span_equal_nocase(proto, SPAN_LIT("SMTP")) &&
		!span_equal_nocase(proto, SPAN_LIT("ESMTP")))
		return VERDICT(501, "5.5.4", "PROTO is SMTP or ESMTP");
	if (helo.len > 0 && !ehlo_argument_ok(helo))
		return VERDICT(501, "5.5.4", "HELO is no name");
	if (!is_name(value_of(a, ATTR_NAME)))
		return VERDICT(501, "5.5.4", "NAME is no name");
	s->origin.client = client;
	s->origin.server = server;
	begin_again(s, a);
	event_xclient(s);
	return session_greeting(s);
}

static bool may(const struct session *s, const struct network *from, size_t n)
{
	return networks_contain(from, n, &s->peer);
}

bool session_may_xclient(const struct session *s)
{
	return s->origin.at && may(s, s->origin.at->xclient, s->origin.at->n_xclient);
}

bool session_may_xforward(const struct session *s)
{
	return s->origin.at && may(s, s->origin.at->xforward, s->origin.at->n_xforward);
}

static struct verdict check_state(const struct session *s, bool allowed)
{
	if (!allowed)
		return VERDICT(550, "5.7.1", "You are not one who may say this");
	if (s->tx.open)
		return VERDICT(503, "5.5.1", "Not in a transaction");
	return VERDICT(250, "2.0.0", "Ok");
}

struct verdict verb_xclient(struct session *s, const struct command *c)
{
	struct attributes a = {.text = BUF_INIT(COMMAND_LINE_MAX_EXTENDED)};

	struct verdict v = check_state(s, session_may_xclient(s));
	if (verdict_is_ok(v))
		v = attributes_parse(&a, c->argument, XCLIENT_ATTRS)
			    ? xclient(s, &a)
			    : VERDICT(501, "5.5.4", "Syntax: XCLIENT name=value...");
	buf_done(&a.text);
	return v;
}

/* ---- XFORWARD ---- */

static bool xforward_ok(const struct attributes *a)
{
	struct address unused = {.len = 0};
	struct span source = value_of(a, ATTR_SOURCE);

	return read_address(a, ATTR_ADDR, ATTR_PORT, &unused) && is_name(value_of(a, ATTR_NAME)) &&
	       (source.len == 0 || span_equal_nocase(source, SPAN_LIT("LOCAL")) ||
		       span_equal_nocase(source, SPAN_LIT("REMOTE")));
}

struct verdict verb_xforward(struct session *s, const struct command *c)
{
	struct attributes a = {.text = BUF_INIT(COMMAND_LINE_MAX_EXTENDED)};

	struct verdict v = check_state(s, session_may_xforward(s));
	if (verdict_is_ok(v) &&
		(!attributes_parse(&a, c->argument, XFORWARD_ATTRS) || !xforward_ok(&a)))
		v = VERDICT(501, "5.5.4", "Syntax: XFORWARD name=value...");
	if (verdict_is_ok(v)) {
		/* "ADDR=192.0.2.1 HELO=x": several commands add up, until a message is through. */
		for (int i = 0; i < ATTR_COUNT; i++) {
			if (!is_said(&a, (enum attribute)i))
				continue;
			if (s->forwarded.len > 0)
				buf_char(&s->forwarded, ' ');
			buf_str(&s->forwarded, attribute_names[i]);
			buf_char(&s->forwarded, '=');
			xtext_encode(value_of(&a, (enum attribute)i), &s->forwarded);
		}
		if (s->forwarded.error < 0)
			v = VERDICT(501, "5.5.4", "Too many attributes");
	}
	buf_done(&a.text);
	return v;
}
