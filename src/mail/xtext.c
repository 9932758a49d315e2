/* xtext, RFC 3461 4:
 *
 *   xtext   = *( xchar / hexchar )
 *   xchar   = %d33-42 / %d44-60 / %d62-126            ; neither "+" nor "="
 *   hexchar = "+" 2( DIGIT / "A"-"F" )                ; capitals only
 *
 * ORCPT, RFC 3461 4.2, and its type utf-8, RFC 6533 3:
 *
 *   original-recipient-address = addr-type ";" xtext
 *   addr-type          = atom
 *   utf-8-enc-addr     = utf-8-addr-xtext / utf-8-addr-unitext / utf-8-address
 *   utf-8-addr-xtext   = 1*( QCHAR / EmbeddedUnicodeChar )
 *   utf-8-addr-unitext = 1*( QUCHAR / EmbeddedUnicodeChar )     ; with SMTPUTF8 only
 *   QCHAR              = %x21-2a / %x2c-3c / %x3e-5b / %x5d-7e
 *   QUCHAR             = QCHAR / UTF8-non-ascii
 *   EmbeddedUnicodeChar = "\x{" HEXPOINT "}"
 *   HEXPOINT           = "10" / "20" / "2B" / "3D" / "7F" / "5C" / ...  ; no leading zero, no
 *                                                     ; surrogate, at most 10FFFF
 *
 * HEXPOINT is taken for every character that a QCHAR is not, and, more leniently, for those too.
 * Postfix writes UTF-8 addresses as xtext of type rfc822, which RFC 6533 does not foresee and which
 * can mean nothing else: taken, as type utf-8.
 * What comes out may stand in a report's field: so control octets, which would end that field, are
 * refused in an address. */
#include "mail/xtext.h"
#include "mail/octet.h"

#define HEXPOINT_DIGITS_MAX 6u

static bool is_xchar(uint8_t c)
{
	return c > 32 && c < 127 && c != '+' && c != '=';
}

/* Upper case only, as both grammars ask; -1: none. */
static int hex_value(uint8_t c)
{
	if (is_digit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int xtext_decode(struct span in, struct buf *out)
{
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = octet_at(in, i);
		if (is_xchar(c)) {
			buf_char(out, (char)c);
			continue;
		}
		if (c != '+' || in.len - i < 3)
			return -EINVAL;
		int high = hex_value(octet_at(in, i + 1)), low = hex_value(octet_at(in, i + 2));
		if (high < 0 || low < 0)
			return -EINVAL;
		buf_char(out, (char)(high * 16 + low));
		i += 2;
	}
	return out->error;
}

void xtext_encode(struct span in, struct buf *out)
{
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = octet_at(in, i);
		if (is_xchar(c))
			buf_char(out, (char)c);
		else
			buf_printf(out, "+%02X", c);
	}
}

static void put_utf8(struct buf *out, uint32_t point)
{
	if (point < 0x80) {
		buf_char(out, (char)point);
	} else if (point < 0x800) {
		buf_char(out, (char)(0xC0 | (point >> 6)));
		buf_char(out, (char)(0x80 | (point & 0x3F)));
	} else if (point < 0x10000) {
		buf_char(out, (char)(0xE0 | (point >> 12)));
		buf_char(out, (char)(0x80 | ((point >> 6) & 0x3F)));
		buf_char(out, (char)(0x80 | (point & 0x3F)));
	} else {
		buf_char(out, (char)(0xF0 | (point >> 18)));
		buf_char(out, (char)(0x80 | ((point >> 12) & 0x3F)));
		buf_char(out, (char)(0x80 | ((point >> 6) & 0x3F)));
		buf_char(out, (char)(0x80 | (point & 0x3F)));
	}
}

