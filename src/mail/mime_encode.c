/* Lines of at most 76 characters (RFC 2045 6.7 (5), 6.8). In quoted-printable CRLF stays a line's
 * end, and a CR or LF alone is an octet like others; white space before a line's end is spelled out
 * (6.7 (3)), and so are a dot and "F" at a line's beginning, which transports of old have harmed.
 */
#include "mail/mime_encode.h"

#define LINE_COLUMNS 76u

static void qp_put(struct qp_encoder *e, uint8_t c, bool literal, struct buf *out)
{
	unsigned width = literal ? 1 : 3;

	/* The last column is the soft line break's. */
	if (e->column + width > LINE_COLUMNS - 1) {
		buf_str(out, "=\r\n");
		e->column = 0;
	}
	if (literal)
		buf_char(out, (char)c);
	else
		buf_printf(out, "=%02X", c);
	e->column += width;
}

static void qp_space(struct qp_encoder *e, bool at_end, struct buf *out)
{
	if (e->space)
		qp_put(e, (uint8_t)e->space, !at_end, out);
	e->space = 0;
}

static void qp_octet(struct qp_encoder *e, uint8_t c, struct buf *out)
{
	qp_space(e, false, out);
	if (c == ' ' || c == '\t')
		e->space = (char)c;
	else
		qp_put(e, c,
			c > 32 && c < 127 && c != '=' &&
				!(e->column == 0 && (c == '.' || c == 'F')),
			out);
}

void qp_encode(struct qp_encoder *e, struct span in, struct buf *out)
{
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = (uint8_t)in.ptr[i];
		if (e->cr && c == '\n') {
			e->cr = false;
			qp_space(e, true, out);
			buf_str(out, "\r\n");
			e->column = 0;
			continue;
		}
		if (e->cr)
			qp_octet(e, '\r', out);
		e->cr = c == '\r';
		if (!e->cr)
			qp_octet(e, c, out);
	}
}

void qp_encode_end(struct qp_encoder *e, struct buf *out)
{
	if (e->cr)
		qp_octet(e, '\r', out);
	qp_space(e, true, out);
	*e = (struct qp_encoder){0};
}

static void base64_group(struct base64_encoder *e, struct buf *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t v = (uint32_t)e->rest[0] << 16 | (uint32_t)e->rest[1] << 8 | e->rest[2];
	char four[4] = {
		digits[v >> 18 & 63], digits[v >> 12 & 63], digits[v >> 6 & 63], digits[v & 63]};

	if (e->column == LINE_COLUMNS) {
		buf_str(out, "\r\n");
		e->column = 0;
	}
	for (unsigned i = e->n + 1; i < 4; i++)
		four[i] = '=';
	buf_append(out, four, sizeof(four));
	e->column += 4;
	memset(e->rest, 0, sizeof(e->rest));
	e->n = 0;
}

void base64_encode_lines(struct base64_encoder *e, struct span in, struct buf *out)
{
	for (size_t i = 0; i < in.len; i++) {
		e->rest[e->n++] = (uint8_t)in.ptr[i];
		if (e->n == 3)
			base64_group(e, out);
	}
}

void base64_encode_lines_end(struct base64_encoder *e, struct buf *out)
{
	if (e->n > 0)
		base64_group(e, out);
	*e = (struct base64_encoder){0};
}
