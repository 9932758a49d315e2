/* Message ids as people see them: Crockford's base32, whose alphabet leaves out I, L, O and U so
 * that an id read over the telephone or from a log stays itself.
 *
 * Formatting and parsing are inverse for every 64-bit value. Parsing is lenient about case only;
 * a letter outside the alphabet is an error, because a command that acts on mail must not guess. */
#include "base/ident.h"

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

struct ident_text ident_format(uint64_t id)
{
	struct ident_text t = {{0}};
	size_t digits = 1;

	while (digits < IDENT_TEXT_MAX - 1 && id >> (5 * digits))
		digits++;
	for (size_t i = digits; i > 0; i--) {
		t.s[i - 1] = alphabet[id & 31];
		id >>= 5;
	}
	return t;
}

static int digit_value(char c)
{
	if (c >= 'a' && c <= 'z')
		c = (char)(c - ('a' - 'A'));
	const char *hit = memchr(alphabet, c, sizeof(alphabet) - 1);
	return hit ? (int)(hit - alphabet) : -EINVAL;
}

int ident_parse(struct span text, uint64_t *ret_id)
{
	uint64_t id = 0;

	if (text.len == 0 || text.len >= IDENT_TEXT_MAX)
		return -EINVAL;
	for (size_t i = 0; i < text.len; i++) {
		int v = digit_value(text.ptr[i]);
		if (v < 0)
			return v;
		/* 13 characters carry 65 bits: the first may use only four of its five. */
		if (id >> 59)
			return -EINVAL;
		id = id << 5 | (uint64_t)v;
	}
	*ret_id = id;
	return 0;
}
