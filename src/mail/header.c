/* The header of a message as octets, RFC 5322 2.2 and 3.6.8.
 *
 *   field      = field-name *WSP ":" unstructured line-end *( WSP unstructured line-end )
 *   field-name = 1*ftext              ; WSP before the colon: RFC 5322 4.5
 *   ftext      = %d33-57 / %d59-126
 *   line-end   = [CR] LF              ; bare LF too: drafts and Maildirs have it
 *
 * The header ends at the empty line, at the end of the octets, or before the first line that is
 * neither a field nor a continuation: what comes then is treated as body, so that a message without
 * a header is no error. Nothing here judges a field's body. The cursor (whole octets) and the
 * scanner (slices) are two readings of the same grammar; a fuzz target holds them against each
 * other. */
#include "mail/header.h"
#include "mail/octet.h"

static bool is_ftext(uint8_t c)
{
	return c > 32 && c < 127 && c != ':';
}

struct header_cursor header_cursor(struct span message)
{
	return (struct header_cursor){message};
}

/* Octets of the line at s[from], its end included. */
static size_t line_length(struct span s, size_t from)
{
	struct span rest = span_from(s, from);
	size_t lf = span_index(rest, '\n');
	return lf < rest.len ? lf + 1 : rest.len;
}

bool header_next(struct header_cursor *c, struct header_field *ret_field)
{
	struct span s = c->rest;
	size_t name = 0;

	while (name < s.len && is_ftext(octet_at(s, name)))
		name++;
	size_t colon = name;
	while (colon < s.len && is_wsp(octet_at(s, colon)))
		colon++;
	if (name == 0 || !octet_is(s, colon, ':'))
		return false;
	size_t end = colon + line_length(s, colon);
	while (end < s.len && is_wsp(octet_at(s, end)))
		end += line_length(s, end);
	ret_field->whole = span_head(s, end);
	ret_field->name = span_head(s, name);
	ret_field->body = span_from(ret_field->whole, colon + 1);
	c->rest = span_from(s, end);
	return true;
}

unsigned header_count(struct span message, struct span name)
{
	struct header_cursor c = header_cursor(message);
	struct header_field f;
	unsigned count = 0;

	while (header_next(&c, &f))
		if (span_equal_nocase(f.name, name))
			count++;
	return count;
}

/* RFC 5322 2.2.3: unfolding removes the line ends and keeps the white space behind them. */
static void unfold(struct span body, struct buf *out)
{
	while (body.len > 0) {
		size_t len = line_length(body, 0), text = len;
		if (text > 0 && body.ptr[text - 1] == '\n')
			text--;
		if (text < len && text > 0 && body.ptr[text - 1] == '\r')
			text--;
		buf_append(out, body.ptr, text);
		body = span_from(body, len);
	}
}

bool header_find(struct span message, struct span name, struct buf *out)
{
	struct header_cursor c = header_cursor(message);
	struct header_field f;

	while (header_next(&c, &f)) {
		if (span_equal_nocase(f.name, name)) {
			unfold(span_trim(f.body), out);
			return true;
		}
	}
	return false;
}

static const struct span name_received = {"received", 8};
static const struct span name_delivered_to = {"delivered-to", 12};
static const struct span name_tls_required = {"tls-required", 12};

enum scanner_state {
	AT_START, /* zero: before the first octet */
	AT_LINE,
	IN_NAME,   /* matched: octets of one of the names so far */
	IN_OTHER,  /* a name that is none of ours */
	NAME_WSP,  /* white space behind one of ours */
	OTHER_WSP, /* white space behind another */
	IN_BODY,
	IN_TLS_VALUE, /* the body of a TLS-Required field */
	AT_TLS_LINE,  /* behind a line of it: perhaps it goes on */
	EMPTY_CR,     /* CR at the start of a line */
};

/* The names differ in their first octet, which therefore says which of them is being matched: it is
 * kept in bits 6 and 7 of `matched`. */
#define MATCHED_DELIVERED 0x80u
#define MATCHED_TLS	  0x40u
#define MATCHED_NAME	  (MATCHED_DELIVERED | MATCHED_TLS)

static struct span scanner_name(const struct header_scanner *s)
{
	if (s->matched & MATCHED_TLS)
		return name_tls_required;
	return (s->matched & MATCHED_DELIVERED) ? name_delivered_to : name_received;
}

