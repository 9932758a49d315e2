/* Reading borrowed octets: comparisons, trimming, and the three kinds of numbers that people
 * write in configuration files and peers write in parameters (counts, octets, durations).
 *
 * Nothing here depends on the locale: "letter" and "digit" are ASCII, as in every RFC that calls
 * these functions. Numbers are read by hand, not with strtoul: a span has no NUL behind it, and
 * signs, white space, hexadecimal and silent wrap-around are all errors here. */
#include "base/span.h"

static char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool span_starts_nocase(struct span a, struct span prefix)
{
	if (a.len < prefix.len)
		return false;
	for (size_t i = 0; i < prefix.len; i++)
		if (ascii_lower(a.ptr[i]) != ascii_lower(prefix.ptr[i]))
			return false;
	return true;
}

bool span_equal_nocase(struct span a, struct span b)
{
	return a.len == b.len && span_starts_nocase(a, b);
}

size_t span_index(struct span a, char c)
{
	const char *hit = a.len ? memchr(a.ptr, c, a.len) : NULL;

	return hit ? (size_t)(hit - a.ptr) : a.len;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span span_trim(struct span a)
{
	while (a.len && is_blank(a.ptr[a.len - 1]))
		a.len--;
	while (a.len && is_blank(a.ptr[0])) {
		a.ptr++;
		a.len--;
	}
	return a;
}

/* The digits at the front of *a, taken off it. */
static int take_digits(struct span *a, uint64_t max, uint64_t *ret_value)
{
	uint64_t v = 0;
	size_t i = 0;

	for (; i < a->len && a->ptr[i] >= '0' && a->ptr[i] <= '9'; i++) {
		if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
			__builtin_add_overflow(v, (uint64_t)(a->ptr[i] - '0'), &v) || v > max)
			return -ERANGE;
	}
	if (i == 0)
		return -EINVAL;
	*a = span_from(*a, i);
	*ret_value = v;
	return 0;
}

int span_to_u64(struct span a, uint64_t max, uint64_t *ret_value)
{
	/* "12x" is no number at all, however large its digits are. */
	for (size_t i = 0; i < a.len; i++)
		if (a.ptr[i] < '0' || a.ptr[i] > '9')
			return -EINVAL;
	return take_digits(&a, max, ret_value);
}

int span_to_octets(struct span a, uint64_t *ret_octets)
{
	static const char suffixes[] = "kmgt"; /* each is 1024 times the one before */
	uint64_t v;
	unsigned shift = 0;

	int r = take_digits(&a, UINT64_MAX, &v);
	if (r < 0)
		return r;
	if (a.len > 1)
		return -EINVAL;
	if (a.len == 1) {
		const char *hit = memchr(suffixes, ascii_lower(a.ptr[0]), sizeof(suffixes) - 1);
		if (!hit)
			return -EINVAL;
		shift = 10 * (unsigned)(hit - suffixes + 1);
	}
	if (v > UINT64_MAX >> shift)
		return -ERANGE;
	*ret_octets = v << shift;
	return 0;
}

static const struct duration_unit {
	struct span name;
	uint64_t usec;
} duration_units[] = {
	/* Longest first: the order in which a sum has to name them. */
	{SPAN_LIT("w"), 7 * 24 * 3600 * USEC_PER_SEC},
	{SPAN_LIT("d"), 24 * 3600 * USEC_PER_SEC},
	{SPAN_LIT("h"), 3600 * USEC_PER_SEC},
	{SPAN_LIT("m"), 60 * USEC_PER_SEC},
	{SPAN_LIT("s"), USEC_PER_SEC},
	{SPAN_LIT("ms"), USEC_PER_MSEC},
};

/* The unit at the front of *a, taken off it: its index, or -EINVAL. */
static int take_unit(struct span *a)
{
	size_t n = 0;

	while (n < a->len && (a->ptr[n] < '0' || a->ptr[n] > '9'))
		n++;
	for (size_t i = 0; i < ARRAY_LEN(duration_units); i++) {
		if (span_equal_nocase(span_head(*a, n), duration_units[i].name)) {
			*a = span_from(*a, n);
			return (int)i;
		}
	}
	return -EINVAL;
}

int span_to_usec(struct span a, uint64_t *ret_usec)
{
	uint64_t sum = 0;
	int last = -1;

	do {
		uint64_t v;
		int r = take_digits(&a, UINT64_MAX, &v);
		if (r < 0)
			return r;
		int unit = 4; /* a bare number counts seconds, but only when it stands alone */
		if (a.len || last >= 0)
			unit = take_unit(&a);
		/* "30m1h" or "5m5m" is more likely a slip than a wish. */
		if (unit <= last)
			return -EINVAL;
		last = unit;
		if (__builtin_mul_overflow(v, duration_units[unit].usec, &v) ||
			__builtin_add_overflow(sum, v, &sum) || sum == USEC_INFINITY)
			return -ERANGE;
	} while (a.len);
	*ret_usec = sum;
	return 0;
}
