/* Paths and mailboxes as the SMTP envelope spells them, RFC 5321 4.1.2; RFC 6531 3.3 with utf8.
 *
 *   Reverse-path   = Path / "<>"
 *   Forward-path   = Path / "<Postmaster>"           ; any case, 4.1.1.3
 *   Path           = "<" [ A-d-l ":" ] Mailbox ">"
 *   A-d-l          = At-domain *( "," At-domain )
 *   At-domain      = "@" Domain
 *   Mailbox        = Local-part "@" ( Domain / address-literal )
 *   Local-part     = Dot-string / Quoted-string
 *   Dot-string     = Atom *("." Atom)
 *   Atom           = 1*atext                         ; atext =/ UTF8-non-ascii when utf8
 *   Quoted-string  = DQUOTE *QcontentSMTP DQUOTE
 *   QcontentSMTP   = qtextSMTP / quoted-pairSMTP
 *   quoted-pairSMTP = %d92 %d32-126
 *   qtextSMTP      = %d32-33 / %d35-91 / %d93-126    ; =/ UTF8-non-ascii when utf8
 *
 * Comments, folding and RFC 5322's obsolete forms are not part of an envelope. The path's limit of
 * 256 octets (4.5.3.1.3) counts < and > but not an ignored source route: the line bounds that.
 * Domains stand in domain.c. Everything here scans forward once and borrows from its input. */
#include "mail/path.h"
#include "mail/octet.h"

/* One octet of plain text or one UTF-8 character at s[i]: its octets, else 0. */
static size_t atext_length(struct span s, size_t i, bool utf8)
{
	if (i >= s.len)
		return 0;
	if (is_atext(octet_at(s, i)))
		return 1;
	return utf8 ? utf8_non_ascii_length(s, i) : 0;
}

static size_t dot_string_length(struct span s, bool utf8)
{
	size_t i = 0;
	bool in_atom = false;
	for (;;) {
		size_t n = atext_length(s, i, utf8);
		if (n == 0 && (!in_atom || !octet_is(s, i, '.')))
			return in_atom ? i : 0;
		in_atom = n > 0;
		i += n > 0 ? n : 1;
	}
}

static size_t quoted_string_length(struct span s, bool utf8)
{
	size_t i = 1; /* behind the opening quote */
	while (i < s.len) {
		uint8_t c = octet_at(s, i);
		if (c == '"')
			return i + 1;
		if (c == '\\') {
			if (i + 1 >= s.len || is_control(octet_at(s, i + 1)) ||
				octet_at(s, i + 1) > 126)
				return 0;
			i += 2;
		} else if (c >= 32 && c <= 126) {
			i++;
		} else {
			size_t n = utf8 ? utf8_non_ascii_length(s, i) : 0;
			if (n == 0)
				return 0;
			i += n;
		}
	}
	return 0;
}

static size_t local_part_length(struct span s, bool utf8)
{
	return octet_is(s, 0, '"') ? quoted_string_length(s, utf8) : dot_string_length(s, utf8);
}

/* The Domain or address literal at the start of s. A name is scanned once: this runs several times
 * for each recipient of a message. */
static int domain_scan(struct span s, bool utf8, struct path *p)
{
	if (octet_is(s, 0, '[')) {
		size_t close = span_index(s, ']');
		p->domain = span_head(s, close < s.len ? close + 1 : 0);
		return domain_parse(p->domain, utf8, &p->domain_kind);
	}
	p->domain = span_head(s, domain_length(s, utf8));
	p->domain_kind = DOMAIN_NAME;
	return p->domain.len == 0 ? -EINVAL : p->domain.len > DOMAIN_MAX ? -ERANGE : 0;
}

static int path_check_lengths(const struct path *p)
{
	if (p->local.len > LOCAL_PART_MAX || p->domain.len > DOMAIN_MAX ||
		p->text.len + 2 > PATH_MAX_SMTP)
		return -ERANGE;
	return 0;
}

/* A Mailbox at the start of s, whose local part has so many octets; its end is ret_path->text's. */
static int mailbox_scan(struct span s, size_t local, bool utf8, struct path *ret_path)
{
	struct path p = {0};
	if (local == 0 || !octet_is(s, local, '@'))
		return -EINVAL;
	int r = domain_scan(span_from(s, local + 1), utf8, &p);
	if (r < 0)
		return r;
	p.local = span_head(s, local);
	p.text = span_head(s, local + 1 + p.domain.len);
	r = path_check_lengths(&p);
	if (r < 0)
		return r;
	*ret_path = p;
	return 0;
}

