/* A table of routes (`route "file:PATH"`): one `NAME [TARGET]` a line, `#` comments. NAME is what
 * a route block's title may be (a domain, ".parent", "from:...", "*"), or a whole address; TARGET
 * is written as `via` is, and goes before the block's own. Pure; bounded by ROUTE_TABLE_MAX. */
#pragma once
#include "config/config.h"

#define ROUTE_TABLE_MAX		(64u << 20) /* octets of the file */
#define ROUTE_TABLE_TARGETS_MAX 4096u	    /* different targets in it */

struct route_table;
/* 0 or -ENOMEM. Lines that cannot be understood are left out and said: "FILE:LINE: what". */
MUST_CHECK int route_table_parse(
	struct span text, const char *file, struct route_table **ret, struct buf *errors);
void route_table_free(struct route_table *t); /* NULL allowed */
bool route_table_complete(const struct route_table *t);
size_t route_table_count(const struct route_table *t);

struct route_found {
	size_t weight;		  /* 0: nothing; else route_weight of the line */
	const struct target *via; /* NULL: the block's */
	bool exact;		  /* names the address or its very domain */
};
/* The most telling line for mail to that address from that sender. */
struct route_found route_table_find(
	const struct route_table *t, struct span address, struct span domain, struct span sender);

/* How telling a name is, by its kind: an address, a domain, ".parent" by its length, a sender, a
 * sender's domain, "*". */
enum route_name {
	ROUTE_ANY,
	ROUTE_FROM_DOMAIN,
	ROUTE_FROM,
	ROUTE_PARENT,
	ROUTE_DOMAIN,
	ROUTE_ADDRESS
};
size_t route_weight(enum route_name kind, size_t len);
