/* A local address is looked up as: alias by the whole local part, user by the whole local part,
 * then both without the subaddress ("user+tag"), then the catch-all, then postmaster, who always
 * exists (RFC 5321 4.5.1). `route` blocks speak about foreign domains, and about a local one only
 * if they name it exactly (a gateway that hands a domain on). */
#include "route/route.h"

#include "route/local.h"

#define LOCAL_OCTETS 256u

void local_done(struct local *l)
{
	buf_done(&l->name);
}

static const struct config_domain *find_domain(const struct route *r, const struct path *p)
{
	const struct config *c = r->config;

	if (p->domain_kind == DOMAIN_NONE)
		return c->n_domains ? &c->domains[0] : NULL;
	/* [our address] means this host: the first domain takes postmaster's mail (RFC 5321 4.5.1).
	 */
	if (p->domain_kind != DOMAIN_NAME)
		return NULL;
	return config_domain(c, p->domain);
}

/* false: not local. */
bool local_find(const struct route *r, const struct path *p, struct local *ret)
{
	const struct config_domain *d = find_domain(r, p);

	if (!d)
		return false;
	*ret = (struct local){.domain = d,
		.tables = &r->tables[d - r->config->domains],
		.name = BUF_INIT(LOCAL_OCTETS)};
	local_part_unquoted(p->local, true, &ret->name);
	struct span all = buf_span(&ret->name);
	ret->base = all;
	for (const char *c = d->subaddress ? d->subaddress : "+"; *c; c++) {
		size_t at = span_index(ret->base, *c);
		if (at > 0)
			ret->base = span_head(ret->base, at);
	}
	return true;
}

const struct alias *local_alias(const struct local *l)
{
	const struct aliases *a = l->tables->aliases;

	if (!a)
		return NULL;
	const struct alias *found = aliases_find(a, buf_span(&l->name));
	return found ? found : aliases_find(a, l->base);
}

bool local_user(const struct local *l)
{
	if (l->name.error || l->name.len == 0)
		return false;
	if (l->domain->users == USERS_ANY)
		return true;
	const struct users_file *u = l->tables->users;
	return u && (users_file_has(u, buf_span(&l->name)) || users_file_has(u, l->base));
}

bool local_is_postmaster(const struct local *l)
{
	return span_equal_nocase(l->base, SPAN_LIT("postmaster"));
}

bool local_in_doubt(const struct local *l)
{
	const struct route_tables *t = l->tables;

	return t->unreadable || (t->users && !users_file_complete(t->users)) ||
	       (t->aliases && !aliases_complete(t->aliases));
}

enum lookup_status route_lookup(const struct route *r, struct span address)
{
	struct path p;
	struct local l;

	if (mailbox_parse(address, true, true, &p) < 0)
		return LOOKUP_UNKNOWN_USER;
	if (!local_find(r, &p, &l))
		return LOOKUP_NOT_LOCAL;
	enum lookup_status s = LOOKUP_UNKNOWN_USER;
	if (local_is_postmaster(&l) || local_alias(&l) || local_user(&l))
		s = LOOKUP_OK;
	else if (local_in_doubt(&l))
		s = LOOKUP_TEMPORARY;
	else if (l.domain->catch_all)
		s = LOOKUP_OK;
	local_done(&l);
	return s;
}

static bool title_matches(const char *title, struct span domain)
{
	struct span t = span_str(title);

	if (span_equal(t, SPAN_LIT("*")))
		return true;
	if (t.len && t.ptr[0] == '.')
		return domain.len > t.len &&
		       span_equal_nocase(span_from(domain, domain.len - t.len), t);
	return span_equal_nocase(domain, t);
}

/* "from:example.org" and "from:ada@example.org", about mail of these senders. */
#define FROM_TITLE "from:"

static bool from_matches(const char *title, struct span sender)
{
	struct span t = span_from(span_str(title), sizeof(FROM_TITLE) - 1);

	if (span_index(t, '@') == t.len)
		sender = span_from(sender, span_index(sender, '@') + 1);
	return span_equal_nocase(sender, t);
}

/* How much a title that matches says (route_weight); 0: it does not match. */
static size_t title_weight(const char *title, struct span domain, struct span sender)
{
	size_t len = strlen(title);

	if (strncmp(title, FROM_TITLE, sizeof(FROM_TITLE) - 1) == 0)
		return !from_matches(title, sender)
			       ? 0
			       : route_weight(
					 strchr(title, '@') ? ROUTE_FROM : ROUTE_FROM_DOMAIN, len);
	if (!title_matches(title, domain))
		return 0;
	return route_weight(title[0] == '*'   ? ROUTE_ANY
			    : title[0] == '.' ? ROUTE_PARENT
					      : ROUTE_DOMAIN,
		len);
}

struct choice {
	const struct config_route *block; /* NULL: none */
	const struct target *via;
	size_t weight;
	bool exact;   /* the address or its very domain is named */
	bool unknown; /* a table cannot be read, and nothing that could say more than it */
};

/* Of two that say as much, the one that stands first. */
static void consider(struct choice *best, const struct config_route *block, struct route_found f)
{
	if (f.weight == 0 || f.weight < best->weight ||
		(f.weight == best->weight && best->block < block))
		return;
	best->block = block;
	best->via = f.via ? f.via : &block->via;
	best->weight = f.weight;
	best->exact = f.exact;
}