/* "\x{...}" at in[i]: its octets, 0 when it is none. */
static size_t embedded_char(struct span in, size_t i, uint32_t *ret_point)
{
	struct span rest = span_from(in, i);
	uint32_t point = 0;
	size_t k = 3;

	if (rest.len < 5 || memcmp(rest.ptr, "\\x{", 3) != 0)
		return 0;
	for (; k < rest.len && k - 3 <= HEXPOINT_DIGITS_MAX; k++) {
		int digit = hex_value(octet_at(rest, k));
		if (digit < 0)
			break;
		point = point * 16 + (uint32_t)digit;
	}
	size_t digits = k - 3;
	if (digits < 2 || digits > HEXPOINT_DIGITS_MAX || !octet_is(rest, k, '}'))
		return 0;
	if (octet_is(rest, 3, '0') && digits > 2)
		return 0;
	if (point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
		return 0;
	*ret_point = point;
	return k + 1;
}

int utf8_address_decode(struct span in, bool utf8, struct buf *out)
{
	size_t i = 0, n;
	uint32_t point;

	while (i < in.len) {
		uint8_t c = octet_at(in, i);
		if (c == '\\') {
			n = embedded_char(in, i, &point);
			if (n > 0)
				put_utf8(out, point);
		} else if (c >= 128) {
			n = utf8 ? utf8_non_ascii_length(in, i) : 0;
			buf_append(out, in.ptr + i, n);
		} else {
			/* utf-8-address is a Mailbox as it is: "+" and "=" may stand in it. */
			n = is_xchar(c) || c == '+' ? 1 : 0;
			buf_append(out, in.ptr + i, n);
		}
		if (n == 0)
			return -EINVAL;
		i += n;
	}
	return in.len == 0 ? -EINVAL : out->error;
}

/* One well-formed character of n octets. */
static uint32_t utf8_point(struct span in, size_t i, size_t n)
{
	uint32_t point = octet_at(in, i) & (n == 2 ? 0x1Fu : n == 3 ? 0x0Fu : 0x07u);

	for (size_t k = 1; k < n; k++)
		point = (point << 6) | (octet_at(in, i + k) & 0x3Fu);
	return point;
}

void utf8_address_encode(struct span in, struct buf *out)
{
	for (size_t i = 0; i < in.len;) {
		uint8_t c = octet_at(in, i);
		size_t n = utf8_non_ascii_length(in, i);
		if (n > 0)
			buf_printf(out, "\\x{%X}", (unsigned)utf8_point(in, i, n));
		else if (is_xchar(c) && c != '\\')
			buf_char(out, (char)c);
		else
			buf_printf(out, "\\x{%02X}", c);
		i += MAX(n, (size_t)1);
	}
}

bool text_is_utf8(struct span in)
{
	for (size_t i = 0; i < in.len;) {
		size_t n = utf8_non_ascii_length(in, i);
		if (n == 0 && (octet_at(in, i) > 127 || is_control(octet_at(in, i))))
			return false;
		i += MAX(n, (size_t)1);
	}
	return true;
}

bool text_is_printable(struct span in)
{
	for (size_t i = 0; i < in.len; i++)
		if (is_control(octet_at(in, i)) || octet_at(in, i) > 126)
			return false;
	return true;
}

static bool has_control(struct span in)
{
	for (size_t i = 0; i < in.len; i++)
		if (is_control(octet_at(in, i)))
			return true;
	return false;
}

/* Does it stand for an octet that is not ASCII? */
static bool xtext_has_high(struct span in)
{
	for (size_t i = 0; i + 1 < in.len; i++)
		if (in.ptr[i] == '+' && hex_value(octet_at(in, i + 1)) >= 8)
			return true;
	return false;
}

int orcpt_decode(struct span in, bool utf8, struct buf *out)
{
	size_t semicolon = span_index(in, ';');
	struct span type = span_head(in, semicolon), address = span_from(in, semicolon + 1);

	if (type.len == 0 || address.len == 0)
		return -EINVAL;
	for (size_t i = 0; i < type.len; i++)
		if (!is_atext(octet_at(type, i)))
			return -EINVAL;
	bool unicode = span_equal_nocase(type, SPAN_LIT("utf-8"));
	/* "rfc822;j+C3+BCrgen@..." means a UTF-8 address, whose type is another. */
	bool high = span_equal_nocase(type, SPAN_LIT("rfc822")) && xtext_has_high(address);
	if (high)
		type = SPAN_LIT("utf-8");
	size_t before = out->len + type.len + 1;
	buf_put(out, type);
	buf_char(out, ';');
	int r = unicode ? utf8_address_decode(address, utf8, out) : xtext_decode(address, out);
	if (r < 0)
		return r;
	struct span decoded = span_from(buf_span(out), before);
	if (high)
		return text_is_utf8(decoded) ? 0 : -EINVAL;
	if (unicode ? has_control(decoded) : !text_is_printable(decoded))
		return -EINVAL;
	return 0;
}
