/* `dns check`: the parts that judge as a delivery would (deliver/probe.h), as JSON. */
#pragma once
#include "deliver/probe.h"
#include <jansson.h>

/* Which way mail for the domain takes by the configuration: ret_route names the settings ("relay",
 * a route's title, or empty); what does not go by MX is set in row ("by_route"). */
MUST_CHECK int dns_route(const struct config *c, struct span domain, struct arena *a, json_t *row,
	struct span *ret_route);
/* "sts_policy", or "sts_problem". */
SUSPENDS MUST_CHECK int dns_policy(
	struct prober *p, struct span domain, struct arena *a, json_t *row, struct sts_answer *ret);
/* "tls_policy", "sts", and where it connects "connection", "certificates", "webpki". */
SUSPENDS MUST_CHECK int dns_host(
	struct prober *p, const struct probe_ask *ask, struct arena *a, json_t *row);
void dns_print_domain(const json_t *row);
void dns_print_host(const json_t *row);
/* Octets that may be no UTF-8. */
json_t *dns_text(struct span s);
