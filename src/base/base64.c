/* Four letters for three octets, by table-free arithmetic: the time that a letter takes does not
 * depend on which letter it is, because passwords pass through here. */
#include "base/base64.h"

#define INVALID 0xffu

/* 0xff where low <= c <= high, else 0. */
static unsigned in_range(unsigned c, unsigned low, unsigned high)
{
	return (((low - 1 - c) & (c - 1 - high)) >> 8) & 0xffu;
}

static char letter(unsigned v)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned c = 0;

	/* Every entry is read: no address depends on the value. */
	for (unsigned i = 0; i < 64; i++)
		c |= in_range(v, i, i) & (unsigned char)alphabet[i];
	return (char)c;
}

static unsigned value(char letter_read)
{
	unsigned c = (unsigned char)letter_read, v = 0, known = 0, m;

	m = in_range(c, 'A', 'Z');
	v |= m & (c - 'A');
	known |= m;
	m = in_range(c, 'a', 'z');
	v |= m & (c - 'a' + 26);
	known |= m;
	m = in_range(c, '0', '9');
	v |= m & (c - '0' + 52);
	known |= m;
	m = in_range(c, '+', '+');
	v |= m & 62;
	known |= m;
	m = in_range(c, '/', '/');
	v |= m & 63;
	known |= m;
	return known ? v & 0xffu : INVALID;
}

void base64_encode(struct span octets, struct buf *out)
{
	const unsigned char *p = (const unsigned char *)octets.ptr;

	for (size_t i = 0; i < octets.len; i += 3) {
		size_t n = octets.len - i;
		unsigned v = (unsigned)p[i] << 16;
		v |= n > 1 ? (unsigned)p[i + 1] << 8 : 0;
		v |= n > 2 ? p[i + 2] : 0;
		char four[4] = {letter(v >> 18 & 63), letter(v >> 12 & 63),
			n > 1 ? letter(v >> 6 & 63) : '=', n > 2 ? letter(v & 63) : '='};
		buf_append(out, four, sizeof(four));
	}
}

int base64_decode(struct span text, struct buf *out)
{
	size_t padding = 0;

	if (text.len % 4)
		return -EBADMSG;
	while (padding < 2 && padding < text.len && text.ptr[text.len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < text.len; i += 4) {
		size_t letters = i + 4 == text.len ? 4 - padding : 4;
		unsigned v = 0;
		for (size_t j = 0; j < 4; j++) {
			unsigned six = j < letters ? value(text.ptr[i + j]) : 0;
			if (six == INVALID)
				return -EBADMSG;
			v = v << 6 | six;
		}
		/* 3.5: bits that no octet takes are zero. */
		if ((letters == 2 && v & 0xffff) || (letters == 3 && v & 0xff))
			return -EBADMSG;
		char three[3] = {(char)(v >> 16), (char)(v >> 8), (char)v};
		buf_append(out, three, letters - 1);
	}
	return out->error;
}
