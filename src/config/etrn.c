/* For which domains ETRN works: those of a domain block that says so (mail that we keep for them),
 * and those that a route block with the key names: exactly, as a subdomain of ".parent", or by "*".
 *
 *   etrn-node = Domain / "@" Domain / "#" queue-name          (RFC 1985 5.2)
 *
 * "@" means the domain and all below it: allowed where the domain itself is, or where a route
 * ".domain" is. A queue's name is the title of a route or domain block with the key. A try brings
 * forward what would be tried anyway (RFC 1985 8): that "@" may reach domains below which have no
 * key of their own tells nobody anything. */
#include "config/config.h"

static bool route_names(const struct config_route *r, struct span domain)
{
	struct span title = span_str(r->domain);

	if (span_equal(title, SPAN_LIT("*")))
		return true;
	if (title.len > 0 && title.ptr[0] == '.')
		return domain.len > title.len &&
		       span_equal_nocase(span_from(domain, domain.len - title.len), title);
	return span_equal_nocase(title, domain);
}

static bool is_allowed(const struct config *c, struct span domain)
{
	const struct config_domain *own = config_domain(c, domain);

	if (own)
		return own->etrn;
	for (size_t i = 0; i < c->n_routes; i++)
		if (c->routes[i].etrn && route_names(&c->routes[i], domain))
			return true;
	return false;
}

/* A route with the key of this title: "waits.example", ".waits.example". */
static bool has_title(const struct config *c, struct span title)
{
	for (size_t i = 0; i < c->n_routes; i++)
		if (c->routes[i].etrn && span_equal_nocase(span_str(c->routes[i].domain), title))
			return true;
	return false;
}

static bool is_parent_title(const struct config *c, struct span domain)
{
	for (size_t i = 0; i < c->n_routes; i++) {
		struct span title = span_str(c->routes[i].domain);
		if (c->routes[i].etrn && title.len > 1 && title.ptr[0] == '.' &&
			span_equal_nocase(span_from(title, 1), domain))
			return true;
	}
	return false;
}

bool config_etrn(const struct config *c, struct span node, struct etrn_wish *ret)
{
	char kind = '\0';
	bool allowed;

	if (node.len > 1 && (node.ptr[0] == '@' || node.ptr[0] == '#')) {
		kind = (char)node.ptr[0];
		node = span_from(node, 1);
	}
	bool below = kind == '@';
	if (kind == '#') {
		const struct config_domain *own = config_domain(c, node);
		allowed = has_title(c, node) || (own && own->etrn);
		below = node.ptr[0] == '.';
		node = span_from(node, below);
	} else {
		allowed = is_allowed(c, node) || (below && is_parent_title(c, node));
	}
	/* All mail: for "*" the operator has a command. */
	if (!allowed || node.len == 0 || span_equal(node, SPAN_LIT("*")))
		return false;
	*ret = (struct etrn_wish){.domain = node, .below = below};
	return true;
}

bool config_etrn_somewhere(const struct config *c)
{
	for (size_t i = 0; i < c->n_domains; i++)
		if (c->domains[i].etrn)
			return true;
	for (size_t i = 0; i < c->n_routes; i++)
		if (c->routes[i].etrn)
			return true;
	return false;
}
