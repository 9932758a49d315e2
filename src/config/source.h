/* One configuration file while it is being read. Inner to src/config. */
#pragma once
#include "config/lex.h"

struct source {
	struct lexer x;
	size_t index;	       /* in scan.files */
	struct source *parent; /* the file that includes this one, or NULL */
	unsigned depth;
	dev_t dev;
	ino_t ino;
	unsigned closed_early; /* blocks that an error closed: as many } are left over */
};

struct position source_position(const struct source *src, unsigned line);
struct position source_now(const struct source *src); /* of the token looked at */

/* Reads the file src->x.file whole into text; dev and ino are set. What is wrong goes to the diag,
 * at the place that asked for the file. */
MUST_CHECK int source_read(
	struct source *src, struct position asked, struct buf *text, struct diag *diag);
/* Whether src is the same file as `from` or one that includes it. */
bool source_is_open(const struct source *from, const struct source *src);

/* Past the block whose { is looked at; nothing if it is none. */
void source_skip_block(struct source *src);
/* Past the rest of a statement whose name stood on `line` and is taken already. */
void source_skip_statement(struct source *src, unsigned line);
