/* The report in its three parts (RFC 6522): words for people, fields for programs (RFC 3464), and
 * the header of the message that it is about. The body of that message does not go back: it may be
 * large, and who wrote it has it.
 *
 * The header's own rules: From and To as RFC 3464 section 2 wants them, Auto-Submitted (RFC 3834)
 * so that no robot answers, In-Reply-To so that mail programs show it beside the original. The
 * null reverse-path is the envelope's and set by the caller.
 *
 * Remote-MTA and Diagnostic-Code stand only where another server really spoke; our own findings
 * (no answer, expired) are told to people, and to programs by Status alone. */
#include "bounce/report.h"

#include "base/ident.h"
#include "bounce/text.h"
#include "mail/date.h"
#include "mail/header.h"
#include <stdlib.h>

#define MESSAGE_ID_MAX 250u

/* ---- small pieces ---- */

static bool all_digits(struct span s, size_t max)
{
	if (s.len == 0 || s.len > max)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
	return true;
}

/* RFC 3463 section 2: class "." subject "." detail. */
static bool is_status(struct span s)
{
	if (s.len < 5 || (s.ptr[0] != '4' && s.ptr[0] != '5') || s.ptr[1] != '.')
		return false;
	struct span rest = span_from(s, 2);
	size_t dot = span_index(rest, '.');
	return all_digits(span_head(rest, dot), 3) && all_digits(span_from(rest, dot + 1), 3);
}

static void field_text(
	struct buf *out, const char *name, const char *type, struct span value, size_t max)
{
	struct buf b = BUF_INIT(8 * REPORT_TEXT_MAX + 64);

	buf_str(&b, type);
	text_clean(&b, value, max);
	if (b.error)
		out->error = b.error;
	text_field(out, name, buf_span(&b));
	buf_done(&b);
}

static void field_date(struct buf *out, const char *name, uint64_t wall_usec)
{
	buf_printf(out, "%s: ", name);
	date_format(wall_usec, out);
	buf_str(out, "\r\n");
}

/* "192.0.2.1:25 mx.example.net": the name where there is one, else the address as a literal. */
static void remote_name(struct buf *out, struct span remote)
{
	size_t space = span_index(remote, ' ');
	struct span name = span_trim(span_from(remote, space));

	if (name.len > 0) {
		text_clean(out, name, 255);
		return;
	}
	struct span address = span_head(remote, space);
	size_t end = address.len;
	while (end > 0 && address.ptr[end - 1] != ':' && address.ptr[end - 1] != ']')
		end--;
	if (end > 1 && address.ptr[end - 1] == ':')
		address = span_head(address, end - 1);
	bool literal = address.len > 0 && (address.ptr[0] == '[' || address.ptr[0] == '/');
	if (!literal)
		buf_char(out, '[');
	text_clean(out, address, 255);
	if (!literal)
		buf_char(out, ']');
}

static void reply_text(struct buf *out, const struct report_rcpt *p)
{
	if (p->code > 0)
		buf_printf(out, "%u ", (unsigned)p->code);
	/* Most servers begin their text with it (RFC 2034). */
	if (is_status(p->enhanced) && !span_starts_nocase(p->text, p->enhanced)) {
		buf_put(out, p->enhanced);
		buf_char(out, ' ');
	}
	text_clean(out, p->text, REPORT_TEXT_MAX);
}

/* ---- the part for people ---- */

static void human_rcpt(struct buf *out, const struct report_rcpt *p)
{
	struct buf b = BUF_INIT(8 * REPORT_TEXT_MAX);
	bool differs = p->original.len > 0 && !span_equal_nocase(p->original, p->address);

	buf_char(&b, '<');
	text_clean(&b, differs ? p->original : p->address, REPORT_TEXT_MAX);
	buf_char(&b, '>');
	if (differs) {
		buf_str(&b, " (delivered by way of <");
		text_clean(&b, p->address, REPORT_TEXT_MAX);
		buf_str(&b, ">)");
	}
	text_wrap(out, "  ", buf_span(&b));
	buf_reset(&b);
	if (p->remote_said) {
		buf_str(&b, "The server ");
		remote_name(&b, p->remote);
		buf_str(&b, " answered: ");
	}
	reply_text(&b, p);
	text_wrap(out, "      ", buf_span(&b));
	buf_str(out, "\r\n");
	buf_done(&b);
}

static void human_date(struct buf *out, const char *before, uint64_t wall_usec, const char *after)
{
	buf_str(out, before);
	date_format(wall_usec, out);
	buf_str(out, after);
}

