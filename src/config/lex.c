/* Words, strings and punctuation of a configuration file, as libConfuse spells them: # and //
 * comments, C comments, "..." with backslash escapes and ${ENVIRONMENT}, '...' taken as it is.
 *
 * Why our own, in front of libConfuse's: that one miscounts the lines of C comments, takes a
 * string without its closing quote to the next quote anywhere, stops at the first error, and ends
 * the whole process when a read fails. Here a string ends on its own line (a backslash at the
 * line's end continues it), so that an error stands where the slip was made. Escapes are left to
 * libConfuse (load.c). */
#include "config/lex.h"
#include <stdlib.h>

static struct position here(const struct lexer *x)
{
	return (struct position){x->file, x->line};
}

static bool at(const struct lexer *x, char a, char b)
{
	return x->end - x->p >= 2 && x->p[0] == a && x->p[1] == b;
}

static void skip_c_comment(struct lexer *x)
{
	struct position opened = here(x);
	for (x->p += 2; x->p < x->end; x->p++) {
		if (at(x, '*', '/')) {
			x->p += 2;
			return;
		}
		if (*x->p == '\n')
			x->line++;
	}
	diag_error(x->diag, opened, "the comment that opens here has no end: add */");
}

static void skip_blank(struct lexer *x)
{
	while (x->p < x->end) {
		if (*x->p == '\n') {
			x->line++;
			x->p++;
		} else if (*x->p == ' ' || *x->p == '\t' || *x->p == '\r') {
			x->p++;
		} else if (*x->p == '#' || at(x, '/', '/')) {
			while (x->p < x->end && *x->p != '\n')
				x->p++;
		} else if (at(x, '/', '*')) {
			skip_c_comment(x);
		} else if (*x->p == ';') {
			diag_error(x->diag, here(x), "';' has no meaning here: remove it");
			x->p++;
		} else {
			return;
		}
	}
}

/* The reference that starts at x->p, up to its }. libConfuse would look for that } beyond the
 * string's end, and take a variable that is not set for nothing: both are errors here. */
static bool lex_reference(struct lexer *x)
{
	size_t len = 2;
	while (x->p + len < x->end && !strchr("}\"\\\n", x->p[len]))
		len++;
	struct span name = span_make(x->p + 2, len - 2);
	if (x->p + len == x->end || x->p[len] != '}') {
		diag_error(x->diag, here(x), "${ is not closed: add }, or write \\${ for itself");
		return false;
	}
	x->p += len;
	if (memmem(name.ptr, name.len, ":-", 2))
		return true; /* it has a default */
	char *copy = strndup(name.ptr, name.len);
	if (copy && !getenv(copy))
		diag_error(x->diag, here(x),
			"the environment variable '%s' is not set: set it, give a default by "
			"${NAME:-default}, or write '...' instead of \"...\"",
			copy);
	free(copy);
	return true;
}

static unsigned digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - 48u;
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 87u : 99u;
}

/* The escape whose backslash x->p looks at; x->p moves to its second octet. Numbers must be whole
 * octets and not NUL, which would end the value in secret. */
static bool lex_escape(struct lexer *x, char quote)
{
	char c = *++x->p;
	if (c == '\n')
		x->line++;
	if (quote != '"' || (c != 'x' && digit((unsigned char)c) > 9))
		return true;
	unsigned base = c == 'x' ? 16 : 8, most = c == 'x' ? 2 : 3, value = 0, n = 0;
	for (const char *p = x->p + (c == 'x'); p < x->end && n < most; p++, n++) {
		unsigned d = digit((unsigned char)*p);
		if (d >= base)
			break;
		value = value * base + d;
	}
	bool more = base == 8 && x->p + n < x->end && digit((unsigned char)x->p[n]) <= 9;
	if (n > 0 && value > 0 && value < 256 && !more)
		return true;
	diag_error(x->diag, here(x),
		"a number after \\ is no octet: write \\377, \\xff, or \\\\ for a backslash");
	return false;
}

