/* Shared by route.c and expand.c: a local address, looked at. */
#pragma once
#include "mail/path.h"
#include "route/route.h"

struct local {
	const struct config_domain *domain;
	const struct route_tables *tables;
	struct buf name;  /* the local part's meaning, lower case */
	struct span base; /* without the subaddress; the same when there is none */
};
/* false: the domain is not ours. On true: local_done. */
bool local_find(const struct route *r, const struct path *p, struct local *ret);
void local_done(struct local *l);
const struct alias *local_alias(const struct local *l); /* NULL: none */
bool local_user(const struct local *l);
/* A name that is not found may exist all the same: a table is unreadable, or some of its lines. */
bool local_in_doubt(const struct local *l);
bool local_is_postmaster(const struct local *l);
/* route_next_hop of ask->address, which is p, parsed already. */
MUST_CHECK int route_path_hop(const struct route *r, const struct expand_ask *ask,
	const struct path *p, struct arena *a, struct hop *ret);