/* "@a,@b:" at the start of s: its octets, 0 when it is malformed. */
static size_t source_route_length(struct span s, bool utf8)
{
	size_t i = 0;
	while (octet_is(s, i, '@')) {
		size_t n = domain_length(span_from(s, i + 1), utf8);
		if (n == 0)
			return 0;
		i += 1 + n;
		if (octet_is(s, i, ':'))
			return i + 1;
		if (!octet_is(s, i, ','))
			return 0;
		i++;
	}
	return 0;
}

static struct path path_without_domain(struct span text)
{
	return (struct path){
		.text = text,
		.local = text,
		.domain = {text.ptr + text.len, 0},
		.domain_kind = DOMAIN_NONE,
		.is_null = text.len == 0,
	};
}

int path_parse(
	struct span in, enum path_use use, bool utf8, struct path *ret_path, struct span *ret_rest)
{
	struct path p;

	if (!octet_is(in, 0, '<'))
		return -EINVAL;
	struct span inner = span_from(in, 1);
	size_t close = span_index(inner, '>'); /* only right for paths without a quoted ">" */
	if (close == 0 && inner.len > 0 && use == PATH_REVERSE) {
		p = path_without_domain(span_head(inner, 0));
	} else if (close < inner.len && use == PATH_FORWARD &&
		   span_equal_nocase(span_head(inner, close), SPAN_LIT("postmaster"))) {
		p = path_without_domain(span_head(inner, close));
	} else {
		if (octet_is(inner, 0, '@')) {
			size_t route = source_route_length(inner, utf8);
			if (route == 0)
				return -EINVAL;
			inner = span_from(inner, route);
		}
		int r = mailbox_scan(inner, local_part_length(inner, utf8), utf8, &p);
		if (r < 0)
			return r;
	}
	inner = span_from(inner, p.text.len);
	if (!octet_is(inner, 0, '>'))
		return -EINVAL;
	*ret_path = p;
	*ret_rest = span_from(inner, 1);
	return 0;
}

int mailbox_parse(struct span in, bool utf8, bool allow_local, struct path *ret_path)
{
	struct path p = {0};

	if (in.len == 0)
		return -EINVAL;
	size_t local = local_part_length(in, utf8);
	if (allow_local && local == in.len) {
		p = path_without_domain(in);
		int r = path_check_lengths(&p);
		if (r < 0)
			return r;
	} else {
		int r = mailbox_scan(in, local, utf8, &p);
		if (r < 0)
			return r;
	}
	if (p.text.len != in.len)
		return -EINVAL;
	*ret_path = p;
	return 0;
}

void local_part_unquoted(struct span local, bool lower, struct buf *out)
{
	size_t i = 0, end = local.len;
	bool quoted = local.len >= 2 && local.ptr[0] == '"' && local.ptr[local.len - 1] == '"';

	if (quoted)
		i = 1, end = local.len - 1;
	for (; i < end; i++) {
		if (quoted && local.ptr[i] == '\\' && i + 1 < end)
			i++;
		buf_char(out, lower ? to_lower(octet_at(local, i)) : local.ptr[i]);
	}
}

/* Non-ASCII octets count as atext: whether they may stand was decided when they came in. */
static bool is_plain_local_part(struct span meaning)
{
	bool in_atom = false;
	for (size_t i = 0; i < meaning.len; i++) {
		uint8_t c = octet_at(meaning, i);
		if (c == '.' && in_atom)
			in_atom = false;
		else if (is_atext(c) || c >= 128)
			in_atom = true;
		else
			return false;
	}
	return in_atom;
}

void local_part_quoted(struct span meaning, struct buf *out)
{
	if (is_plain_local_part(meaning)) {
		buf_put(out, meaning);
		return;
	}
	buf_char(out, '"');
	for (size_t i = 0; i < meaning.len; i++) {
		uint8_t c = octet_at(meaning, i);
		if (c == '"' || c == '\\')
			buf_char(out, '\\');
		/* A control octet has no spelling in SMTP, and a CR or LF would be a new line:
		 * no local part that was parsed has one. */
		buf_char(out, is_control(c) ? '?' : (char)c);
	}
	buf_char(out, '"');
}

void path_canonical(const struct path *p, struct buf *out)
{
	if (p->is_null)
		return;
	if (octet_is(p->local, 0, '"')) {
		struct buf meaning = BUF_INIT(p->local.len + 1);
		local_part_unquoted(p->local, false, &meaning);
		if (meaning.error < 0 && out->error == 0)
			out->error = meaning.error;
		local_part_quoted(buf_span(&meaning), out);
		buf_done(&meaning);
	} else {
		buf_put(out, p->local); /* a Dot-string says what it means */
	}
	if (p->domain_kind == DOMAIN_NONE)
		return;
	buf_char(out, '@');
	for (size_t i = 0; i < p->domain.len; i++)
		buf_char(out, to_lower(octet_at(p->domain, i)));
}
