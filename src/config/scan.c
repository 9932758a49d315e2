/* From files to one flat text, in which errors can still be found.
 *
 * libConfuse reads the grammar (load.c), but on its own it would accept a block without its
 * closing brace, a key given twice, stop at the first error, and forget where a value stood. So
 * this pass walks the structure first: it opens includes itself (hence knows loops and names the
 * line that asked for a missing file), checks every key and block against the schema, and writes
 * what is sound as a flat text in which each value and block title is prefixed by its position:
 *
 *	listener "0:5:mx" { address = {"0:5:0.0.0.0:25", "1:2:[::]:25"} }
 *
 * (file 0, line 5). Positions thus travel inside of the values through libConfuse and cannot get
 * lost or out of step. Invariant: what is in the flat text passed the structural checks, so
 * libConfuse has nothing left to complain about; if it does, `lines` still tells where.
 * Recursion is by includes only, which SCAN_DEPTH_MAX bounds. */
#include "config/scan.h"
#include "config/source.h"
#include <stdlib.h>

/* What we are inside of: the whole configuration, or one block. */
struct scope {
	const struct block *block;
	struct position opened;
	struct position seen[SCHEMA_KEYS_MAX]; /* line 0: not yet */
};

static int scan_source(struct scan *s, const char *path, struct position asked,
	struct source *parent, struct scope *scope);

static void expected(struct scan *s, struct source *src, const char *what)
{
	struct buf found = BUF_INIT(512);
	token_describe(&src->x.token, &found);
	buf_char(&found, '\0');
	diag_error(s->diag, source_now(src), "%s, found %s", what, found.error ? "?" : found.ptr);
	buf_done(&found);
}

/* ---- the flat text ---- */

