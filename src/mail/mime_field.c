/* Content-Type and Content-Transfer-Encoding, as far as a conversion needs them.
 *
 *   content   = "Content-Type" ":" type "/" subtype *( ";" parameter )      RFC 2045 5.1
 *   parameter = attribute "=" value          value = token / quoted-string
 *   encoding  = "Content-Transfer-Encoding" ":" mechanism                   RFC 2045 6.1
 *
 * with comments and folding white space between all tokens (RFC 5322 3.2.2). Whatever cannot be
 * understood is left alone: such a part is opaque, and fails only if it would have to be encoded.
 *
 * Composite types take no encoding but 7bit, 8bit, binary (RFC 2045 6.4), so they are looked into,
 * but not what is signed or encrypted (RFC 1847 2.1, 2.2) nor message/partial and its like, which
 * must be 7bit (RFC 2046 5.2.2). */
#include "mail/mime_walk.h"
#include "mail/octet.h"

static void skip_cfws(struct span *s)
{
	unsigned depth = 0;
	size_t i = 0;

	for (; i < s->len; i++) {
		char c = s->ptr[i];
		if (c == '(')
			depth++;
		else if (depth && c == ')')
			depth--;
		else if (depth && c == '\\')
			i++;
		else if (!depth && !is_wsp((uint8_t)c) && c != '\r' && c != '\n')
			break;
	}
	*s = span_from(*s, i);
}

static bool is_token_octet(uint8_t c)
{
	return c > 32 && c < 127 && !memchr("()<>@,;:\\\"/[]?=", c, 15);
}

static struct span take_token(struct span *s)
{
	size_t n = 0;

	skip_cfws(s);
	while (n < s->len && is_token_octet(octet_at(*s, n)))
		n++;
	struct span token = span_head(*s, n);
	*s = span_from(*s, n);
	return token;
}

static bool take(struct span *s, char c)
{
	skip_cfws(s);
	if (!octet_is(*s, 0, c))
		return false;
	*s = span_from(*s, 1);
	return true;
}

/* value, unquoted, as far as it fits. False: it does not, or there is none. */
static bool take_value(struct span *s, char *into, size_t max, size_t *ret_len)
{
	size_t n = 0, i = 1;

	skip_cfws(s);
	if (!octet_is(*s, 0, '"')) {
		struct span token = take_token(s);
		if (token.len == 0 || token.len > max)
			return false;
		memcpy(into, token.ptr, token.len);
		*ret_len = token.len;
		return true;
	}
	for (; i < s->len && s->ptr[i] != '"'; i++) {
		if (s->ptr[i] == '\r' || s->ptr[i] == '\n')
			continue;
		i += s->ptr[i] == '\\' && i + 1 < s->len;
		if (n == max)
			return false;
		into[n++] = s->ptr[i];
	}
	*s = span_from(*s, i + 1);
	*ret_len = n;
	return true;
}

static void read_boundary(struct mime_entity *e, struct span rest)
{
	char skipped[256];
	size_t len;

	while (take(&rest, ';')) {
		struct span name = take_token(&rest);
		if (!take(&rest, '='))
			return;
		if (span_equal_nocase(name, SPAN_LIT("boundary"))) {
			if (take_value(&rest, e->boundary, sizeof(e->boundary), &len))
				e->boundary_len = (uint8_t)len;
			return;
		}
		if (!take_value(&rest, skipped, sizeof(skipped), &len) && take(&rest, '"'))
			return;
	}
}

static void read_type(struct mime_entity *e, struct span body)
{
	struct span type = take_token(&body);
	bool slash = take(&body, '/');
	struct span subtype = take_token(&body);

	e->has_type = true;
	if (type.len == 0 || !slash || subtype.len == 0)
		return;
	if (span_equal_nocase(type, SPAN_LIT("multipart"))) {
		e->multipart = true;
		e->protected = span_equal_nocase(subtype, SPAN_LIT("signed")) ||
			       span_equal_nocase(subtype, SPAN_LIT("encrypted"));
		e->digest = span_equal_nocase(subtype, SPAN_LIT("digest"));
		read_boundary(e, body);
	} else if (span_equal_nocase(type, SPAN_LIT("message"))) {
		e->is_message = span_equal_nocase(subtype, SPAN_LIT("rfc822")) ||
				span_equal_nocase(subtype, SPAN_LIT("global"));
		/* RFC 6532 3.7, 6533 4: those of their own that take encodings. */
		e->protected = !e->is_message && !span_starts_nocase(subtype, SPAN_LIT("global-"));
	} else {
		e->other_type = !span_equal_nocase(type, SPAN_LIT("text"));
	}
}

static void read_encoding(struct mime_entity *e, struct span body)
{
	static const struct {
		struct span name;
		enum mime_encoding encoding;
	} names[] = {
		{SPAN_LIT("7bit"), MIME_ENC_7BIT},
		{SPAN_LIT("8bit"), MIME_ENC_8BIT},
		{SPAN_LIT("binary"), MIME_ENC_BINARY},
		{SPAN_LIT("quoted-printable"), MIME_ENC_ENCODED},
		{SPAN_LIT("base64"), MIME_ENC_ENCODED},
	};
	struct span token = take_token(&body);

	e->encoding = MIME_ENC_UNKNOWN;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (span_equal_nocase(token, names[i].name))
			e->encoding = names[i].encoding;
}

void mime_field_read(struct mime_entity *e, struct span name, struct span body)
{
	if (span_equal_nocase(name, SPAN_LIT("MIME-Version")))
		e->has_version = true;
	else if (span_equal_nocase(name, SPAN_LIT("Content-Type")) && !e->has_type)
		read_type(e, body);
	else if (span_equal_nocase(name, SPAN_LIT("Content-Transfer-Encoding")) &&
		 e->encoding == MIME_ENC_NONE)
		read_encoding(e, body);
}

void mime_entity_decide(struct mime_entity *e)
{
	bool composite = e->multipart || e->is_message || (!e->has_type && e->in_digest);
	bool plain = e->encoding <= MIME_ENC_BINARY;

	if (e->protected)
		e->kind = MIME_OPAQUE;
	else if (!composite)
		e->kind = MIME_LEAF;
	else if (!plain || (e->multipart && e->boundary_len == 0))
		e->kind = MIME_OPAQUE;
	else
		e->kind = MIME_COMPOSITE;
}
