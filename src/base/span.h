/* struct span borrows octets: it owns nothing and NUL is data. Valid as long as what it points
 * into; never hold one across a suspension unless you own the storage. */
#pragma once
#include "base/base.h"
#include <string.h>

struct span {
	const char *ptr;
	size_t len;
};

#define SPAN_LIT(s) ((struct span){(s), sizeof(s) - 1})
#define SPAN_NULL   ((struct span){NULL, 0})
/* For printf("%.*s", SPAN_FMT(s)); only for octets already known to be clean text. */
#define SPAN_FMT(s) (int)(s).len, (s).ptr

static inline struct span span_make(const void *ptr, size_t len)
{
	return (struct span){ptr, len};
}
static inline struct span span_str(const char *s)
{
	return (struct span){s, s ? strlen(s) : 0};
}
static inline bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
/* The octets from `from` (at most a.len) to the end, and the first `len` of it. */
static inline struct span span_from(struct span a, size_t from)
{
	from = from > a.len ? a.len : from;
	/* NULL + 0 is undefined in C, and an empty buf has no octets to point at. */
	return (struct span){a.ptr ? a.ptr + from : NULL, a.len - from};
}
static inline struct span span_head(struct span a, size_t len)
{
	return (struct span){a.ptr, len > a.len ? a.len : len};
}
/* ASCII case-insensitive. */
bool span_equal_nocase(struct span a, struct span b);
bool span_starts_nocase(struct span a, struct span prefix);
/* Index of octet c, or a.len. */
size_t span_index(struct span a, char c);
/* Without leading and trailing SP, HTAB, CR, LF. */
struct span span_trim(struct span a);
/* Decimal digits only, whole span, no sign. -EINVAL, -ERANGE (above max). */
MUST_CHECK int span_to_u64(struct span a, uint64_t max, uint64_t *ret_value);
/* "50M", "64K", "1G", "512": octets. -EINVAL, -ERANGE. */
MUST_CHECK int span_to_octets(struct span a, uint64_t *ret_octets);
/* "5m", "4h", "5d", "30s", "500ms", "1w", "1h30m", bare number = seconds; microseconds. */
MUST_CHECK int span_to_usec(struct span a, uint64_t *ret_usec);
