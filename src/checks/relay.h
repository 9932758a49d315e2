/* May this client hand in mail for that domain? No open relay: a domain that is not ours is taken
 * only from `relay.from` (and from our own machine's submission socket), and only if we know a
 * next hop for it: a `route` block or `relay.via`. Pure. */
#pragma once
#include "config/config.h"
#include "mail/verdict.h"

/* Is the address in one of the networks? */
bool networks_contain(const struct network *networks, size_t n, const struct address *a);
/* Does a `route` block name the domain: exactly, by ".parent.example", or by "*"? */
bool relay_route_exists(const struct config *c, struct span domain);

struct relay_ask {
	const struct config *config;
	bool trusted;	    /* the client may relay */
	struct span domain; /* a foreign one, lower case */
	bool submitter;	    /* a user who is logged in: to anywhere, by relay.via or else by MX */
};
/* 250, or 550 5.7.1. */
struct verdict check_relay(const struct relay_ask *ask);