static int end_line(struct scan *s, struct position at)
{
	if (s->n_lines == s->cap_lines) {
		size_t cap = s->cap_lines ? s->cap_lines * 2 : 256;
		struct position *more = reallocarray(s->lines, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->lines = more;
		s->cap_lines = cap;
	}
	s->lines[s->n_lines++] = at;
	buf_char(&s->flat, '\n');
	return s->flat.error;
}

static void put_marked(struct scan *s, const struct source *src, const struct token *t)
{
	char quote = t->type == TOKEN_STRING ? t->quote : '\'';
	buf_printf(&s->flat, "%c%zu:%u:", quote, src->index, t->line);
	if (t->type == TOKEN_STRING)
		buf_put(&s->flat, t->text); /* its escapes are libConfuse's to read */
	else
		for (size_t i = 0; i < t->text.len; i++) {
			if (t->text.ptr[i] == '\\')
				buf_char(&s->flat, '\\');
			buf_char(&s->flat, t->text.ptr[i]);
		}
	buf_char(&s->flat, quote);
}

/* ---- statements ---- */

/* One value into the flat text. False: there is none. */
static bool scan_value(struct scan *s, struct source *src, const struct token *name)
{
	const struct token *t = &src->x.token;
	if (t->type == TOKEN_OPEN) {
		diag_error(s->diag, source_now(src), "'%.*s' takes one value: remove the braces",
			SPAN_FMT(name->text));
		source_skip_block(src);
		return false;
	}
	if (t->type == TOKEN_WORD && t->line != name->line) {
		diag_error(s->diag, source_position(src, name->line),
			"the value of '%.*s' is missing: write it behind '=' on the same line",
			SPAN_FMT(name->text));
		return false;
	}
	if (t->type != TOKEN_WORD && t->type != TOKEN_STRING) {
		expected(s, src, "a value must follow '='");
		return false;
	}
	put_marked(s, src, t);
	lexer_take(&src->x);
	return true;
}

/* The values between braces into the flat text. False: an error was said. */
static bool scan_list(struct scan *s, struct source *src, const struct token *name)
{
	const struct token *t = &src->x.token;
	struct position opened = source_now(src);
	bool sound = true, comma = true, first = true;

	for (lexer_take(&src->x); t->type != TOKEN_CLOSE; lexer_take(&src->x)) {
		if (t->type == TOKEN_COMMA) {
			if (comma)
				expected(s, src, "a list needs a value here");
			sound = sound && !comma;
			comma = true;
		} else if (t->type == TOKEN_WORD || t->type == TOKEN_STRING) {
			if (!comma)
				expected(s, src, "a ',' must stand between the values of a list");
			sound = sound && comma;
			if (!first)
				buf_char(&s->flat, ',');
			put_marked(s, src, t);
			comma = first = false;
		} else {
			diag_error(s->diag, opened,
				"the list of '%.*s' that opens here is not closed: add '}'",
				SPAN_FMT(name->text));
			/* Most likely what follows belongs to the block around. */
			while (t->type != TOKEN_CLOSE && t->type != TOKEN_END)
				lexer_take(&src->x);
			return false;
		}
	}
	lexer_take(&src->x);
	return sound;
}

static int scan_assignment(struct scan *s, struct source *src, struct scope *scope,
	const struct key *key, const struct token *name)
{
	struct position at = source_position(src, name->line);
	struct position *seen = &scope->seen[key - scope->block->keys];
	enum token_type op = src->x.token.type;

	if (op != TOKEN_ASSIGN && !(op == TOKEN_APPEND && key->list)) {
		expected(s, src, "'=' must follow the key");
		source_skip_statement(src, name->line);
		return 0;
	}
	lexer_take(&src->x);
	if (op == TOKEN_ASSIGN && seen->line > 0)
		diag_error(s->diag, at, "'%s' was given before, at %s:%u: %s", key->name,
			seen->file, seen->line,
			key->list ? "join the lists, or add to the first by +="
				  : "remove one of the two");
	if (seen->line == 0)
		*seen = at;
	size_t before = s->flat.len;
	buf_printf(&s->flat, "%s %s ", key->name, op == TOKEN_APPEND ? "+=" : "=");
	if (key->list)
		buf_char(&s->flat, '{');
	bool sound = key->list && src->x.token.type == TOKEN_OPEN ? scan_list(s, src, name)
								  : scan_value(s, src, name);
	if (key->list)
		buf_char(&s->flat, '}');
	if (s->flat.error)
		return s->flat.error;
	if (sound)
		return end_line(s, at);
	s->flat.len = before;
	return 0;
}

static int scan_statements(struct scan *s, struct source *src, struct scope *scope, bool inner);

/* The title, then the brace; writes the head of the block. False: an error was said. */
static bool scan_block_head(
	struct scan *s, struct source *src, const struct block *block, const struct token *name)
{
	const struct token *t = &src->x.token;
	bool titled = block->record != RECORD_CONFIG;
	struct token title = {.type = TOKEN_STRING, .quote = '"', .line = name->line};

	bool given = t->type == TOKEN_STRING || (t->type == TOKEN_WORD && t->line == name->line);
	if (given != titled) {
		diag_error(s->diag, source_position(src, name->line),
			titled ? "the block '%s' needs a title: write %s \"NAME\" { ... }"
			       : "the block '%s' takes no title: write %s { ... }",
			block->name, block->name);
		source_skip_statement(src, name->line);
		return false;
	}
	if (given)
		title = lexer_take(&src->x);
	if (t->type != TOKEN_OPEN) {
		expected(s, src, "'{' must open the block");
		source_skip_statement(src, name->line);
		return false;
	}
	/* A position is always the title, so that libConfuse never merges two blocks. */
	title.line = name->line;
	buf_printf(&s->flat, "%s ", block->name);
	put_marked(s, src, &title);
	buf_str(&s->flat, " {");
	return true;
}

static int scan_block(
	struct scan *s, struct source *src, const struct block *block, const struct token *name)
{
	struct scope scope = {.block = block, .opened = source_position(src, name->line)};
	struct position *seen = &s->blocks_seen[block - schema_blocks];

	if (!scan_block_head(s, src, block, name))
		return 0;
	if (block->record == RECORD_CONFIG && seen->line > 0)
		diag_error(s->diag, scope.opened,
			"the block '%s' was given before, at %s:%u: join the two", block->name,
			seen->file, seen->line);
	if (seen->line == 0)
		*seen = scope.opened;
	lexer_take(&src->x);
	int r = end_line(s, scope.opened);
	if (r < 0)
		return r;
	r = scan_statements(s, src, &scope, true);
	if (r < 0)
		return r;
	buf_char(&s->flat, '}');
	return end_line(s, scope.opened);
}

static int scan_include(
	struct scan *s, struct source *src, struct scope *scope, const struct token *name)
{
	static const enum token_type shape[] = {TOKEN_LEFT, TOKEN_STRING, TOKEN_RIGHT};
	struct span file = SPAN_NULL;

	for (size_t i = 0; i < ARRAY_LEN(shape); i++) {
		if (src->x.token.type != shape[i]) {
			expected(s, src, "write include(\"FILE\")");
			source_skip_statement(src, name->line);
			return 0;
		}
		struct token t = lexer_take(&src->x);
		if (t.type == TOKEN_STRING)
			file = t.text;
	}
	struct position at = source_position(src, name->line);
	if (file.len == 0 || memchr(file.ptr, '\\', file.len) || memchr(file.ptr, '$', file.len)) {
		diag_error(s->diag, at, "include needs a plain file name: write include(\"FILE\")");
		return 0;
	}
	struct buf path = BUF_INIT(8192);
	if (file.ptr[0] != '/')
		buf_printf(&path, "%s/", s->folder);
	buf_put(&path, file);
	buf_char(&path, '\0');
	int r = path.error ? path.error : scan_source(s, path.ptr, at, src, scope);
	buf_done(&path);
	return r == -ENOMEM ? r : 0; /* all else was said, with the line that asked */
}

static void unknown(
	struct scan *s, struct source *src, const struct scope *scope, const struct token *name)
{
	struct buf word = BUF_INIT(512), remedy = BUF_INIT(4096);
	buf_escaped(&word, name->text, 40);
	buf_char(&word, '\0');
	schema_suggest(scope->block, name->text, &remedy);
	buf_char(&remedy, '\0');
	diag_error(s->diag, source_position(src, name->line), "unknown key '%s'%s%s: %s",
		word.error ? "?" : word.ptr, scope->block == &schema_root ? "" : " in block ",
		scope->block->name, remedy.error ? "see postrider.conf(5)" : remedy.ptr);
	buf_done(&word);
	buf_done(&remedy);
	source_skip_statement(src, name->line);
}

/* One statement. -ECANCELED: a } is missing before it; it is left to the blocks around. */
static int scan_statement(struct scan *s, struct source *src, struct scope *scope, bool inner)
{
	struct token name = src->x.token;
	const struct key *key = schema_key(scope->block, name.text);
	const struct block *block = schema_block(name.text);

	/* A block inside of a block: its word may also be a key there, as in domain { users }. */
	if (block && !key && scope->block != &schema_root) {
		diag_error(s->diag, source_now(src),
			"the block '%s' cannot stand inside of '%s', opened at %s:%u: add the "
			"missing '}' before it",
			block->name, scope->block->name, scope->opened.file, scope->opened.line);
		if (inner) {
			src->closed_early++;
			return -ECANCELED;
		}
	}
	lexer_take(&src->x);
	if (span_equal(name.text, SPAN_LIT("include")))
		return scan_include(s, src, scope, &name);
	/* tls is a block outside of blocks and a key inside of some. */
	if (block && scope->block == &schema_root)
		return scan_block(s, src, block, &name);
	if (key)
		return scan_assignment(s, src, scope, key, &name);
	if (block)
		source_skip_statement(src, name.line);
	else
		unknown(s, src, scope, &name);
	return 0;
}

/* Up to the } of the block (inner: it was opened in this very file) or the end of the file. */
static int scan_statements(struct scan *s, struct source *src, struct scope *scope, bool inner)
{
	const struct token *t = &src->x.token;
	for (;;) {
		int r = 0;
		if (t->type == TOKEN_END) {
			if (inner)
				diag_error(s->diag, scope->opened,
					"the block '%s' that opens here is not closed: add '}'",
					scope->block->name);
			return 0;
		}
		if (t->type == TOKEN_WORD) {
			r = scan_statement(s, src, scope, inner);
		} else if (t->type == TOKEN_CLOSE) {
			struct position at = source_now(src);
			lexer_take(&src->x);
			if (inner)
				return 0;
			if (src->closed_early > 0)
				src->closed_early--;
			else
				diag_error(s->diag, at, "'}' closes nothing: remove it");
		} else {
			expected(s, src, "a key or a block must stand here");
			if (t->type == TOKEN_OPEN)
				source_skip_block(src);
			else
				lexer_take(&src->x);
		}
		if (r < 0)
			return r == -ECANCELED ? 0 : r;
	}
}

/* ---- files ---- */

static int register_file(struct scan *s, const char *path, size_t *ret_index)
{
	char **more = reallocarray(s->files, s->n_files + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	s->files = more;
	s->files[s->n_files] = strdup(path);
	if (!s->files[s->n_files])
		return -ENOMEM;
	*ret_index = s->n_files++;
	return 0;
}

/* Whether one more file may be read. Said, if not. */
static int check_bounds(struct scan *s, const struct source *src, struct position at)
{
	if (source_is_open(src->parent, src)) {
		diag_error(s->diag, at, "the file includes itself (%s): remove this include",
			src->x.file);
		return -ELOOP;
	}
	if (src->depth > SCAN_DEPTH_MAX || s->n_files > SCAN_FILES_MAX ||
		s->octets > SCAN_TOTAL_OCTETS_MAX) {
		diag_error(s->diag, at,
			"too much is included (at most %d files, %d deep, %d MiB): include less",
			SCAN_FILES_MAX, SCAN_DEPTH_MAX, SCAN_TOTAL_OCTETS_MAX >> 20);
		return -E2BIG;
	}
	return 0;
}

static int scan_source(struct scan *s, const char *path, struct position asked,
	struct source *parent, struct scope *scope)
{
	struct source src = {.parent = parent, .depth = parent ? parent->depth + 1 : 0};
	struct buf text = BUF_INIT(SCAN_FILE_OCTETS_MAX + 1);

	int r = register_file(s, path, &src.index);
	if (r < 0)
		return r;
	src.x.file = s->files[src.index];
	r = source_read(&src, asked, &text, s->diag);
	s->octets += text.len;
	if (r >= 0)
		r = check_bounds(s, &src, asked);
	if (r >= 0) {
		lexer_init(&src.x, buf_span(&text), src.x.file, s->diag);
		r = scan_statements(s, &src, scope, false);
	}
	buf_done(&text);
	return r;
}

int scan_file(struct scan *s, const char *path, const char *folder, struct diag *diag)
{
	struct scope scope = {.block = &schema_root};

	*s = (struct scan){.folder = folder, .diag = diag};
	s->flat = BUF_INIT(4 * (size_t)SCAN_TOTAL_OCTETS_MAX);
	s->blocks_seen = calloc(schema_n_blocks, sizeof(*s->blocks_seen));
	if (!s->blocks_seen)
		return -ENOMEM;
	int r = scan_source(s, path, (struct position){path, 0}, NULL, &scope);
	if (r < 0)
		return r;
	buf_char(&s->flat, '\0');
	return s->flat.error;
}

void scan_done(struct scan *s)
{
	for (size_t i = 0; i < s->n_files; i++)
		free(s->files[i]);
	free(s->files);
	free(s->blocks_seen);
	free(s->lines);
	buf_done(&s->flat);
}

int scan_unmark(const struct scan *s, const char *marked, struct value *ret_value)
{
	struct span m = span_str(marked);
	uint64_t file, line;

	size_t colon = span_index(m, ':');
	if (colon == m.len || span_to_u64(span_head(m, colon), UINT32_MAX, &file) < 0)
		return -EINVAL;
	m = span_from(m, colon + 1);
	colon = span_index(m, ':');
	if (colon == m.len || span_to_u64(span_head(m, colon), UINT32_MAX, &line) < 0 ||
		file >= s->n_files)
		return -EINVAL;
	*ret_value = (struct value){m.ptr + colon + 1, {s->files[file], (unsigned)line}};
	return 0;
}
