/* Aliases followed breadth first over a list, no recursion: every address is looked at once, so
 * that loops end and an address that two lists name gets one copy. Depth and number are bounded. */
#include "base/map.h"
#include "route/local.h"

struct expansion {
	const struct route *route;
	const struct expand_ask *ask;
	struct arena *arena;
	struct map *seen;  /* canonical addresses met, so that loops end and duplicates are one */
	struct path *todo; /* breadth first; a list, no recursion */
	uint8_t *depth;
	uint32_t n_todo, room;
	struct expand_child *children;
	uint32_t n_children, children_room;
	bool too_many, unreadable;
};

/* In its canonical form, in the arena; *ret is that, parsed. */
static int canonical(struct expansion *x, struct span written, const struct config_domain *home,
	struct path *ret)
{
	struct path p;
	struct buf b = BUF_INIT(1024);

	if (mailbox_parse(written, true, true, &p) < 0)
		return -EINVAL;
	path_canonical(&p, &b);
	size_t domain = p.domain.len;
	if (domain == 0 && home) {
		domain = strlen(home->name);
		p.domain_kind = DOMAIN_NAME;
		buf_char(&b, '@');
		buf_str(&b, home->name);
	}
	p.text = b.error ? SPAN_NULL : arena_span(x->arena, buf_span(&b));
	buf_done(&b);
	if (!p.text.ptr)
		return -ENOMEM;
	p.local = span_head(p.text, p.text.len - (domain ? domain + 1 : 0));
	p.domain = span_from(p.text, p.text.len - domain);
	*ret = p;
	return 0;
}

/* Local addresses are one whatever their case; elsewhere the local part's case may mean something
 * (RFC 5321 2.4), and the domain is in lower case already. */
static int see(struct expansion *x, const struct path *p, bool *ret_new)
{
	struct span address = p->text;
	char *key = arena_str(x->arena, address);

	if (!x->seen)
		x->seen = map_new(0);
	if (!key || !x->seen)
		return -ENOMEM;
	bool local = p->domain.len == 0 || config_domain(x->route->config, p->domain);
	for (size_t i = 0; local && i < address.len; i++)
		key[i] = (char)(key[i] >= 'A' && key[i] <= 'Z' ? key[i] + 32 : key[i]);
	int r = map_put(x->seen, span_make(key, address.len), key);
	*ret_new = r == 0;
	return r == -EEXIST ? 0 : r;
}

static int push(struct expansion *x, const struct path *address, uint8_t depth)
{
	bool fresh;
	int r = see(x, address, &fresh);

	if (r < 0 || !fresh)
		return r;
	if (x->n_todo >= EXPAND_MAX * 2) {
		x->too_many = true;
		return 0;
	}
	if (x->n_todo == x->room) {
		uint32_t room = x->room ? x->room * 2 : 16;
		struct path *todo = arena_alloc(x->arena, room * sizeof(*todo));
		uint8_t *depths = arena_alloc(x->arena, room);
		if (!todo || !depths)
			return -ENOMEM;
		if (x->n_todo) {
			memcpy(todo, x->todo, x->n_todo * sizeof(*todo));
			memcpy(depths, x->depth, x->n_todo);
		}
		x->todo = todo;
		x->depth = depths;
		x->room = room;
	}
	x->todo[x->n_todo] = *address;
	x->depth[x->n_todo++] = depth;
	return 0;
}

static int add_child(struct expansion *x, const struct path *address)
{
	if (x->n_children >= EXPAND_MAX) {
		x->too_many = true;
		return 0;
	}
	if (x->n_children == x->children_room) {
		uint32_t room = x->children_room ? x->children_room * 2 : 4;
		struct expand_child *grown = arena_alloc(x->arena, room * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		if (x->n_children)
			memcpy(grown, x->children, x->n_children * sizeof(*grown));
		x->children = grown;
		x->children_room = room;
	}
	struct expand_child *c = &x->children[x->n_children++];
	struct expand_ask ask = *x->ask;
	ask.address = address->text;
	c->address = address->text;
	return route_path_hop(x->route, &ask, address, x->arena, &c->hop);
}

static int push_targets(
	struct expansion *x, const struct local *l, const struct alias *alias, uint32_t at)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < alias->n_targets; i++) {
		struct path target;
		r = canonical(x, alias->targets[i], l->domain, &target);
		if (r == -EINVAL)
			r = 0;
		else if (r == 0)
			r = push(x, &target, (uint8_t)(x->depth[at] + 1));
	}
	return r;
}

