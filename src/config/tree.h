/* Making and filling the tree. Inner to src/config. */
#pragma once
#include "config/config.h"

/* All defaults but hostname; NULL: no memory. folder may be relative: it is made absolute. */
MUST_CHECK struct config *tree_new(const char *folder);
/* One more zeroed listener, domain, route with its defaults, at the end; NULL: no memory. Earlier
 * pointers into the list become stale. */
struct config_listener *tree_add_listener(struct config *c);
struct config_domain *tree_add_domain(struct config *c);
struct config_route *tree_add_route(struct config *c);
/* After the last key: {data} in templates, relative paths of targets, order of domains. */
MUST_CHECK int tree_finish(struct config *c);
/* For config_route; a part of tree_finish, and of reading a dump. */
MUST_CHECK int tree_index_routes(struct config *c);
void tree_listener_done(struct config_listener *l);
void tree_domain_done(struct config_domain *d);
void tree_route_done(struct config_route *r);
