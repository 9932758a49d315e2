/* Domains and address literals, RFC 5321 4.1.2 and 4.1.3; the domain half of path.h.
 *
 *   Domain          = sub-domain *("." sub-domain)
 *   sub-domain      = Let-dig [Ldh-str]              ; at most 63 octets, RFC 1035 2.3.4
 *   sub-domain      =/ U-label                       ; RFC 6531 3.3, when utf8
 *   Let-dig         = ALPHA / DIGIT
 *   Ldh-str         = *( ALPHA / DIGIT / "-" ) Let-dig
 *   address-literal = "[" ( IPv4-address-literal / IPv6-address-literal ) "]"
 *   IPv4-address-literal = Snum 3("."  Snum)
 *   Snum            = 1*3DIGIT                       ; 0 to 255
 *   IPv6-address-literal = "IPv6:" IPv6-addr
 *   IPv6-addr       = IPv6-full / IPv6-comp / IPv6v4-full / IPv6v4-comp
 *
 * A "::" stands for at least two groups, as RFC 5321 writes it (RFC 4291 would take one).
 * A General-address-literal needs a tag registered with IANA; none is but IPv6, so that
 * "[1111:2222:...]" is a forgotten "IPv6:" and DOMAIN_LITERAL_OTHER waits for a tag to come.
 * Of a U-label only well-formed UTF-8 is asked here: IDNA's rules belong to who looks it up. */
#include "mail/path.h"
#include "mail/octet.h"

#define LABEL_MAX	63u
#define IPV6_GROUPS	8u
#define IPV6_GROUPS_DCD 6u /* at most this many beside a "::" */

size_t utf8_non_ascii_length(struct span s, size_t i)
{
	if (i >= s.len)
		return 0;
	uint8_t lead = octet_at(s, i);
	size_t n = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
	if (lead < 0xC2 || lead > 0xF4 || s.len - i < n)
		return 0;
	uint8_t second = octet_at(s, i + 1);
	/* E0, F0: overlong below; ED: surrogates above; F4: beyond U+10FFFF above. */
	uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
	uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
	if (second < low || second > high)
		return 0;
	for (size_t k = 2; k < n; k++)
		if ((octet_at(s, i + k) & 0xC0) != 0x80)
			return 0;
	return n;
}

/* One sub-domain at s[from]: its octets, 0 when there is none or it is not one. */
static size_t label_length(struct span s, size_t from, bool utf8)
{
	size_t i = from;
	bool hyphen_last = true; /* a label may neither begin nor end with a hyphen */
	while (i < s.len) {
		uint8_t c = octet_at(s, i);
		size_t n = is_let_dig(c) ? 1 : utf8 && c >= 0x80 ? utf8_non_ascii_length(s, i) : 0;
		if (n > 0)
			hyphen_last = false;
		else if (c == '-' && i > from)
			n = 1, hyphen_last = true;
		else
			break;
		i += n;
	}
	return hyphen_last || i - from > LABEL_MAX ? 0 : i - from;
}

size_t domain_length(struct span s, bool utf8)
{
	size_t i = 0;
	for (;;) {
		size_t n = label_length(s, i, utf8);
		if (n == 0)
			return 0;
		i += n;
		if (!octet_is(s, i, '.'))
			return i;
		i++;
	}
}

static bool is_ipv4(struct span s)
{
	unsigned numbers = 0;
	size_t i = 0;
	for (;;) {
		unsigned value = 0;
		size_t digits = 0;
		for (; i < s.len && is_digit(octet_at(s, i)) && digits < 3; i++, digits++)
			value = value * 10 + (unsigned)(octet_at(s, i) - '0');
		if (digits == 0 || value > 255)
			return false;
		numbers++;
		if (i == s.len)
			return numbers == 4;
		if (numbers == 4 || s.ptr[i] != '.')
			return false;
		i++;
	}
}

/* Groups and at most one "::", the last two groups possibly written as IPv4. */
static bool is_ipv6(struct span s)
{
	unsigned groups = 0;
	bool compressed = false;
	size_t i = 0;

	if (s.len >= 2 && s.ptr[0] == ':' && s.ptr[1] == ':') {
		compressed = true;
		i = 2;
	}
	while (i < s.len) {
		size_t start = i;
		while (i < s.len && is_hexdig(octet_at(s, i)))
			i++;
		if (octet_is(s, i, '.')) {
			if (!is_ipv4(span_from(s, start)))
				return false;
			groups += 2;
			break;
		}
		if (i == start || i - start > 4 || ++groups > IPV6_GROUPS)
			return false;
		if (i == s.len)
			break;
		if (s.ptr[i] != ':' || ++i == s.len)
			return false;
		if (s.ptr[i] == ':') {
			if (compressed)
				return false;
			compressed = true;
			i++;
		}
	}
	return compressed ? groups <= IPV6_GROUPS_DCD : groups == IPV6_GROUPS;
}

/* The whole span, brackets included. */
static enum domain_kind literal_kind(struct span s)
{
	if (s.len < 2 || s.ptr[0] != '[' || s.ptr[s.len - 1] != ']')
		return DOMAIN_NONE;
	struct span inner = {s.ptr + 1, s.len - 2};
	if (is_ipv4(inner))
		return DOMAIN_LITERAL_V4;
	if (span_starts_nocase(inner, SPAN_LIT("IPv6:")) && is_ipv6(span_from(inner, 5)))
		return DOMAIN_LITERAL_V6;
	return DOMAIN_NONE;
}

int domain_parse(struct span in, bool utf8, enum domain_kind *ret_kind)
{
	enum domain_kind kind = DOMAIN_NONE;

	if (in.len == 0)
		return -EINVAL;
	if (in.ptr[0] == '[')
		kind = literal_kind(in);
	else if (domain_length(in, utf8) == in.len)
		kind = DOMAIN_NAME;
	if (kind == DOMAIN_NONE)
		return -EINVAL;
	if (in.len > DOMAIN_MAX)
		return -ERANGE;
	*ret_kind = kind;
	return 0;
}
