/* From a file to the tree, in three steps: scan.c walks the files and writes the flat text with
 * positions inside of its values; libConfuse parses that text by the schema; and the walk here
 * hands each value, with its position, to its reader. verify.c then looks at the whole.
 *
 * libConfuse ends up seeing only structurally sound text, so errors of its own are bugs of the
 * scanner; they are reported all the same, with the line that the flat text came from. Its error
 * callback has no argument for our state: `loading` is it, as nobody reads two configurations at
 * once (the supervisor and `check` have one thread then). */
#include "config/scan.h"
#include "config/tree.h"
#include "config/value.h"
#include "config/verify.h"
#include <confuse.h>
#include <stdlib.h>

static struct scan *loading;

static void PRINTF(2, 0) parser_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	struct scan *s = loading;
	size_t line = cfg->line > 0 ? (size_t)cfg->line : 1;
	struct position at = {s->n_files ? s->files[0] : "configuration", 0};
	if (s->n_lines > 0)
		at = s->lines[MIN(line, s->n_lines) - 1];

	struct buf text = BUF_INIT(4096);
	buf_vprintf(&text, fmt, ap);
	buf_char(&text, '\0');
	diag_error(s->diag, at, "%s: correct the syntax here", text.error ? "syntax" : text.ptr);
	buf_done(&text);
}

/* ---- the schema as libConfuse wants it ---- */

static void declare_keys(const struct block *block, cfg_opt_t *opts)
{
	for (size_t i = 0; i < block->n_keys; i++) {
		cfg_flag_t flags = CFGF_NODEFAULT | (block->keys[i].list ? CFGF_LIST : 0);
		opts[i] = (cfg_opt_t)CFG_STR(block->keys[i].name, NULL, flags);
	}
}

static cfg_t *declare(void)
{
	const size_t stride = SCHEMA_KEYS_MAX + 1;
	const size_t n_root = schema_root.n_keys + schema_n_blocks + 1;
	CLEANUP(freep) cfg_opt_t *root = calloc(n_root, sizeof(*root));
	CLEANUP(freep) cfg_opt_t *inner = calloc(schema_n_blocks * stride, sizeof(*inner));

	if (!root || !inner)
		return NULL;
	declare_keys(&schema_root, root);
	for (size_t i = 0; i < schema_n_blocks; i++) {
		cfg_opt_t *opts = inner + i * stride;
		declare_keys(&schema_blocks[i], opts);
		opts[schema_blocks[i].n_keys] = (cfg_opt_t)CFG_END();
		root[schema_root.n_keys + i] = (cfg_opt_t)CFG_SEC(
			schema_blocks[i].name, opts, CFGF_TITLE | CFGF_MULTI | CFGF_NODEFAULT);
	}
	root[n_root - 1] = (cfg_opt_t)CFG_END();
	return cfg_init(root, CFGF_NONE); /* copies all of it */
}

/* ---- from libConfuse's tree to ours ---- */

static int read_key(struct reading *r, const struct scan *s, const struct key *key, cfg_opt_t *opt,
	struct position block_at, void *record)
{
	size_t n = cfg_opt_size(opt);
	struct value *values = calloc(n + 1, sizeof(*values));
	if (!values)
		return -ENOMEM;
	values[0].at = block_at; /* for an empty list */
	int e = 0;
	for (size_t i = 0; e >= 0 && i < n; i++)
		e = scan_unmark(s, cfg_opt_getnstr(opt, (unsigned)i), &values[i]);
	if (e >= 0)
		e = key->read(r, key, values, n, (char *)record + key->offset);
	if (e >= 0 && key->inactive)
		e = value_note_inactive(r, values[0].at, key->name, key->inactive);
	free(values);
	return e;
}

static int read_keys(struct reading *r, const struct scan *s, const struct block *block, cfg_t *cfg,
	struct position at, void *record)
{
	int e = 0;
	for (size_t i = 0; e >= 0 && i < block->n_keys; i++) {
		cfg_opt_t *opt = cfg_getopt(cfg, block->keys[i].name);
		if (opt && (cfg_opt_size(opt) > 0 || (opt->flags & CFGF_MODIFIED)))
			e = read_key(r, s, &block->keys[i], opt, at, record);
	}
	return e;
}

static char *position_text(struct position at)
{
	char *text;
	return asprintf(&text, "%s:%u", at.file, at.line) < 0 ? NULL : text;
}