static struct route_found title_find(
	const struct config_route *block, const struct path *p, const struct expand_ask *ask)
{
	size_t weight = title_weight(block->domain, p->domain, ask->reverse_path);

	return (struct route_found){
		.weight = weight, .exact = weight >= route_weight(ROUTE_DOMAIN, 0)};
}

/* The most telling name wins, be it a title or a line of a table. Titles that are whole domains may
 * be many thousands: they are looked up, only the others are gone through. */
static struct choice block_for(
	const struct route *r, const struct path *p, const struct expand_ask *ask)
{
	const struct config *c = r->config;
	const struct config_route *named = config_route(c, p->domain);
	struct choice best = {0};

	if (named)
		consider(&best, named, title_find(named, p, ask));
	for (size_t i = 0; i < c->n_routes_loose; i++) {
		size_t at = c->routes_loose[i];
		const struct route_slot *slot = r->routes ? &r->routes[at] : NULL;
		struct route_found f = slot && slot->table
					       ? route_table_find(slot->table, ask->address,
							 p->domain, ask->reverse_path)
					       : title_find(&c->routes[at], p, ask);
		best.unknown = best.unknown || (slot && slot->unreadable);
		consider(&best, &c->routes[at], f);
	}
	return best;
}

static int override_hop(const struct expand_ask *ask, const struct path *p, const char *domain,
	struct arena *a, struct hop *ret)
{
	struct target t = {0};
	const char *why = NULL, *text = arena_str(a, ask->via);
	int r = text ? target_parse(text, &t, &why) : -ENOMEM;

	if (r == -EINVAL) {
		*ret = (struct hop){
			.kind = HOP_HOLD, .text = SPAN_LIT("--via cannot be understood")};
		return 0;
	}
	if (r == 0)
		r = route_target_hop(&t, p, domain, a, ret);
	target_done(&t);
	return r;
}

/* The deliverer finds the way's settings (TLS, credentials, source) by its name. */
static int named_hop(const struct target *via, const char *name, const struct path *p,
	const char *domain, struct arena *a, struct hop *ret)
{
	int r = route_target_hop(via, p, domain, a, ret);
	if (r < 0 || (ret->kind != HOP_DELIVER && ret->kind != HOP_MX))
		return r;
	ret->route = arena_span(a, span_str(name));
	return ret->route.ptr ? 0 : -ENOMEM;
}

static int block_hop(const struct choice *choice, const struct path *p, const char *domain,
	struct arena *a, struct hop *ret)
{
	return named_hop(choice->via, choice->block->domain, p, domain, a, ret);
}

static const struct hop table_unreadable = {.kind = HOP_TEMPORARY,
	.enhanced = {"4.3.0", 5},
	.text = {"a table of routes cannot be read", 32}};

static int foreign_hop(const struct route *r, const struct path *p, const struct expand_ask *ask,
	struct arena *a, struct hop *ret)
{
	struct choice choice = block_for(r, p, ask);

	if (choice.unknown) {
		*ret = table_unreadable;
		return 0;
	}
	if (choice.block)
		return block_hop(&choice, p, NULL, a, ret);
	return named_hop(&r->config->relay.via, "relay", p, NULL, a, ret);
}

int route_next_hop(
	const struct route *r, const struct expand_ask *ask, struct arena *a, struct hop *ret)
{
	struct path p;

	if (mailbox_parse(ask->address, true, true, &p) < 0) {
		*ret = (struct hop){.kind = HOP_FAIL,
			.enhanced = SPAN_LIT("5.1.3"),
			.text = SPAN_LIT("not an address")};
		return 0;
	}
	return route_path_hop(r, ask, &p, a, ret);
}

int route_path_hop(const struct route *r, const struct expand_ask *ask, const struct path *p,
	struct arena *a, struct hop *ret)
{
	struct local l;

	bool local = local_find(r, p, &l);
	if (ask->via.len) {
		int e = override_hop(ask, p, local ? l.domain->name : NULL, a, ret);
		if (local)
			local_done(&l);
		return e;
	}
	if (!local)
		return foreign_hop(r, p, ask, a, ret);
	struct choice choice = block_for(r, p, ask);
	int e = 0;
	if (l.tables->unreadable) {
		*ret = (struct hop){.kind = HOP_TEMPORARY,
			.enhanced = SPAN_LIT("4.3.0"),
			.text = SPAN_LIT("the users or aliases file cannot be read")};
	} else if (choice.unknown) {
		*ret = table_unreadable;
	} else if (choice.block && choice.exact) {
		e = block_hop(&choice, p, l.domain->name, a, ret);
	} else if (local_user(&l) || local_is_postmaster(&l) || l.domain->catch_all) {
		e = route_target_hop(&l.domain->deliver, p, l.domain->name, a, ret);
	} else if (local_in_doubt(&l)) {
		*ret = (struct hop){.kind = HOP_TEMPORARY,
			.enhanced = SPAN_LIT("4.3.0"),
			.text = SPAN_LIT("the users file has lines that cannot be understood")};
	} else {
		*ret = (struct hop){.kind = HOP_FAIL,
			.enhanced = SPAN_LIT("5.1.1"),
			.text = SPAN_LIT("no such user here")};
	}
	local_done(&l);
	return e;
}