static void human_part(struct buf *out, const struct report *r)
{
	struct buf b = BUF_INIT(4096);

	buf_str(&b, "This is the mail system at ");
	text_clean(&b, r->hostname, 255);
	buf_char(&b, '.');
	text_wrap(out, "", buf_span(&b));
	buf_done(&b);
	if (r->delay) {
		buf_str(out, "\r\nTHIS IS A WARNING ONLY. YOU DO NOT NEED TO SEND YOUR MESSAGE "
			     "AGAIN.\r\n");
		human_date(out, "\r\nYour message of ", r->arrival_wall_usec,
			"\r\ncould not be delivered yet to the recipients below.\r\n");
		human_date(out, "We go on trying until ", r->expires_wall_usec, ".\r\n\r\n");
	} else {
		human_date(out, "\r\nWe are sorry: your message of ", r->arrival_wall_usec,
			"\r\ncould not be delivered to the recipients below. We have stopped "
			"trying.\r\n\r\n");
	}
	for (uint32_t i = 0; i < r->n_rcpts && i < REPORT_NAMED_MAX; i++)
		human_rcpt(out, &r->rcpts[i]);
	if (r->n_rcpts > REPORT_NAMED_MAX)
		buf_printf(out, "  ... and %u more: see the attached delivery report.\r\n\r\n",
			r->n_rcpts - REPORT_NAMED_MAX);
	if (!r->delay)
		buf_str(out, "Please look for a mistake in the address. If you find none and need "
			     "help,\r\nforward this report to your postmaster.\r\n\r\n");
	buf_str(out, "The header of your message is attached, so that you can recognise it.\r\n");
}

/* ---- the part for programs: RFC 3464 2.2, 2.3 ---- */

static void status_rcpt(struct buf *out, const struct report *r, const struct report_rcpt *p)
{
	struct buf b = BUF_INIT(8 * REPORT_TEXT_MAX);

	buf_str(out, "\r\n");
	if (p->original.len > 0 && !span_equal(p->original, p->address))
		field_text(out, "Original-Recipient", "rfc822; ", p->original, REPORT_TEXT_MAX);
	field_text(out, "Final-Recipient", "rfc822; ", p->address, REPORT_TEXT_MAX);
	text_field(out, "Action", r->delay ? SPAN_LIT("delayed") : SPAN_LIT("failed"));
	text_field(out, "Status",
		is_status(p->enhanced) ? p->enhanced
		: r->delay	       ? SPAN_LIT("4.0.0")
				       : SPAN_LIT("5.0.0"));
	if (p->remote_said && p->remote.len > 0) {
		buf_str(&b, "dns; ");
		remote_name(&b, p->remote);
		text_field(out, "Remote-MTA", buf_span(&b));
		buf_reset(&b);
	}
	if (p->remote_said && p->code > 0) {
		buf_str(&b, "smtp; ");
		reply_text(&b, p);
		text_field(out, "Diagnostic-Code", buf_span(&b));
	}
	if (r->delay)
		field_date(out, "Will-Retry-Until", r->expires_wall_usec);
	buf_done(&b);
}

static void status_part(struct buf *out, const struct report *r)
{
	field_text(out, "Reporting-MTA", "dns; ", r->hostname, 255);
	field_date(out, "Arrival-Date", r->arrival_wall_usec);
	for (uint32_t i = 0; i < r->n_rcpts; i++)
		status_rcpt(out, r, &r->rcpts[i]);
}

/* ---- the original's header ---- */

/* Bounded, ends with a whole line; not the body. */
static struct span original_header(struct span original)
{
	struct span s = span_head(original, REPORT_HEADER_MAX);
	struct header_cursor c = header_cursor(s);
	struct header_field f;
	size_t end = 0;

	while (header_next(&c, &f))
		end = s.len - c.rest.len;
	s = span_head(s, end);
	while (s.len > 0 && s.ptr[s.len - 1] != '\n')
		s.len--;
	return s;
}

/* The Message-ID to refer to: only one that is plainly of the form of RFC 5322 3.6.4. */
static void original_id(struct buf *out, struct span header)
{
	struct buf b = BUF_INIT(REPORT_HEADER_MAX);

	if (header_find(header, SPAN_LIT("Message-ID"), &b)) {
		struct span s = buf_span(&b);
		bool good = s.len > 4 && s.len < MESSAGE_ID_MAX && s.ptr[0] == '<' &&
			    span_index(s, '>') == s.len - 1 && span_index(s, '@') < s.len;
		for (size_t i = 0; good && i < s.len; i++)
			good = s.ptr[i] > ' ' && s.ptr[i] < 0x7f;
		if (good)
			buf_put(out, s);
	}
	buf_done(&b);
}

