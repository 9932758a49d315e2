/* Where mail goes: which addresses exist, what aliases make of them, and the next hop. Pure: tables
 * are given, answers are values in an arena. */
#pragma once
#include "config/config.h"
#include "ipc/lookup.h"
#include "mail/path.h"
#include "route/aliases.h"
#include "route/route_table.h"
#include "route/users_file.h"

/* One domain's tables, in the order of config->domains; NULL members: none configured.
 * unreadable: a table is configured but could not be read: every answer about it is temporary. */
struct route_tables {
	struct users_file *users;
	struct aliases *aliases;
	struct aliases *senders; /* what users may send as beside their own */
	bool unreadable;	 /* users or aliases */
	bool senders_unreadable;
};
struct route_slot {
	struct route_table *table; /* NULL: the block has none */
	bool unreadable;	   /* it has one: where mail goes is not known now */
};
struct route {
	const struct config *config;
	struct route_tables *tables; /* config->n_domains */
	struct route_slot *routes;   /* config->n_routes; NULL: no block has a table */
};
/* May mail for this address be accepted? (RCPT.) NOT_LOCAL for foreign domains. */
enum lookup_status route_lookup(const struct route *r, struct span address);
/* Aliases followed to the end; each child with its next hop. Bounded by EXPAND_MAX and
 * EXPAND_DEPTH; duplicates are dropped. Spans live in the arena. -ENOMEM. */
MUST_CHECK int route_expand(const struct route *r, const struct expand_ask *ask, struct arena *a,
	struct expand_answer *ret);
/* The next hop of one address now: users that went away fail, routes as they are configured now. */
MUST_CHECK int route_next_hop(
	const struct route *r, const struct expand_ask *ask, struct arena *a, struct hop *ret);
/* A target as a hop, for this address. domain: for {domain} in maildir templates. */
MUST_CHECK int route_target_hop(const struct target *t, const struct path *p, const char *domain,
	struct arena *a, struct hop *ret);
/* Where the Internet says: HOP_MX, or the host itself for an address literal. */
MUST_CHECK int route_mx_hop(const struct path *p, struct arena *a, struct hop *ret);
