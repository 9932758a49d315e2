/* One pass: logical lines (with their continuations) are put together, then split at the first
 * colon outside quotes, then at commas outside quotes. */
#include "route/aliases.h"

#include "base/arena.h"
#include "base/map.h"
#include "mail/path.h"
#include <stdlib.h>

#define TARGETS_MAX	100000u
#define LINE_OCTETS_MAX (8u << 20)
#define LOCAL_MAX	256u

struct aliases {
	struct arena *arena;
	struct map *map;
	bool complete;
};
struct reading {
	struct aliases *a;
	const char *file;
	bool domains;  /* "@domain" is a target, too */
	unsigned line; /* where the logical line began */
	struct buf *errors;
};

static void complain(struct reading *p, const char *what)
{
	buf_printf(p->errors, "%s:%u: %s\n", p->file, p->line, what);
}

/* Index of c outside of "quotes", or len. */
static size_t index_unquoted(struct span s, char c)
{
	bool quoted = false;

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '\\' && quoted)
			i++;
		else if (s.ptr[i] == '"')
			quoted = !quoted;
		else if (s.ptr[i] == c && !quoted)
			return i;
	}
	return s.len;
}

static struct span meaning(struct reading *p, struct span written)
{
	struct buf b = BUF_INIT(LOCAL_MAX);

	local_part_unquoted(written, true, &b);
	struct span s = b.error ? SPAN_NULL : arena_span(p->a->arena, buf_span(&b));
	buf_done(&b);
	return s;
}

static const char *why_refused(const struct reading *p, struct span t)
{
	struct path path;
	enum domain_kind kind;

	if (t.ptr[0] == '|' || (t.len > 1 && t.ptr[0] == '"' && t.ptr[1] == '|'))
		return "commands are not run from aliases: left out";
	if (t.ptr[0] == '/' || (t.len > 1 && t.ptr[0] == '"' && t.ptr[1] == '/'))
		return "files are not written from aliases: left out";
	if (span_starts_nocase(t, SPAN_LIT(":include:")))
		return ":include: is not supported: write the addresses here; left out";
	if (p->domains && t.ptr[0] == '@' && domain_parse(span_from(t, 1), true, &kind) == 0)
		return NULL;
	if (mailbox_parse(t, true, true, &path) < 0)
		return "this target is no address: left out";
	return NULL;
}

static int add_target(struct reading *p, struct alias *alias, struct span *room, struct span t)
{
	/* \user: the user himself, as sendmail has it; here a name that lists itself does that. */
	if (t.len && t.ptr[0] == '\\')
		t = span_from(t, 1);
	const char *why = t.len ? why_refused(p, t) : "";

	if (why) {
		if (*why)
			complain(p, why);
		return 0;
	}
	room[alias->n_targets] = arena_span(p->a->arena, t);
	if (!room[alias->n_targets].ptr)
		return -ENOMEM;
	alias->n_targets++;
	return 0;
}

static int add_logical(struct reading *p, struct span line)
{
	size_t colon = index_unquoted(line, ':');
	struct span name = span_trim(span_head(line, colon)), list = span_from(line, colon + 1);
	uint32_t commas = 1;

	if (colon == line.len || name.len == 0) {
		p->a->complete = false;
		complain(p, "not an alias: write NAME: TARGET, TARGET");
		return 0;
	}
	for (size_t i = 0; i < list.len; i++)
		commas += list.ptr[i] == ',';
	if (commas > TARGETS_MAX) {
		p->a->complete = false;
		complain(p, "too many targets: split the list; left out");
		return 0;
	}
	struct alias *alias = arena_alloc(p->a->arena, sizeof(*alias));
	struct span *room = arena_alloc(p->a->arena, commas * sizeof(*room));
	if (!alias || !room)
		return -ENOMEM;
	alias->name = meaning(p, name);
	alias->targets = room;
	int r = 0;
	while (r == 0 && list.len) {
		size_t comma = index_unquoted(list, ',');
		r = add_target(p, alias, room, span_trim(span_head(list, comma)));
		list = span_from(list, comma + 1);
	}
	if (r < 0)
		return r;
	if (alias->name.len == 0 || alias->n_targets == 0) {
		complain(p, "an alias needs a name and at least one target: left out");
		return 0;
	}
	r = map_put(p->a->map, alias->name, alias);
	if (r == -EEXIST) {
		complain(p, "this alias stands above already: the first one counts");
		r = 0;
	}
	return r;
}

static int read_lines(struct reading *p, struct span text)
{
	struct buf logical = BUF_INIT(LINE_OCTETS_MAX);
	unsigned number = 0;
	int r = 0;

	while (r == 0 && text.len) {
		struct span raw = span_head(text, span_index(text, '\n'));
		text = span_from(text, raw.len + 1);
		number++;
		struct span line = span_trim(raw);
		if (line.len == 0 || line.ptr[0] == '#')
			continue;
		bool goes_on = raw.ptr[0] == ' ' || raw.ptr[0] == '\t';
		if (!goes_on) {
			if (logical.len)
				r = add_logical(p, buf_span(&logical));
			buf_reset(&logical);
			p->line = number;
		}
		buf_char(&logical, ' ');
		buf_put(&logical, line);
		if (logical.error) {
			p->a->complete = false;
			complain(p, "this alias is too long: left out");
			buf_reset(&logical);
		}
	}
	if (r == 0 && logical.len)
		r = add_logical(p, buf_span(&logical));
	buf_done(&logical);
	return r;
}

static int parse(
	struct span text, const char *name, bool domains, struct aliases **ret, struct buf *errors)
{
	struct aliases *a = calloc(1, sizeof(*a));
	struct reading p = {.a = a, .file = name, .domains = domains, .errors = errors};
	int r = a ? 0 : -ENOMEM;

	if (text.len > ALIASES_FILE_MAX)
		r = -EFBIG;
	if (r == 0 &&
		(!(a->arena = arena_new(text.len * 40 + (1u << 20))) || !(a->map = map_new(0))))
		r = -ENOMEM;
	if (span_starts_nocase(text, SPAN_LIT("\xef\xbb\xbf"))) /* a byte order mark */
		text = span_from(text, 3);
	if (r == 0) {
		a->complete = true;
		r = read_lines(&p, text);
	}
	if (r < 0) {
		aliases_free(a);
		return r;
	}
	*ret = a;
	return 0;
}

int aliases_parse(struct span text, const char *name, struct aliases **ret, struct buf *errors)
{
	return parse(text, name, false, ret, errors);
}

int senders_parse(struct span text, const char *name, struct aliases **ret, struct buf *errors)
{
	return parse(text, name, true, ret, errors);
}

void aliases_free(struct aliases *a)
{
	if (!a)
		return;
	map_free(a->map);
	arena_free(a->arena);
	free(a);
}

bool aliases_complete(const struct aliases *a)
{
	return a->complete;
}

size_t aliases_count(const struct aliases *a)
{
	return map_count(a->map);
}

const struct alias *aliases_find(const struct aliases *a, struct span local)
{
	char key[LOCAL_MAX];

	if (local.len > sizeof(key))
		return NULL;
	for (size_t i = 0; i < local.len; i++)
		key[i] = (char)(local.ptr[i] >= 'A' && local.ptr[i] <= 'Z' ? local.ptr[i] + 32
									   : local.ptr[i]);
	return map_get(a->map, span_make(key, local.len));
}
