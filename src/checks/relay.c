/* The relay rule, RFC 5321 7.9 and RFC 2505 2.1: relaying is for clients that were named, nobody
 * else. Whether the domain is local has been decided before; where a relayed message goes is
 * decided later, by the directory, with the configuration of that moment. */
#include "checks/relay.h"

bool networks_contain(const struct network *networks, size_t n, const struct address *a)
{
	for (size_t i = 0; i < n; i++)
		if (network_contains(&networks[i], a))
			return true;
	return false;
}

static bool route_matches(struct span pattern, struct span domain)
{
	if (span_equal(pattern, SPAN_LIT("*")))
		return true;
	if (pattern.len > 0 && pattern.ptr[0] == '.')
		return domain.len > pattern.len &&
		       span_equal_nocase(span_from(domain, domain.len - pattern.len), pattern);
	return span_equal_nocase(pattern, domain);
}

bool relay_route_exists(const struct config *c, struct span domain)
{
	for (size_t i = 0; i < c->n_routes; i++)
		if (route_matches(span_str(c->routes[i].domain), domain))
			return true;
	return false;
}

struct verdict check_relay(const struct relay_ask *ask)
{
	/* The evaluation mode sends nothing into the world. */
	if (ask->submitter && !ask->config->evaluation)
		return VERDICT(250, "2.1.5", "Recipient ok");
	if (!ask->trusted)
		return VERDICT(550, "5.7.1", "Relaying denied");
	if (ask->config->relay.via.kind == TARGET_NONE &&
		!relay_route_exists(ask->config, ask->domain))
		return VERDICT(550, "5.7.1", "Relaying denied: no route to that domain");
	return VERDICT(250, "2.1.5", "Recipient ok");
}
