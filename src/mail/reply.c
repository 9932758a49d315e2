/* SMTP replies, both directions. RFC 5321 4.2, enhanced status codes RFC 2034 and 3463.
 *
 *   Reply-line  = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
 *   Reply-code  = %x32-35 %x30-35 %x30-39
 *   textstring  = 1*(%d09 / %d32-126)
 *   status-code = class "." subject "." detail       ; RFC 3463 2
 *   class       = "2" / "4" / "5"
 *   subject     = 1*3DIGIT      detail = 1*3DIGIT
 *
 * What servers send is untrusted and bounded: lines, octets a line, octets kept. More lenient than
 * the grammar: any second digit (571 exists), 8-bit text. A continuation with another code is no
 * reply: nobody can say which of the two was meant. Control octets in text become "?", so that
 * what is kept may stand in a report; the enhanced code stays in the text. */
#include "mail/reply.h"
#include "mail/octet.h"

#define REPLY_LINE_SENT 510u /* RFC 5321 4.5.3.1.5, without CRLF */

void reply_init(struct reply *r)
{
	*r = (struct reply){.text = BUF_INIT(REPLY_TEXT_KEEP)};
}

void reply_done(struct reply *r)
{
	if (r)
		buf_done(&r->text);
}

static void reply_keep(struct reply *r, struct span text)
{
	if (r->lines > 1 && r->text.len < REPLY_TEXT_KEEP)
		buf_char(&r->text, '\n');
	size_t from = r->text.len;
	buf_put(&r->text, span_head(text, REPLY_TEXT_KEEP - r->text.len));
	for (size_t i = from; i < r->text.len; i++) {
		uint8_t c = octet_at(buf_span(&r->text), i);
		if (c == '\t')
			r->text.ptr[i] = ' ';
		else if (is_control(c))
			r->text.ptr[i] = '?';
	}
}

int reply_feed_line(struct reply *r, struct span line)
{
	assert(r->code == 0); /* complete: one struct reply is for one reply */
	if (line.len < 3 || line.len > REPLY_LINE_MAX || r->lines == REPLY_LINES_MAX)
		return -EBADMSG;
	if (line.ptr[0] < '2' || line.ptr[0] > '5' || !is_digit(octet_at(line, 1)) ||
		!is_digit(octet_at(line, 2)))
		return -EBADMSG;
	uint16_t code = (uint16_t)((line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10 +
				   (line.ptr[2] - '0'));
	bool more = octet_is(line, 3, '-');
	if (line.len > 3 && !more && !is_wsp(octet_at(line, 3)))
		return -EBADMSG;
	if (r->pending != 0 && r->pending != code)
		return -EBADMSG;
	struct span text = span_from(line, 4);
	r->pending = code;
	r->lines++;
	if (r->enhanced.class == 0)
		(void)enhanced_code_parse(text, code, &r->enhanced);
	reply_keep(r, text);
	if (more)
		return 0;
	r->code = code;
	return 1;
}

/* 1 to 3 digits at s[*i]; false when there is none. */
static bool number_parse(struct span s, size_t *i, uint16_t *ret_value)
{
	unsigned value = 0;
	size_t from = *i;
	for (; *i < s.len && *i - from < 3 && is_digit(octet_at(s, *i)); (*i)++)
		value = value * 10 + (unsigned)(octet_at(s, *i) - '0');
	*ret_value = (uint16_t)value;
	return *i > from;
}

size_t enhanced_code_parse(struct span text, uint16_t reply_code, struct enhanced_code *ret_code)
{
	struct enhanced_code code;
	size_t i = 2;

	if (text.len < 5 || text.ptr[1] != '.')
		return 0;
	code.class = (uint8_t)(octet_at(text, 0) - '0');
	if ((code.class != 2 && code.class != 4 && code.class != 5) ||
		code.class != reply_code / 100)
		return 0;
	if (!number_parse(text, &i, &code.subject) || !octet_is(text, i, '.'))
		return 0;
	i++;
	if (!number_parse(text, &i, &code.detail) || (i < text.len && !is_wsp(octet_at(text, i))))
		return 0;
	*ret_code = code;
	return i;
}

static void format_line(
	struct buf *out, uint16_t code, struct span enhanced, struct span line, bool more)
{
	size_t space = enhanced.len > 0 && line.len > 0;
	size_t len = 4 + enhanced.len + space + line.len + 2;
	char *p = buf_reserve(out, len);

	if (!p)
		return;
	out->len += len;
	*p++ = (char)('0' + code / 100);
	*p++ = (char)('0' + code / 10 % 10);
	*p++ = (char)('0' + code % 10);
	*p++ = more ? '-' : ' ';
	memcpy(p, enhanced.ptr, enhanced.len);
	p += enhanced.len;
	if (space)
		*p++ = ' ';
	for (size_t i = 0; i < line.len; i++) {
		uint8_t c = octet_at(line, i);
		p[i] = c != '\t' && (c < 32 || c > 126) ? '?' : (char)c;
	}
	memcpy(p + line.len, "\r\n", 2);
}

void reply_format(struct buf *out, uint16_t code, const char *enhanced, struct span text)
{
	/* RFC 5321 4.5.3.1.5: a longer line goes on in a further line of the same reply. */
	struct span status = span_str(enhanced);
	size_t room = REPLY_LINE_SENT - 4 - status.len - 1;
	bool more;

	assert(code >= 200 && code <= 599);
	do {
		size_t newline = span_index(text, '\n');
		size_t len = MIN(newline, room);
		struct span line = span_head(text, len);
		text = span_from(text, len == newline ? len + 1 : len);
		more = text.len > 0;
		format_line(out, code, status, line, more);
	} while (more);
}