static size_t scanner_matched(const struct header_scanner *s)
{
	return s->matched & ~MATCHED_NAME;
}

/* How much of "No", with white space around it, was seen (RFC 8689 5). */
enum tls_value { VALUE_NOTHING, VALUE_N, VALUE_NO, VALUE_OTHER };

static void scan_tls_value(struct header_scanner *s, uint8_t c)
{
	bool space = is_wsp(c) || c == '\r' || c == '\n';
	char lower = to_lower(c);

	if (c == '\n')
		s->state = AT_TLS_LINE;
	if (space && s->value != VALUE_N)
		return;
	if (s->value == VALUE_NOTHING && lower == 'n')
		s->value = VALUE_N;
	else if (s->value == VALUE_N && lower == 'o')
		s->value = VALUE_NO;
	else
		s->value = VALUE_OTHER;
}

bool header_tls_optional(const struct header_scanner *s)
{
	return s->tls_optional || s->value == VALUE_NO;
}

static bool scanner_whole_name(const struct header_scanner *s)
{
	return scanner_matched(s) == scanner_name(s).len;
}

static void scan_line_start(struct header_scanner *s, uint8_t c)
{
	if (is_wsp(c) && s->state == AT_TLS_LINE) {
		s->state = IN_TLS_VALUE;
		return;
	}
	if (s->state == AT_TLS_LINE) {
		s->tls_optional |= s->value == VALUE_NO;
		s->value = VALUE_NOTHING;
		s->state = AT_LINE;
	}
	if (is_wsp(c) && s->state == AT_LINE) {
		s->state = IN_BODY;
	} else if (c == '\r') {
		s->state = EMPTY_CR;
	} else if (!is_ftext(c)) {
		s->ended = true; /* the empty line, or no header (any more) */
	} else {
		char lower = to_lower(c);
		s->matched = lower == 'd'   ? MATCHED_DELIVERED | 1u
			     : lower == 't' ? MATCHED_TLS | 1u
					    : 1u;
		s->state = lower == 'd' || lower == 'r' || lower == 't' ? IN_NAME : IN_OTHER;
	}
}

static void scan_name(struct header_scanner *s, uint8_t c)
{
	bool ours = s->state == IN_NAME || s->state == NAME_WSP;
	bool behind = s->state == NAME_WSP || s->state == OTHER_WSP;

	if (c == ':') {
		s->state = IN_BODY;
		if (ours && scanner_whole_name(s) && (s->matched & MATCHED_TLS)) {
			s->state = IN_TLS_VALUE;
		} else if (ours && scanner_whole_name(s)) {
			unsigned *count =
				(s->matched & MATCHED_DELIVERED) ? &s->delivered_to : &s->received;
			*count += *count < UINT32_MAX;
		}
	} else if (is_wsp(c)) {
		s->state = ours ? NAME_WSP : OTHER_WSP;
	} else if (behind || !is_ftext(c)) {
		s->ended = true; /* a line that is no field */
	} else if (ours) {
		struct span name = scanner_name(s);
		size_t matched = scanner_matched(s);
		if (matched < name.len && name.ptr[matched] == to_lower(c))
			s->matched++;
		else
			s->state = IN_OTHER;
	}
}

static void scan_octet(struct header_scanner *s, uint8_t c)
{
	switch ((enum scanner_state)s->state) {
	case AT_START:
	case AT_LINE:
	case AT_TLS_LINE:
		scan_line_start(s, c);
		return;
	case IN_TLS_VALUE:
		scan_tls_value(s, c);
		return;
	case IN_NAME:
	case IN_OTHER:
	case NAME_WSP:
	case OTHER_WSP:
		scan_name(s, c);
		return;
	case IN_BODY:
		if (c == '\n')
			s->state = AT_LINE;
		return;
	case EMPTY_CR:
		s->ended = true;
		return;
	}
	assert(false && "scanner state");
}

void header_scan(struct header_scanner *s, struct span in)
{
	size_t i = 0;

	while (i < in.len && !s->ended) {
		if (s->state == IN_BODY) { /* most octets: skip to the line's end at once */
			i += span_index(span_from(in, i), '\n');
			if (i == in.len)
				break;
		}
		scan_octet(s, octet_at(in, i));
		i++;
	}
	s->octets += (unsigned)MIN(i, (size_t)(UINT32_MAX - s->octets));
}