/* What has an error is cut off, so that the token's text is always whole escapes and references:
 * nothing in it can reach beyond the quotes that scan.c puts around it. */
static void lex_string(struct lexer *x)
{
	char quote = *x->p++;
	const char *from = x->p, *cut = NULL;

	x->token.type = TOKEN_STRING;
	x->token.quote = quote;
	for (; x->p < x->end && *x->p != quote && *x->p != '\n'; x->p++) {
		const char *start = x->p;
		bool sound = true;
		if (*x->p == '\\')
			sound = x->p + 1 < x->end && lex_escape(x, quote);
		else if (quote == '"' && at(x, '$', '{'))
			sound = lex_reference(x);
		if (!sound && !cut)
			cut = start;
	}
	x->token.text = span_make(from, (size_t)((cut ? cut : x->p) - from));
	if (x->p < x->end && *x->p == quote)
		x->p++;
	else
		diag_error(x->diag, here(x), "the string is not closed on its line: add %c", quote);
}

static bool ends_word(const struct lexer *x)
{
	unsigned char c = (unsigned char)*x->p;
	return c <= ' ' || c == 0x7f || strchr("\"'{}(),;#=", c) || at(x, '+', '=');
}

static void lex_word(struct lexer *x)
{
	const char *from = x->p;
	while (x->p < x->end && !ends_word(x))
		x->p++;
	x->token.type = TOKEN_WORD;
	x->token.text = span_make(from, (size_t)(x->p - from));
}

static bool lex_punctuation(struct lexer *x)
{
	static const struct {
		char c;
		enum token_type type;
	} table[] = {{'{', TOKEN_OPEN}, {'}', TOKEN_CLOSE}, {'=', TOKEN_ASSIGN}, {',', TOKEN_COMMA},
		{'(', TOKEN_LEFT}, {')', TOKEN_RIGHT}};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (*x->p == table[i].c) {
			x->token.type = table[i].type;
			x->p++;
			return true;
		}
	if (at(x, '+', '=')) {
		x->token.type = TOKEN_APPEND;
		x->p += 2;
		return true;
	}
	return false;
}

static void lex(struct lexer *x)
{
	for (;;) {
		skip_blank(x);
		x->token = (struct token){.type = TOKEN_END, .line = x->line};
		if (x->p == x->end || lex_punctuation(x))
			return;
		if (*x->p == '"' || *x->p == '\'') {
			lex_string(x);
			return;
		}
		unsigned char c = (unsigned char)*x->p;
		if (c > ' ' && c != 0x7f) {
			lex_word(x);
			return;
		}
		diag_error(x->diag, here(x), "a control octet 0x%02x stands here: remove it", c);
		x->p++;
	}
}

void lexer_init(struct lexer *x, struct span text, const char *file, struct diag *diag)
{
	*x = (struct lexer){
		.p = text.ptr, .end = text.ptr + text.len, .file = file, .line = 1, .diag = diag};
	/* A byte order mark is what some editors leave in front. */
	if (text.len >= 3 && memcmp(text.ptr, "\xef\xbb\xbf", 3) == 0)
		x->p += 3;
	lex(x);
}

struct token lexer_take(struct lexer *x)
{
	struct token taken = x->token;
	lex(x);
	return taken;
}

void token_describe(const struct token *t, struct buf *out)
{
	static const char *const names[] = {[TOKEN_END] = "the end of the file",
		[TOKEN_OPEN] = "'{'",
		[TOKEN_CLOSE] = "'}'",
		[TOKEN_ASSIGN] = "'='",
		[TOKEN_APPEND] = "'+='",
		[TOKEN_COMMA] = "','",
		[TOKEN_LEFT] = "'('",
		[TOKEN_RIGHT] = "')'"};

	if (t->type != TOKEN_WORD && t->type != TOKEN_STRING) {
		buf_str(out, names[t->type]);
		return;
	}
	buf_str(out, t->type == TOKEN_WORD ? "the word '" : "the string '");
	buf_escaped(out, t->text, 40);
	buf_char(out, '\'');
}
