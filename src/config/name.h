/* Host and domain names as the configuration spells them. Inner to src/config. */
#pragma once
#include "base/buf.h"

/* RFC 1035 2.3.4 */
#define NAME_OCTETS_MAX	 253
#define LABEL_OCTETS_MAX 63

/* NULL when the name is fine, else what is wrong with it and the remedy (static text). */
const char *name_problem(struct span name);
/* An IPv4 or IPv6 address without brackets. */
bool name_is_literal(struct span name);
/* A copy in lower case; NULL: no memory. */
char *name_lower(struct span name);
