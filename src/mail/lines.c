/* Each octet is compared with CR and the one behind it with LF: the two answers must be alike all
 * the way. Done for a vector of octets at once, in the compilers' portable form of it: a search
 * from line end to line end costs ten times as much. */
#include "mail/lines.h"

#define LANES 16u

typedef signed char lanes __attribute__((vector_size(LANES)));

static lanes load(const char *p)
{
	lanes v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static bool any(lanes v)
{
	uint64_t w[LANES / sizeof(uint64_t)];

	memcpy(w, &v, sizeof(w));
	return (w[0] | w[1]) != 0;
}

bool lines_are_whole(struct span octets)
{
	const lanes cr = (lanes){0} + '\r', lf = (lanes){0} + '\n';
	const char *p = octets.ptr;
	size_t i = 0, pairs = octets.len ? octets.len - 1 : 0;
	lanes bad = {0};

	if (octets.len == 0)
		return true;
	if (p[0] == '\n' || p[pairs] == '\r')
		return false;
	for (; pairs - i >= 2 * LANES; i += 2 * LANES)
		bad |= ((load(p + i) == cr) ^ (load(p + i + 1) == lf)) |
		       ((load(p + i + LANES) == cr) ^ (load(p + i + LANES + 1) == lf));
	if (any(bad))
		return false;
	for (; i < pairs; i++)
		if ((p[i] == '\r') != (p[i + 1] == '\n'))
			return false;
	return true;
}