/* A path keeps its case. */
static int name_route(const struct config *c, struct config_route *route, const char *title)
{
	if (strncmp(title, ROUTE_FILE, sizeof(ROUTE_FILE) - 1) != 0) {
		route->domain = name_lower(span_str(title));
		return route->domain ? 0 : -ENOMEM;
	}
	route->table = value_absolute(c, title + sizeof(ROUTE_FILE) - 1);
	if (!route->table || asprintf(&route->domain, ROUTE_FILE "%s", route->table) < 0) {
		route->domain = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* The struct that a block's keys go to; *ret_record is NULL when its title was refused. */
static int open_record(
	struct reading *r, const struct block *block, const struct value *title, void **ret_record)
{
	struct config *c = r->config;
	const char *why;

	*ret_record = NULL;
	if (block->record == RECORD_CONFIG) {
		*ret_record = c;
	} else if (block->record == RECORD_LISTENER) {
		why = verify_listener_title(c, title->text);
		if (why)
			goto refused;
		struct config_listener *l = tree_add_listener(c);
		if (!l || !(l->name = strdup(title->text)) || !(l->at = position_text(title->at)))
			return -ENOMEM;
		*ret_record = l;
	} else if (block->record == RECORD_DOMAIN) {
		why = verify_domain_title(title->text);
		if (why)
			goto refused;
		struct config_domain *d = tree_add_domain(c);
		if (!d || !(d->name = name_lower(span_str(title->text))) ||
			!(d->at = position_text(title->at)))
			return -ENOMEM;
		*ret_record = d;
	} else {
		why = verify_route_title(title->text);
		if (why)
			goto refused;
		struct config_route *route = tree_add_route(c);
		if (!route || name_route(c, route, title->text) < 0 ||
			!(route->at = position_text(title->at)))
			return -ENOMEM;
		*ret_record = route;
	}
	return 0;
refused:
	diag_error(r->diag, title->at, "%s \"%s\" %s", block->name, title->text, why);
	return 0;
}

static int read_block(
	struct reading *r, const struct scan *s, const struct block *block, cfg_t *cfg)
{
	struct value title;
	void *record;

	int e = scan_unmark(s, cfg_title(cfg), &title);
	if (e >= 0)
		e = open_record(r, block, &title, &record);
	if (e < 0 || !record)
		return e;
	e = read_keys(r, s, block, cfg, title.at, record);
	if (e >= 0 && block->inactive)
		e = value_note_inactive(r, title.at, block->name, block->inactive);
	if (e >= 0)
		e = verify_block(r, block, &title, record);
	return e;
}

static int read_tree(struct reading *r, const struct scan *s, cfg_t *cfg)
{
	struct position start = {s->files[0], 1};
	int e = read_keys(r, s, &schema_root, cfg, start, r->config);
	for (size_t i = 0; e >= 0 && i < schema_n_blocks; i++) {
		cfg_opt_t *opt = cfg_getopt(cfg, schema_blocks[i].name);
		for (unsigned k = 0; e >= 0 && k < cfg_opt_size(opt); k++)
			e = read_block(r, s, &schema_blocks[i], cfg_opt_getnsec(opt, k));
	}
	return e;
}

static int parse(struct reading *r, struct scan *s)
{
	cfg_t *cfg = declare();
	if (!cfg)
		return -ENOMEM;
	loading = s;
	cfg_set_error_function(cfg, parser_error);
	unsigned before = r->diag->count;
	int e = 0;
	if (cfg_parse_buf(cfg, s->flat.ptr) != CFG_SUCCESS) {
		if (r->diag->count == before)
			diag_error(r->diag, (struct position){s->files[0], 0},
				"cannot be parsed: correct the syntax");
		e = -EINVAL;
	} else {
		e = read_tree(r, s, cfg);
	}
	cfg_free(cfg);
	loading = NULL;
	return e;
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static int load(const char *path, struct diag *diag, struct config *c)
{
	struct reading r = {.config = c, .diag = diag};
	struct scan s = {.n_files = 0};

	int e = scan_file(&s, path, c->folder, diag);
	if (e >= 0)
		e = parse(&r, &s);
	if (e >= 0)
		e = verify_whole(&r, (struct position){s.files[0], 0});
	if (e >= 0)
		e = tree_finish(c);
	scan_done(&s);
	if (e >= 0 && diag->count > 0)
		e = -EINVAL;
	return e;
}

int config_load(const char *path, struct config **ret_config, struct buf *errors)
{
	struct diag diag = {.errors = errors};
	CLEANUP(freep) char *folder = folder_of(path);
	CLEANUP(config_freep) struct config *c = folder ? tree_new(folder) : NULL;

	if (!c)
		return -ENOMEM;
	const char *slash = strrchr(path, '/');
	c->path = value_absolute(c, slash ? slash + 1 : path);
	if (!c->path)
		return -ENOMEM;
	if (strpbrk(c->folder, "{}")) {
		diag_error(&diag, (struct position){path, 0},
			"braces have a meaning in paths, and the folder's name has one: move the "
			"configuration to another folder");
		return -EINVAL;
	}
	int e = load(path, &diag, c);
	if (e < 0)
		return e;
	*ret_config = TAKE(c);
	return 0;
}
