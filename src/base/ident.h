/* A message id: 64 bits, (segment sequence << 24 | counter), unique for the life of a spool.
 * Text form: Crockford base32, upper case, no leading zeros, 1 to 13 characters; parsing takes
 * lower case too. It stands in the 250, in Received, in every log line and in queue commands. */
#pragma once
#include "base/span.h"
#define IDENT_TEXT_MAX 14 /* with the NUL */
struct ident_text {
	char s[IDENT_TEXT_MAX];
};
struct ident_text ident_format(uint64_t id);
MUST_CHECK int ident_parse(struct span text, uint64_t *ret_id); /* -EINVAL */
