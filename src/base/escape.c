/* Escaping for logs and JSON.
 *
 * One rule decides both styles: what can be seen and stays where it is printed is kept, the rest
 * is spelled out. So a log can be read on a terminal without a stranger's octets moving the cursor
 * (C0, DEL, C1 controls), ending the line, or reordering and hiding text (the bidirectional and
 * zero-width characters). UTF-8 is checked as RFC 3629 has it: no overlong forms, no surrogates,
 * nothing above U+10FFFF. The work is one pass over the input, a piece (one character or one odd
 * octet) at a time, so that a bound on the output never cuts an escape or a character in two. */
#include "base/escape.h"

#define PIECE_MAX 6 /* \u00XX */

enum style { STYLE_JSON, STYLE_VALUE };

/* The character at the front of s: its length in octets (2 to 4) or 0 where it is not UTF-8. */
static size_t utf8_at(struct span s, uint32_t *ret_code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first = (unsigned char)s.ptr[0];
	size_t n = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;

	if (n == 0 || n > s.len)
		return 0;
	uint32_t code = first & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		if ((c & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (c & 0x3f);
	}
	if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return n;
}

/* C1 controls; marks that print nothing or turn the direction of what follows; line separators. */
static bool is_hidden(uint32_t code)
{
	return code < 0xa0 || code == 0xad || code == 0x61c || (code >= 0x200b && code <= 0x200f) ||
	       (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) ||
	       code == 0xfeff;
}

static size_t put_hex(char *out, uint32_t v, size_t digits)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < digits; i++)
		out[i] = hex[v >> (4 * (digits - 1 - i)) & 15];
	return digits;
}

static size_t escape_ascii(enum style style, unsigned char c, char *out)
{
	static const char named[] = "\"\\\n\r\t", letters[] = "\"\\nrt";
	const char *hit = memchr(named, c, sizeof(named) - 1);

	if (!hit && c >= ' ' && c < 0x7f) {
		out[0] = (char)c;
		return 1;
	}
	out[0] = '\\';
	if (hit) {
		out[1] = letters[hit - named];
		return 2;
	}
	out[1] = style == STYLE_JSON ? 'u' : 'x';
	return 2 + put_hex(out + 2, c, style == STYLE_JSON ? 4 : 2);
}

/* Takes one piece off *s and renders it; its length. */
static size_t take_piece(enum style style, struct span *s, char out[PIECE_MAX])
{
	unsigned char c = (unsigned char)s->ptr[0];
	uint32_t code = c;
	size_t taken = c < 0x80 ? 0 : utf8_at(*s, &code);
	size_t len;

	if (taken && !is_hidden(code)) {
		memcpy(out, s->ptr, taken);
		len = taken;
	} else if (taken && style == STYLE_JSON) {
		out[0] = '\\';
		out[1] = 'u';
		len = 2 + put_hex(out + 2, code, 4);
	} else {
		/* One octet; the rest of a hidden character follows in the same way. */
		taken = 1;
		len = escape_ascii(style, c, out);
	}
	*s = span_from(*s, taken);
	return len;
}

/* Octets at the front of s that stand for themselves in either style: nearly all there are. */
static size_t plain_run(struct span s)
{
	/* Printable ASCII without the quote (0x22) and the backslash (0x5c). */
	static const bool plain[256] = {
		[' ' ... '!'] = true, ['#' ... '['] = true, [']' ... '~'] = true};
	size_t n = 0;

	while (n < s.len && plain[(unsigned char)s.ptr[n]])
		n++;
	return n;
}

static bool escape(struct buf *b, enum style style, struct span s, size_t max_out)
{
	static const char cut[] = "...";
	size_t limit = max_out - (sizeof(cut) - 1), used = 0;

	while (s.len) {
		size_t run = MIN(plain_run(s), limit - used);
		buf_append(b, s.ptr, run);
		used += run;
		s = span_from(s, run);
		if (!s.len)
			break;
		char piece[PIECE_MAX];
		size_t n = take_piece(style, &s, piece);
		if (used + n > limit) {
			buf_str(b, cut);
			return false;
		}
		buf_append(b, piece, n);
		used += n;
	}
	return true;
}

bool escape_json(struct buf *b, struct span s, size_t max_out)
{
	assert(max_out >= ESCAPE_MIN_OUT);
	return escape(b, STYLE_JSON, s, max_out);
}

static bool needs_quotes(struct span s)
{
	if (s.len == 0)
		return true;
	while (s.len) {
		char piece[PIECE_MAX];
		char first = s.ptr[0];
		if (first > ' ' && first < 0x7f && first != '"' && first != '\\' && first != '=') {
			s = span_from(s, 1);
			continue;
		}
		(void)take_piece(STYLE_VALUE, &s, piece);
		if (piece[0] == '\\' || first == ' ' || first == '=')
			return true;
	}
	return false;
}

bool escape_value(struct buf *b, struct span s, size_t max_out)
{
	assert(max_out >= ESCAPE_MIN_OUT);
	/* Beyond the bound nothing is shown, so nothing there asks for quotes. */
	if (!needs_quotes(span_head(s, max_out)))
		return escape(b, STYLE_VALUE, s, max_out);
	buf_char(b, '"');
	bool whole = escape(b, STYLE_VALUE, s, max_out - 2);
	buf_char(b, '"');
	return whole;
}
