/* What sendmail(8) has always done for programs that write a few header lines and a text. The body
 * is not looked at but for its line ends. */
#include "cli/compose.h"

#include "base/ident.h"
#include "mail/date.h"
#include "mail/header.h"

#define MESSAGE_OCTETS_MAX   (1u << 30)
#define RECIPIENT_OCTETS_MAX (4u << 20)

void compose_done(struct compose *c)
{
	buf_done(&c->message);
	buf_done(&c->recipients);
}

/* Every LF, CRLF or lone CR becomes CRLF; the last line gets an end. */
static void put_lines(struct buf *out, struct span in)
{
	while (in.len) {
		size_t n = 0;
		while (n < in.len && in.ptr[n] != '\r' && in.ptr[n] != '\n')
			n++;
		buf_put(out, span_head(in, n));
		buf_str(out, "\r\n");
		if (n < in.len && in.ptr[n] == '\r' && n + 1 < in.len && in.ptr[n + 1] == '\n')
			n++;
		in = span_from(in, n + 1);
	}
}

/* Skips a quoted string or a comment that begins at `at`; returns the index behind it. Comments
 * nest: a counter, no recursion. */
static size_t skip_quoted(struct span s, size_t at)
{
	size_t depth = 0;
	bool quote = s.ptr[at] == '"';

	for (size_t i = at; i < s.len; i++) {
		char c = s.ptr[i];
		if (c == '\\')
			i++;
		else if (quote && c == '"' && i > at)
			return i + 1;
		else if (!quote && c == '(')
			depth++;
		else if (!quote && c == ')' && --depth == 0)
			return i + 1;
	}
	return s.len;
}

static void put_address(struct buf *out, const struct buf *word)
{
	struct span a = span_trim(buf_span(word));

	if (a.len) {
		buf_put(out, a);
		buf_append(out, "", 1);
	}
}

void address_list(struct span body, struct buf *out)
{
	struct buf word = BUF_INIT(64u << 10); /* the address so far, or a display name */
	bool angle = false, done = false;      /* done: an <address> was taken from this mailbox */

	for (size_t i = 0; i < body.len;) {
		char c = body.ptr[i];
		if (c == '(' || c == '"') {
			size_t end = skip_quoted(body, i);
			if (c == '"' && !done)
				buf_append(&word, body.ptr + i, end - i);
			i = end;
			continue;
		}
		if (c == '<') {
			buf_reset(&word);
			angle = true;
		} else if (c == '>' && angle) {
			put_address(out, &word);
			angle = false;
			done = true;
		} else if (c == ':' || (c == '@' && angle && word.len == 0)) {
			/* A group's name, or a route before its colon: neither is the address. */
			buf_reset(&word);
		} else if (c == ',' || c == ';') {
			if (!done && !(angle && c == ','))
				put_address(out, &word);
			buf_reset(&word);
			done = angle ? done : false;
		} else if (!done && c != ' ' && c != '\t' && c != '\r' && c != '\n') {
			buf_char(&word, c);
		} else if (!done && !angle && word.len && i + 1 < body.len) {
			buf_char(&word, ' ');
		}
		i++;
	}
	if (!done)
		put_address(out, &word);
	buf_done(&word);
}

struct seen {
	bool from, date, message_id;
};

static void put_fields(struct compose *c, struct span in, const struct compose_options *o,
	struct seen *seen, struct span *ret_rest)
{
	struct header_cursor cursor = header_cursor(in);
	struct header_field f;

	while (header_next(&cursor, &f)) {
		bool bcc = span_equal_nocase(f.name, SPAN_LIT("Bcc"));
		bool to = span_equal_nocase(f.name, SPAN_LIT("To")) ||
			  span_equal_nocase(f.name, SPAN_LIT("Cc"));
		seen->from |= span_equal_nocase(f.name, SPAN_LIT("From"));
		seen->date |= span_equal_nocase(f.name, SPAN_LIT("Date"));
		seen->message_id |= span_equal_nocase(f.name, SPAN_LIT("Message-ID"));
		if (o->from_header && (bcc || to))
			address_list(f.body, &c->recipients);
		if (!bcc)
			put_lines(&c->message, f.whole);
	}
	*ret_rest = cursor.rest;
}

static void put_missing(struct compose *c, const struct compose_options *o, const struct seen *seen)
{
	if (!seen->from && o->sender.len) {
		buf_str(&c->message, "From: ");
		if (o->full_name.len) {
			buf_char(&c->message, '"');
			for (size_t i = 0; i < o->full_name.len; i++)
				if (o->full_name.ptr[i] != '"' &&
					(unsigned char)o->full_name.ptr[i] >= ' ' &&
					o->full_name.ptr[i] != '\\')
					buf_char(&c->message, o->full_name.ptr[i]);
			buf_str(&c->message, "\" ");
		}
		buf_char(&c->message, '<');
		buf_put(&c->message, o->sender);
		buf_str(&c->message, ">\r\n");
	}
	if (!seen->date) {
		buf_str(&c->message, "Date: ");
		date_format(o->wall_usec, &c->message);
		buf_str(&c->message, "\r\n");
	}
	if (!seen->message_id) {
		buf_printf(&c->message, "Message-ID: <%s.%s@", ident_format(o->wall_usec).s,
			ident_format(o->unique).s);
		buf_put(&c->message, o->hostname);
		buf_str(&c->message, ">\r\n");
	}
}

int compose(struct span in, const struct compose_options *o, struct compose *ret)
{
	struct compose c = {BUF_INIT(MESSAGE_OCTETS_MAX), BUF_INIT(RECIPIENT_OCTETS_MAX)};
	struct seen seen = {false, false, false};
	struct span rest;

	if (span_starts_nocase(in, SPAN_LIT("From ")))
		in = span_from(in, span_index(in, '\n') + 1);
	put_fields(&c, in, o, &seen, &rest);
	put_missing(&c, o, &seen);
	/* The empty line; a text without header gets one too. */
	if (rest.len && rest.ptr[0] == '\r')
		rest = span_from(rest, 1);
	if (rest.len && rest.ptr[0] == '\n')
		rest = span_from(rest, 1);
	buf_str(&c.message, "\r\n");
	put_lines(&c.message, rest);
	int r = c.message.error ? c.message.error : c.recipients.error;
	if (r < 0)
		compose_done(&c);
	else
		*ret = c;
	return r;
}
