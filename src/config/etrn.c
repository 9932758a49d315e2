/* For which domains ETRN works: those of a domain block that says so (mail that we keep for them),
 * and those that a route block with the key names: exactly, as a subdomain of ".parent", or by "*".
 */
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

bool config_etrn(const struct config *c, struct span domain)
{
	const struct config_domain *own = config_domain(c, domain);

	if (own)
		return own->etrn;
	for (size_t i = 0; i < c->n_routes; i++)
		if (c->routes[i].etrn && route_names(&c->routes[i], domain))
			return true;
	return false;
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
