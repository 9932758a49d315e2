/* Private to this room: the octet classes that the grammars share (RFC 5234 B.1, RFC 5322 3.2.3,
 * RFC 5321 4.1.2, RFC 3629). Locale plays no part: <ctype.h> is not used. */
#pragma once
#include "base/span.h"

static inline uint8_t octet_at(struct span s, size_t i)
{
	return (uint8_t)s.ptr[i];
}
/* Does s have c at index i? False beyond its end. */
static inline bool octet_is(struct span s, size_t i, char c)
{
	return i < s.len && s.ptr[i] == c;
}
static inline bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}
static inline bool is_alpha(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static inline bool is_let_dig(uint8_t c)
{
	return is_alpha(c) || is_digit(c);
}
static inline bool is_hexdig(uint8_t c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
static inline bool is_wsp(uint8_t c)
{
	return c == ' ' || c == '\t';
}
static inline bool is_control(uint8_t c)
{
	return c < 32 || c == 127;
}
static inline char to_lower(uint8_t c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}
/* RFC 5322 3.2.3 atext, ASCII part. */
static inline bool is_atext(uint8_t c)
{
	return is_let_dig(c) || (c > 32 && c < 127 && memchr("!#$%&'*+-/=?^_`{|}~", c, 19) != NULL);
}
/* RFC 3629 4, UTF8-2 to UTF8-4 at s[i]: octets of one well-formed non-ASCII character, else 0
 * (overlong forms, surrogates and values beyond U+10FFFF are not well-formed). */
size_t utf8_non_ascii_length(struct span s, size_t i);
/* Octets of a Domain (RFC 5321 4.1.2, labels of at most 63 octets) at the start of s, else 0. */
size_t domain_length(struct span s, bool utf8);