/* ---- the whole ---- */

static void put_header(struct buf *out, const struct report *r, struct span about)
{
	struct buf b = BUF_INIT(8 * REPORT_TEXT_MAX);

	buf_str(&b, "Mail Delivery System <MAILER-DAEMON@");
	text_clean(&b, r->hostname, 255);
	buf_char(&b, '>');
	text_field(out, "From", buf_span(&b));
	buf_reset(&b);
	buf_char(&b, '<');
	text_clean(&b, r->to, REPORT_TEXT_MAX);
	buf_char(&b, '>');
	text_field(out, "To", buf_span(&b));
	text_field(out, "Subject",
		r->delay ? SPAN_LIT("Delayed mail (still being tried)")
			 : SPAN_LIT("Undelivered mail returned to sender"));
	field_date(out, "Date", r->now_wall_usec);
	buf_printf(out, "Message-ID: <%s.%llu.report@", ident_format(r->message).s,
		(unsigned long long)r->event);
	text_clean(out, r->hostname, 255);
	buf_str(out, ">\r\n");
	if (about.len > 0) {
		text_field(out, "In-Reply-To", about);
		text_field(out, "References", about);
	}
	buf_str(out, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
	buf_done(&b);
}

static bool contains(struct span in, const char *needle)
{
	return in.len > 0 && memmem(in.ptr, in.len, needle, strlen(needle)) != NULL;
}

struct parts {
	struct buf human, status;
	struct span header;
	bool header_7bit;
};

/* RFC 2046 5.1.1: must occur in no part. Quoted-printable cannot hold "=_" (RFC 2045 6.7). */
static void choose_boundary(struct buf *out, const struct report *r, const struct parts *p)
{
	for (unsigned try = 0;; try++) {
		buf_reset(out);
		buf_printf(out, "=_report-%s-%u", ident_format(r->message).s, try);
		buf_append(out, "", 1);
		if (out->error)
			return;
		out->len--;
		if (!contains(buf_span(&p->human), out->ptr) &&
			!contains(buf_span(&p->status), out->ptr) && !contains(p->header, out->ptr))
			return;
	}
}

static void put_part(struct buf *out, struct span boundary, const char *header)
{
	buf_str(out, "\r\n--");
	buf_put(out, boundary);
	buf_str(out, "\r\n");
	buf_str(out, header);
	buf_str(out, "\r\n");
}

static void put_parts(struct buf *out, struct span boundary, const struct parts *p)
{
	buf_str(out,
		"Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"");
	buf_put(out, boundary);
	buf_str(out, "\"\r\n\r\nThis is a delivery report in MIME format.\r\n");
	put_part(out, boundary,
		"Content-Description: Notification\r\nContent-Type: text/plain; "
		"charset=us-ascii\r\n");
	buf_put(out, buf_span(&p->human));
	put_part(out, boundary,
		"Content-Description: Delivery report\r\nContent-Type: "
		"message/delivery-status\r\n");
	buf_put(out, buf_span(&p->status));
	put_part(out, boundary,
		p->header_7bit ? "Content-Description: Header of the message\r\n"
				 "Content-Type: text/rfc822-headers\r\n"
			       : "Content-Description: Header of the message\r\n"
				 "Content-Type: text/rfc822-headers\r\n"
				 "Content-Transfer-Encoding: quoted-printable\r\n");
	if (p->header_7bit)
		buf_put(out, p->header);
	else
		text_quoted_printable(out, p->header);
	buf_str(out, "\r\n--");
	buf_put(out, boundary);
	buf_str(out, "--\r\n");
}

void report_write(const struct report *r, struct buf *out)
{
	struct parts p = {.human = BUF_INIT(REPORT_OCTETS_MAX),
		.status = BUF_INIT(REPORT_OCTETS_MAX),
		.header = original_header(r->original)};
	struct buf boundary = BUF_INIT(128), about = BUF_INIT(MESSAGE_ID_MAX);

	p.header_7bit = text_is_7bit(p.header);
	original_id(&about, p.header);
	human_part(&p.human, r);
	status_part(&p.status, r);
	choose_boundary(&boundary, r, &p);
	put_header(out, r, buf_span(&about));
	put_parts(out, buf_span(&boundary), &p);
	const int errors[] = {p.human.error, p.status.error, boundary.error};
	for (size_t i = 0; i < ARRAY_LEN(errors); i++)
		if (errors[i] && !out->error)
			out->error = errors[i];
	buf_done(&p.human);
	buf_done(&p.status);
	buf_done(&boundary);
	buf_done(&about);
}
