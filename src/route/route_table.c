/* Names in one map, lower case; targets are parsed once each and shared, as a table of a hundred
 * thousand domains has a handful of them. What a name may be is decided by looking at it, so that a
 * line needs no column for its kind. */
#include "route/route_table.h"

#include "base/arena.h"
#include "base/map.h"
#include "config/name.h"
#include <stdlib.h>

#define FROM	  "from:"
#define NAME_MAX_ 600u /* "from:", a local part, a domain */

struct via {
	struct span text;
	struct target target;
};
struct line {
	const struct via *via; /* NULL: the block's */
};
struct route_table {
	struct arena *arena;
	struct map *lines, *vias;
	bool complete;
};

size_t route_weight(enum route_name kind, size_t len)
{
	static const size_t base[] = {[ROUTE_ANY] = 1,
		[ROUTE_FROM_DOMAIN] = 2,
		[ROUTE_FROM] = 3,
		[ROUTE_PARENT] = 4,
		[ROUTE_DOMAIN] = 1024,
		[ROUTE_ADDRESS] = 4096};

	return base[kind] + (kind >= ROUTE_PARENT ? len : 0);
}

static void free_vias(struct route_table *t)
{
	size_t cursor = 0;

	for (struct via *v; t->vias && (v = map_next(t->vias, &cursor));)
		target_done(&v->target);
}

void route_table_free(struct route_table *t)
{
	if (!t)
		return;
	free_vias(t);
	map_free(t->lines);
	map_free(t->vias);
	arena_free(t->arena);
	free(t);
}

static struct span lower(struct arena *a, struct span s)
{
	char *p = arena_alloc(a, s.len + 1);

	for (size_t i = 0; p && i < s.len; i++)
		p[i] = (char)(s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? s.ptr[i] + 32 : s.ptr[i]);
	return span_make(p, p ? s.len : 0);
}

/* NULL, or what is wrong. */
static const char *name_wrong(struct span name)
{
	if (name.len > NAME_MAX_)
		return "is too long";
	if (span_equal(name, SPAN_LIT("*")))
		return NULL;
	bool from = span_starts_nocase(name, SPAN_LIT(FROM));
	if (from)
		name = span_from(name, sizeof(FROM) - 1);
	size_t at = name.len;
	while (at > 0 && name.ptr[at - 1] != '@')
		at--;
	if (at == 1)
		return "has no local part: write USER@DOMAIN, or the domain alone";
	if (at == 0 && !from && name.len > 0 && name.ptr[0] == '.')
		at = 1;
	return name_problem(span_from(name, at));
}

/* -EINVAL: *ret_why says what is wrong. */
static int via_get(
	struct route_table *t, struct span text, const struct via **ret, const char **ret_why)
{
	struct via *v = map_get(t->vias, text);

	*ret = v;
	if (v)
		return 0;
	if (map_count(t->vias) >= ROUTE_TABLE_TARGETS_MAX) {
		*ret_why = "is one target too many for a table";
		return -EINVAL;
	}
	v = arena_alloc(t->arena, sizeof(*v));
	const char *copy = arena_str(t->arena, text);
	if (!v || !copy)
		return -ENOMEM;
	int r = target_parse(copy, &v->target, ret_why);
	if (r < 0)
		return r;
	if (v->target.kind == TARGET_MAILDIR || v->target.kind == TARGET_PIPE) {
		target_done(&v->target);
		*ret_why = "must stand in the configuration, because its folder or command is "
			   "opened at start: write a route block for it";
		return -EINVAL;
	}
	v->text = span_str(copy);
	*ret = v;
	r = map_put(t->vias, v->text, v);
	if (r < 0)
		target_done(&v->target);
	return r;
}

struct place {
	const char *file;
	unsigned number;
	struct buf *errors;
};

static void complain(
	struct route_table *t, const struct place *at, struct span word, const char *what)
{
	t->complete = false;
	buf_printf(at->errors, "%s:%u: '%.*s' %s\n", at->file, at->number, SPAN_FMT(word), what);
}