/* An alias may list its own name: then the user of that name gets a copy too. */
static bool names_itself(const struct alias *alias, const struct local *l)
{
	for (uint32_t i = 0; i < alias->n_targets; i++) {
		struct span t = alias->targets[i];
		if (t.ptr[0] == '\\')
			t = span_from(t, 1);
		struct span local = span_head(t, span_index(t, '@'));
		if (span_equal_nocase(local, alias->name) &&
			(local.len == t.len || span_equal_nocase(span_from(t, local.len + 1),
						       span_str(l->domain->name))))
			return true;
	}
	return false;
}

/* "ada+tag" without a user of that very name is ada's mailbox: one copy there, whatever the tags.
 */
static int add_mailbox(struct expansion *x, struct local *l, uint32_t at)
{
	const struct users_file *u = l->tables->users;
	bool own = l->base.len == l->name.len || (u && users_file_has(u, buf_span(&l->name)));
	struct buf written = BUF_INIT(1024);
	struct path base;
	bool fresh = true;

	if (own || !local_user(l))
		return add_child(x, &x->todo[at]);
	local_part_quoted(l->base, &written);
	buf_char(&written, '@');
	buf_str(&written, l->domain->name);
	int r = written.error ? written.error : canonical(x, buf_span(&written), NULL, &base);
	buf_done(&written);
	if (r == 0)
		r = see(x, &base, &fresh);
	return r < 0 || !fresh ? r : add_child(x, &base);
}

static int expand_local(struct expansion *x, struct local *l, uint32_t at)
{
	const struct alias *alias = local_alias(l);
	bool user = local_user(l);
	int r = 0;

	if (alias && x->depth[at] < EXPAND_DEPTH) {
		if (user && names_itself(alias, l))
			r = add_child(x, &x->todo[at]);
		return r < 0 ? r : push_targets(x, l, alias, at);
	}
	if (alias) {
		/* Deeper than anyone means it: all of it fails, none of it is dropped silently. */
		x->too_many = true;
		return 0;
	}
	if (!user && !local_is_postmaster(l) && l->domain->catch_all &&
		x->depth[at] < EXPAND_DEPTH) {
		struct path target;
		r = canonical(x, span_str(l->domain->catch_all), l->domain, &target);
		if (r == 0 && !span_equal_nocase(target.text, x->todo[at].text))
			return push(x, &target, (uint8_t)(x->depth[at] + 1));
		if (r < 0 && r != -EINVAL)
			return r;
	}
	return add_mailbox(x, l, at);
}

static int expand_one(struct expansion *x, uint32_t at)
{
	struct local l;

	if (!local_find(x->route, &x->todo[at], &l))
		return add_child(x, &x->todo[at]);
	/* An alias may be missing: nothing is final until the table can be read. */
	x->unreadable |= l.tables->unreadable;
	int r = expand_local(x, &l, at);
	local_done(&l);
	return r;
}

static bool is_foreign(const struct route *r, const struct path *p)
{
	return p->domain_kind == DOMAIN_NAME && !config_domain(r->config, p->domain);
}

int route_expand(const struct route *r, const struct expand_ask *ask, struct arena *a,
	struct expand_answer *ret)
{
	struct expansion x = {.route = r, .ask = ask, .arena = a};
	struct path first;

	int e = canonical(&x, ask->address, NULL, &first);
	/* What is not ours stays what it is: no list, nothing to be seen twice. */
	if (e == 0)
		e = is_foreign(r, &first) ? add_child(&x, &first) : push(&x, &first, 0);
	for (uint32_t i = 0; e == 0 && i < x.n_todo; i++)
		e = expand_one(&x, i);
	map_free(x.seen);
	if (e == -EINVAL) {
		*ret = (struct expand_answer){.token = ask->token, .status = LOOKUP_UNKNOWN_USER};
		return 0;
	}
	if (e < 0)
		return e;
	enum lookup_status status = x.unreadable   ? LOOKUP_TEMPORARY
				    : x.too_many   ? LOOKUP_TOO_MANY
				    : x.n_children ? LOOKUP_OK
						   : LOOKUP_LOOP;
	*ret = (struct expand_answer){.token = ask->token,
		.status = status,
		.children = x.children,
		.n_children = status == LOOKUP_OK ? x.n_children : 0};
	return 0;
}
