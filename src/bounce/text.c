/* What remote servers say ends up in reports, and reports are read by mail programs: so nothing of
 * theirs may begin a line, end a part, or hide. Every octet that is not plain text is spelled out.
 *
 * Folding: RFC 5322 2.2.3 for fields, at spaces only; a word longer than a line may be is cut,
 * which only octets made for that purpose ever need. Quoted-printable is for the original's header
 * when it has octets or lines that 7 bit transport does not take (RFC 6522 section 4 allows it). */
#include "bounce/text.h"

#define FOLD_COLUMN  78u
#define WRAP_COLUMN  72u
#define LINE_MAX_OWN 900u /* RFC 5322 2.1.1 allows 998 */
#define QP_COLUMN    76u

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

void text_clean(struct buf *out, struct span s, size_t max)
{
	bool gap = false, any = false;
	struct span in = span_head(s, max);

	for (size_t i = 0; i < in.len; i++) {
		char c = in.ptr[i];
		if (is_space(c)) {
			gap = any;
			continue;
		}
		if (gap)
			buf_char(out, ' ');
		gap = false;
		any = true;
		if (c > ' ' && c < 0x7f && c != '\\')
			buf_char(out, c);
		else
			buf_printf(out, "\\x%02X", (unsigned)(unsigned char)c);
	}
	if (in.len < s.len)
		buf_str(out, "...");
}

/* Octets of the next line: up to a space at or before `columns`, else up to the first space behind
 * it, never more than LINE_MAX_OWN. */
static size_t line_cut(struct span s, size_t columns)
{
	size_t last = 0, i = 0;

	for (; i < s.len && i < LINE_MAX_OWN; i++) {
		if (s.ptr[i] != ' ')
			continue;
		if (i > columns)
			return last ? last : i;
		last = i;
	}
	if (i <= columns || (last == 0 && i == s.len))
		return i;
	return last ? last : i;
}

static struct span skip_spaces(struct span s)
{
	while (s.len > 0 && s.ptr[0] == ' ')
		s = span_from(s, 1);
	return s;
}

void text_field(struct buf *out, const char *name, struct span value)
{
	size_t used = strlen(name) + 2;

	buf_str(out, name);
	buf_str(out, ": ");
	value = skip_spaces(value);
	for (;;) {
		size_t n = line_cut(value, used < FOLD_COLUMN ? FOLD_COLUMN - used : 0);
		buf_put(out, span_head(value, n));
		buf_str(out, "\r\n");
		value = skip_spaces(span_from(value, n));
		if (value.len == 0)
			return;
		buf_char(out, ' ');
		used = 1;
	}
}

void text_wrap(struct buf *out, const char *indent, struct span value)
{
	size_t used = strlen(indent);

	value = skip_spaces(value);
	while (value.len > 0) {
		size_t n = line_cut(value, WRAP_COLUMN - used);
		buf_str(out, indent);
		buf_put(out, span_head(value, n));
		buf_str(out, "\r\n");
		value = skip_spaces(span_from(value, n));
	}
}

static bool is_lines(struct span s, unsigned char last)
{
	size_t column = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		bool crlf = c == '\r' && i + 1 < s.len && s.ptr[i + 1] == '\n';
		if (crlf) {
			i++;
			column = 0;
			continue;
		}
		if (c == 0 || c > last || c == '\r' || c == '\n' || ++column > 998)
			return false;
	}
	return true;
}

bool text_is_7bit(struct span s)
{
	return is_lines(s, 0x7f);
}

bool text_is_lines(struct span s)
{
	return is_lines(s, 0xff);
}

static void qp_octet(struct buf *out, size_t *column, unsigned char c, bool literal)
{
	size_t width = literal ? 1 : 3;

	if (*column + width >= QP_COLUMN) {
		buf_str(out, "=\r\n");
		*column = 0;
	}
	if (literal)
		buf_char(out, (char)c);
	else
		buf_printf(out, "=%02X", (unsigned)c);
	*column += width;
}

/* Octets of the line end at s[i]: CRLF or LF. A bare CR is an octet like others. */
static size_t line_end(struct span s, size_t i)
{
	if (i < s.len && s.ptr[i] == '\n')
		return 1;
	return i + 1 < s.len && s.ptr[i] == '\r' && s.ptr[i + 1] == '\n' ? 2 : 0;
}

void text_quoted_printable(struct buf *out, struct span s)
{
	size_t column = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		size_t end = line_end(s, i);
		if (end > 0) {
			buf_str(out, "\r\n");
			column = 0;
			i += end - 1;
			continue;
		}
		bool literal = c > ' ' && c < 0x7f && c != '=';
		if (c == ' ' || c == '\t')
			literal = i + 1 < s.len && line_end(s, i + 1) == 0;
		qp_octet(out, &column, c, literal);
	}
}
