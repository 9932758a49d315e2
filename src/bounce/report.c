/* The report in its three parts (RFC 6522): words for people, fields for programs (status.c), and
 * of the message that it is about the header; with RET=FULL (RFC 3461 4.3) the whole message, if
 * it failed and is not too large. The body does not go back unasked: who wrote it has it.
 *
 * The header's own rules: From and To as RFC 3464 section 2 wants them, Auto-Submitted (RFC 3834)
 * so that no robot answers, In-Reply-To so that mail programs show it beside the original. The
 * null reverse-path is the envelope's and set by the caller.
 *
 * Everything is 7 bit, whatever the message was, unless its sender's own address is UTF-8: then the
 * report needs SMTPUTF8 to travel anyway, and takes RFC 6533's forms. */
#include "bounce/report.h"

#include "base/ident.h"
#include "bounce/status.h"
#include "bounce/text.h"
#include "mail/date.h"
#include "mail/header.h"
#include "mail/idna.h"
#include "mail/xtext.h"
#include <stdlib.h>

#define MESSAGE_ID_MAX 250u

static void field_date(struct buf *out, const char *name, uint64_t wall_usec)
{
	buf_printf(out, "%s: ", name);
	date_format(wall_usec, out);
	buf_str(out, "\r\n");
}

/* ---- the part for people ---- */

static const char *const successes[] = {
	[REPORT_DELIVERED] = "It was delivered.",
	[REPORT_RELAYED] = "It was given to the next server, which sends no reports like this: you "
			   "will hear no more unless that server finds it cannot deliver it.",
	[REPORT_EXPANDED] = "This address stands for several others: it goes on to them, and you "
			    "will hear of failures only.",
};

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
	if (p->action >= REPORT_DELIVERED)
		text_wrap(out, "      ", span_str(successes[p->action]));
	if (p->remote_said) {
		buf_str(&b, "The server ");
		status_remote_name(&b, p->remote);
		buf_str(&b, " answered: ");
	}
	if (p->remote_said || p->action < REPORT_DELIVERED)
		status_reply(&b, p);
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
	} else if (r->success) {
		human_date(out, "\r\nYou asked to be told what became of your message of\r\n",
			r->arrival_wall_usec, ":\r\n\r\n");
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
	if (!r->delay && !r->success)
		buf_str(out, "Please look for a mistake in the address. If you find none and need "
			     "help,\r\nforward this report to your postmaster.\r\n\r\n");
	buf_str(out, r->original_is_whole
			     ? "Your message is attached.\r\n"
			     : "The header of your message is attached, so that you can recognise "
			       "it.\r\n");
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
	if (r->utf8 && text_is_utf8(r->to))
		buf_put(&b, r->to);
	else
		text_clean(&b, r->to, REPORT_TEXT_MAX);
	buf_char(&b, '>');
	text_field(out, "To", buf_span(&b));
	text_field(out, "Subject",
		r->delay     ? SPAN_LIT("Delayed mail (still being tried)")
		: r->success ? SPAN_LIT("Delivery report")
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
	struct span original; /* its header, or all of it */
	const char *original_type, *original_encoding, *original_what;
	bool quote; /* the original goes in quoted-printable */
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
			!contains(buf_span(&p->status), out->ptr) &&
			!contains(p->original, out->ptr))
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

static void put_parts(
	struct buf *out, struct span boundary, const struct report *r, const struct parts *p)
{
	struct buf h = BUF_INIT(512);

	buf_str(out,
		"Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"");
	buf_put(out, boundary);
	buf_str(out, "\"\r\n\r\nThis is a delivery report in MIME format.\r\n");
	put_part(out, boundary,
		"Content-Description: Notification\r\nContent-Type: text/plain; "
		"charset=us-ascii\r\n");
	buf_put(out, buf_span(&p->human));
	put_part(out, boundary,
		r->utf8 ? "Content-Description: Delivery report\r\nContent-Type: "
			  "message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n"
			: "Content-Description: Delivery report\r\nContent-Type: "
			  "message/delivery-status\r\n");
	buf_put(out, buf_span(&p->status));
	buf_printf(&h, "Content-Description: %s\r\nContent-Type: %s\r\n", p->original_what,
		p->original_type);
	if (p->original_encoding)
		buf_printf(&h, "Content-Transfer-Encoding: %s\r\n", p->original_encoding);
	buf_append(&h, "", 1);
	put_part(out, boundary, h.error ? "" : h.ptr);
	buf_done(&h);
	if (p->quote)
		text_quoted_printable(out, p->original);
	else
		buf_put(out, p->original);
	buf_str(out, "\r\n--");
	buf_put(out, boundary);
	buf_str(out, "--\r\n");
}

/* RFC 6522 3 (c); RFC 6533 5: what has UTF-8 in its header is no message/rfc822. A message may go
 * back in 8 bit, for whoever sends it on to convert, but not in an encoding of its own (RFC 2046
 * 5.2.1); its header alone is quoted-printable where it needs to be. */
static void choose_original(const struct report *r, struct parts *p)
{
	struct span header = original_header(r->original);
	bool global = r->original_utf8 && !text_is_ascii(header);

	p->original = header;
	p->original_what = "Header of the message";
	p->original_type = global ? "message/global-headers" : "text/rfc822-headers";
	p->quote = !text_is_7bit(header);
	p->original_encoding = p->quote ? "quoted-printable" : NULL;
	if (!r->original_is_whole || !text_is_lines(r->original) || (global && !r->utf8))
		return;
	p->original = r->original;
	p->original_what = "Undelivered message";
	p->original_type = global ? "message/global" : "message/rfc822";
	p->quote = false;
	p->original_encoding = text_is_7bit(r->original) ? NULL : "8bit";
}

void report_write(const struct report *r, struct buf *out)
{
	struct parts p = {
		.human = BUF_INIT(REPORT_OCTETS_MAX), .status = BUF_INIT(REPORT_OCTETS_MAX)};
	struct buf boundary = BUF_INIT(128), about = BUF_INIT(MESSAGE_ID_MAX);

	choose_original(r, &p);
	original_id(&about, original_header(r->original));
	human_part(&p.human, r);
	status_write(r, &p.status);
	choose_boundary(&boundary, r, &p);
	put_header(out, r, buf_span(&about));
	put_parts(out, buf_span(&boundary), r, &p);
	const int errors[] = {p.human.error, p.status.error, boundary.error};
	for (size_t i = 0; i < ARRAY_LEN(errors); i++)
		if (errors[i] && !out->error)
			out->error = errors[i];
	buf_done(&p.human);
	buf_done(&p.status);
	buf_done(&boundary);
	buf_done(&about);
}