static int add_line(struct route_table *t, struct span text, const struct place *at)
{
	size_t len = 0;
	while (len < text.len && text.ptr[len] != ' ' && text.ptr[len] != '\t')
		len++;
	struct span name = span_head(text, len), target = span_trim(span_from(text, len));
	const char *why = name_wrong(name);
	const struct via *via = NULL;

	if (why) {
		complain(t, at, name, why);
		return 0;
	}
	int r = target.len ? via_get(t, target, &via, &why) : 0;
	if (r == -EINVAL)
		complain(t, at, target, why ? why : "is no target");
	if (r < 0)
		return r == -EINVAL ? 0 : r;
	struct line *line = arena_alloc(t->arena, sizeof(*line));
	struct span key = lower(t->arena, name);
	if (!line || !key.ptr)
		return -ENOMEM;
	line->via = via;
	if (map_get(t->lines, key)) {
		complain(t, at, name, "stands here twice: the first line counts");
		return 0;
	}
	return map_put(t->lines, key, line);
}

int route_table_parse(
	struct span text, const char *file, struct route_table **ret, struct buf *errors)
{
	struct route_table *t = calloc(1, sizeof(*t));
	struct place at = {.file = file, .errors = errors};
	int r = t ? 0 : -ENOMEM;

	if (r == 0) {
		t->complete = true;
		t->arena = arena_new(2 * (size_t)ROUTE_TABLE_MAX);
		t->lines = map_new(0);
		t->vias = map_new(0);
		r = t->arena && t->lines && t->vias ? 0 : -ENOMEM;
	}
	while (r == 0 && text.len > 0) {
		size_t end = span_index(text, '\n');
		struct span line = span_trim(span_head(text, end));
		at.number++;
		if (line.len > 0 && line.ptr[0] != '#')
			r = add_line(t, line, &at);
		text = span_from(text, end + 1);
	}
	if (r < 0) {
		route_table_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

bool route_table_complete(const struct route_table *t)
{
	return t->complete;
}

size_t route_table_count(const struct route_table *t)
{
	return map_count(t->lines);
}

/* ---- finding ---- */

static bool try_name(const struct route_table *t, enum route_name kind, struct span name,
	struct route_found *ret)
{
	const struct line *line = name.len > 0 ? map_get(t->lines, name) : NULL;

	if (!line)
		return false;
	*ret = (struct route_found){.weight = route_weight(kind, name.len),
		.via = line->via ? &line->via->target : NULL,
		.exact = kind >= ROUTE_DOMAIN};
	return true;
}

static bool try_parents(const struct route_table *t, struct span domain, struct route_found *ret)
{
	for (size_t i = 1; i < domain.len; i++)
		if (domain.ptr[i] == '.' && try_name(t, ROUTE_PARENT, span_from(domain, i), ret))
			return true;
	return false;
}

static bool try_sender(const struct route_table *t, struct span sender, struct route_found *ret)
{
	struct buf name = BUF_INIT(NAME_MAX_ + sizeof(FROM));
	size_t at = span_index(sender, '@');

	buf_str(&name, FROM);
	buf_put(&name, sender);
	bool found = sender.len > 0 && !name.error && try_name(t, ROUTE_FROM, buf_span(&name), ret);
	if (!found && at < sender.len && !name.error) {
		buf_reset(&name);
		buf_str(&name, FROM);
		buf_put(&name, span_from(sender, at + 1));
		found = try_name(t, ROUTE_FROM_DOMAIN, buf_span(&name), ret);
	}
	buf_done(&name);
	return found;
}

static void put_lower(struct buf *b, struct span s)
{
	buf_put(b, s);
	for (size_t i = b->len - (b->error ? 0 : s.len); !b->error && i < b->len; i++)
		if (b->ptr[i] >= 'A' && b->ptr[i] <= 'Z')
			b->ptr[i] = (char)(b->ptr[i] + 32);
}

struct route_found route_table_find(
	const struct route_table *t, struct span address, struct span domain, struct span sender)
{
	struct route_found found = {0};
	struct buf a = BUF_INIT(2 * NAME_MAX_), d = BUF_INIT(NAME_MAX_),
		   s = BUF_INIT(2 * NAME_MAX_);

	put_lower(&a, address);
	put_lower(&d, domain);
	put_lower(&s, sender);
	/* In the order of their weights: the first is the one. */
	if (!a.error && !d.error && !s.error && !try_name(t, ROUTE_ADDRESS, buf_span(&a), &found) &&
		!try_name(t, ROUTE_DOMAIN, buf_span(&d), &found) &&
		!try_parents(t, buf_span(&d), &found) && !try_sender(t, buf_span(&s), &found))
		(void)try_name(t, ROUTE_ANY, SPAN_LIT("*"), &found);
	buf_done(&a);
	buf_done(&d);
	buf_done(&s);
	return found;
}
