/* The tables of every domain, read from the fds that the supervisor hands down. */
#pragma once
#include "process/role.h"
#include "route/route.h"

struct tables {
	struct route route;
	size_t n, n_routes;
};
/* Reads all; a table that cannot be read or has lines that cannot is logged. A domain of the same
 * name keeps its earlier table (`old`, may be NULL) where the new file cannot be read at all. */
MUST_CHECK int tables_load(struct role_process *p, struct tables *old, struct tables *ret);
void tables_done(struct tables *t);
