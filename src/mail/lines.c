/* Each octet is compared with CR and the one behind it with LF: the two answers must be alike all
 * the way. What else is asked of every octet is answered by the same pass. Done for a vector of
 * octets at once, in the compilers' portable form of it: a search from line end to line end costs
 * ten times as much. For the same reason the length of lines is not found by looking for each end:
 * where one lies within `enough` octets, all lines up to it are short. */
#include "mail/lines.h"

/* Built for the wider vectors of some CPUs, too, and chosen by the dynamic linker when the program
 * starts; sanitizers' hooks are not there yet by then. clang 14 gives the chosen one another name
 * than its callers ask for. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) &&                            \
	!defined(POSTRIDER_SANITIZED)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

#define LANES 32u

typedef signed char lanes __attribute__((vector_size(LANES)));

/* Macros, because a function would be made for the narrow vectors before it is inlined. */
#define LOAD(v, p) memcpy(&(v), (p), sizeof(v))
#define ANY(v)                                                                                     \
	({                                                                                         \
		uint64_t w_[LANES / sizeof(uint64_t)];                                             \
		memcpy(w_, &(v), sizeof(w_));                                                      \
		(w_[0] | w_[1] | w_[2] | w_[3]) != 0;                                              \
	})

WIDE struct lines_seen lines_look(struct span octets)
{
	const lanes cr = (lanes){0} + '\r', lf = (lanes){0} + '\n', dot = (lanes){0} + '.';
	lanes bads = {0}, dots = {0}, highs = {0};
	const char *p = octets.ptr;
	size_t n = octets.len, i = 0;
	uint8_t all = 0;

	if (n == 0)
		return (struct lines_seen){.whole = true};
	bool bad = p[0] == '\n', dotted = n > 1 && p[0] == '\n' && p[1] == '.';
	/* The two octets behind a vector are looked at, too. */
	for (; n - i >= LANES + 2; i += LANES) {
		lanes here, next, behind;
		LOAD(here, p + i);
		LOAD(next, p + i + 1);
		LOAD(behind, p + i + 2);
		lanes ends = next == lf;
		bads |= (here == cr) ^ ends;
		dots |= ends & (behind == dot);
		highs |= here;
	}
	for (; i < n; i++) {
		char next = i + 1 < n ? p[i + 1] : '\0';
		bad |= (p[i] == '\r') != (next == '\n');
		dotted |= next == '\n' && i + 2 < n && p[i + 2] == '.';
		all |= (uint8_t)p[i];
	}
	highs = highs < (lanes){0};
	return (struct lines_seen){
		.whole = !bad && !ANY(bads),
		.dotted = dotted || ANY(dots),
		.high = (all & 0x80u) != 0 || ANY(highs),
	};
}

WIDE size_t lines_until_dot(struct span in, size_t at)
{
	const lanes lf = (lanes){0} + '\n', dot = (lanes){0} + '.';
	const char *p = in.ptr;

	for (; in.len - at > LANES; at += LANES) {
		lanes here, next;
		LOAD(here, p + at);
		LOAD(next, p + at + 1);
		lanes found = (here == lf) & (next == dot);
		if (ANY(found))
			break;
	}
	for (; at + 1 < in.len; at++)
		if (p[at] == '\n' && p[at + 1] == '.')
			return at + 1;
	return in.len;
}

static uint32_t grown(uint32_t line, size_t octets)
{
	return line + (uint32_t)MIN(octets, (size_t)(UINT32_MAX - line));
}

uint32_t lines_measure(struct span in, uint32_t enough, uint32_t *line)
{
	uint32_t longest = 0;
	size_t at = 0;

	for (;;) {
		/* What is short enough here is at most so long with what stands before it. */
		size_t most = MAX(enough, longest);
		size_t window = MIN(in.len - at, most > *line ? most - *line : 0);
		const char *end = window ? memrchr(in.ptr + at, '\n', window) : NULL;
		if (!end) {
			end = at < in.len ? memchr(in.ptr + at, '\n', in.len - at) : NULL;
			if (!end)
				break;
			longest = MAX(longest, grown(*line, (size_t)(end - in.ptr) - 1 - at));
		}
		*line = 0;
		at = (size_t)(end - in.ptr) + 1;
	}
	*line = grown(*line, in.len - at);
	return MAX(longest, *line);
}
