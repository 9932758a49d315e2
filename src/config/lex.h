/* The words of one configuration file. Inner to src/config. */
#pragma once
#include "config/diag.h"

enum token_type {
	TOKEN_END,
	TOKEN_WORD,   /* bare */
	TOKEN_STRING, /* text: between the quotes, escapes unread */
	TOKEN_OPEN,   /* { */
	TOKEN_CLOSE,  /* } */
	TOKEN_ASSIGN, /* = */
	TOKEN_APPEND, /* += */
	TOKEN_COMMA,
	TOKEN_LEFT,  /* ( */
	TOKEN_RIGHT, /* ) */
};
struct token {
	enum token_type type;
	struct span text;
	char quote; /* of strings */
	unsigned line;
};
struct lexer {
	const char *p, *end;
	const char *file; /* for errors */
	unsigned line;
	struct token token; /* the one looked at */
	struct diag *diag;
};

/* Looks at the first token. text and file must outlive the lexer. */
void lexer_init(struct lexer *x, struct span text, const char *file, struct diag *diag);
/* Takes the token looked at and looks at the next. */
struct token lexer_take(struct lexer *x);
/* For errors: "'='", "the word 'x'", "the end of the file". */
void token_describe(const struct token *t, struct buf *out);
