/* RFC 8460 3:
 *
 *   tlsrpt-record    = tlsrpt-version 1*(field-delim tlsrpt-field) [field-delim]
 *   field-delim      = *WSP ";" *WSP
 *   tlsrpt-field     = tlsrpt-rua / tlsrpt-extension
 *   tlsrpt-version   = %s"v=TLSRPTv1"
 *   tlsrpt-rua       = %s"rua=" tlsrpt-uri *(*WSP "," *WSP tlsrpt-uri)
 *   tlsrpt-uri       = URI       ; of RFC 3986; "," "!" ";" are percent-encoded in it
 *   tlsrpt-extension = tlsrpt-ext-name "=" tlsrpt-ext-value
 *   tlsrpt-ext-name  = (ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / ".")
 *   tlsrpt-ext-value = 1*(%x21-3A / %x3C / %x3E-7E)
 *
 * The record is broken when it leaves this grammar or has no rua, or two; a URI of a scheme that we
 * do not know, or of a form that we do not follow (user names, IPv6 literals), is passed over: the
 * next one may serve. */
#include "tlsrpt/record.h"
#include <errno.h>

#define EXT_NAME_MAX 32u

static bool is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static struct span trim_wsp(struct span s)
{
	while (s.len && is_wsp(s.ptr[0]))
		s = span_from(s, 1);
	while (s.len && is_wsp(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

static bool starts(struct span s, struct span word)
{
	return s.len >= word.len && span_equal(span_head(s, word.len), word);
}

/* The authority: a name or an IPv4 address, and perhaps a port. */
static int parse_authority(struct span s, struct tlsrpt_uri *ret)
{
	size_t colon = span_index(s, ':');
	uint64_t port = 443;
	ret->host = span_head(s, colon);
	if (colon + 1 < s.len && span_to_u64(span_from(s, colon + 1), UINT16_MAX, &port) < 0)
		return -EINVAL;
	if (port == 0 || ret->host.len == 0 || ret->host.len > 253 || ret->host.ptr[0] == '.')
		return -EINVAL;
	for (size_t i = 0; i < ret->host.len; i++) {
		char c = ret->host.ptr[i];
		if (!is_alnum(c) && c != '-' && c != '.' && c != '_')
			return -EINVAL;
	}
	ret->port = (uint16_t)port;
	return 0;
}

int tlsrpt_uri_parse(struct span text, struct tlsrpt_uri *ret)
{
	static const struct span mailto = SPAN_LIT("mailto:"), https = SPAN_LIT("https://");
	struct tlsrpt_uri u = {.text = text};
	if (text.len > TLSRPT_URI_MAX)
		return -EINVAL;
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
			return -EINVAL;
	if (span_starts_nocase(text, mailto)) {
		u.mail = true;
		if (text.len == mailto.len)
			return -EINVAL;
	} else if (span_starts_nocase(text, https)) {
		struct span rest = span_from(text, https.len);
		size_t end = 0;
		while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?' &&
			rest.ptr[end] != '#')
			end++;
		if (parse_authority(span_head(rest, end), &u) < 0)
			return -EINVAL;
	} else {
		return -EINVAL;
	}
	*ret = u;
	return 0;
}

static void parse_rua(struct span s, struct tlsrpt_record *ret)
{
	while (s.len > 0) {
		size_t comma = span_index(s, ',');
		struct span uri = trim_wsp(span_head(s, comma));
		if (ret->n < TLSRPT_URIS_MAX && tlsrpt_uri_parse(uri, &ret->uris[ret->n]) == 0)
			ret->n++;
		s = span_from(s, comma + 1);
	}
}

static bool is_extension(struct span f)
{
	size_t equals = span_index(f, '=');
	if (equals == 0 || equals > EXT_NAME_MAX || equals + 1 >= f.len || !is_alnum(f.ptr[0]))
		return false;
	for (size_t i = 1; i < equals; i++)
		if (!is_alnum(f.ptr[i]) && f.ptr[i] != '_' && f.ptr[i] != '-' && f.ptr[i] != '.')
			return false;
	for (size_t i = equals + 1; i < f.len; i++)
		if (f.ptr[i] <= ' ' || f.ptr[i] > '~' || f.ptr[i] == '=')
			return false;
	return true;
}

int tlsrpt_record_parse(struct span txt, struct tlsrpt_record *ret)
{
	static const struct span rua = SPAN_LIT("rua=");
	struct tlsrpt_record record = {.n = 0};
	bool found = false;
	size_t end = span_index(txt, ';');
	struct span version = span_head(txt, end);
	while (version.len && is_wsp(version.ptr[version.len - 1]))
		version.len--;
	if (end == txt.len || !span_equal(version, SPAN_LIT("v=TLSRPTv1")))
		return -EINVAL;
	struct span rest = span_from(txt, end + 1);
	while (rest.len > 0) {
		end = span_index(rest, ';');
		struct span field = trim_wsp(span_head(rest, end));
		if (starts(field, rua)) {
			if (found)
				return -EINVAL;
			found = true;
			parse_rua(span_from(field, rua.len), &record);
		} else if (field.len > 0 ? !is_extension(field) : end < rest.len) {
			return -EINVAL;
		}
		rest = span_from(rest, end + 1);
	}
	if (!found)
		return -EINVAL;
	*ret = record;
	return 0;
}

int tlsrpt_record_choose(const struct span *txts, unsigned n, struct tlsrpt_record *ret)
{
	const struct span *one = NULL;
	for (unsigned i = 0; i < n; i++) {
		/* RFC 8460 3: records that do not begin so are discarded; of the rest there must
		 * be one. */
		if (!starts(txts[i], SPAN_LIT("v=TLSRPTv1;")) &&
			!starts(txts[i], SPAN_LIT("v=TLSRPTv1 ")))
			continue;
		if (one)
			return -ENOENT;
		one = &txts[i];
	}
	return one ? tlsrpt_record_parse(*one, ret) : -ENOENT;
}
