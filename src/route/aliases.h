/* An aliases file, as /etc/aliases has been written for decades: `name: target, target`, lines that
 * begin with white space go on, `#` comments, quoted local parts. Targets are local names (of the
 * same domain) or whole addresses. Commands (`|`), files (`/`) and `:include:` are refused: mail
 * never runs programs here but by `deliver`. docs/aliases.md. */
#pragma once
#include "base/buf.h"

#define ALIASES_FILE_MAX (64u << 20)

struct aliases;
struct alias {
	struct span name;     /* lower case */
	struct span *targets; /* as written, quotes kept */
	uint32_t n_targets;
};
MUST_CHECK int aliases_parse(
	struct span text, const char *name, struct aliases **ret, struct buf *errors);
/* A senders file has the same form: a user, and what it may send as; "@domain" is any address. */
MUST_CHECK int senders_parse(
	struct span text, const char *name, struct aliases **ret, struct buf *errors);
void aliases_free(struct aliases *a);
/* Every line was understood (targets that are refused on purpose do not count). */
bool aliases_complete(const struct aliases *a);
size_t aliases_count(const struct aliases *a);
/* local: the meaning of a local part; without case. */
const struct alias *aliases_find(const struct aliases *a, struct span local);
