/* The part of a report for programs: message/delivery-status (RFC 3464 2), or its form with UTF-8,
 * message/global-delivery-status (RFC 6533 4), which whoever gets it must be able to take.
 *
 * Remote-MTA and Diagnostic-Code stand only where another server really spoke; our own findings
 * (no answer, expired) are told to people, and to programs by Status alone. Original-Recipient is
 * what the sender's ORCPT said; without one, the address as it was given where it differs from the
 * final one. */
#include "bounce/status.h"

#include "bounce/text.h"
#include "mail/date.h"
#include "mail/idna.h"
#include "mail/xtext.h"

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
	if (s.len < 5 || (s.ptr[0] != '2' && s.ptr[0] != '4' && s.ptr[0] != '5') || s.ptr[1] != '.')
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
void status_remote_name(struct buf *out, struct span remote)
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

void status_reply(struct buf *out, const struct report_rcpt *p)
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

/* RFC 3464 2.3.1 and RFC 6533 3: "rfc822; address", or "utf-8; address" with the octets as they are
 * where the report may have them, and spelled out in ASCII where not. */
static void put_address(struct buf *out, struct span type, struct span address, bool utf8)
{
	struct span shown = span_head(address, REPORT_TEXT_MAX);
	struct buf b = BUF_INIT(16 * REPORT_TEXT_MAX);

	if (text_is_ascii(shown) || !text_is_utf8(shown)) {
		text_clean(out, type, 64);
		buf_str(out, "; ");
		text_clean(out, shown, REPORT_TEXT_MAX);
		return;
	}
	buf_str(out, "utf-8; ");
	if (utf8)
		buf_put(&b, shown);
	else
		utf8_address_encode(shown, &b);
	buf_put(out, buf_span(&b));
	buf_done(&b);
}

static void field_address(struct buf *out, const char *name, struct span type, struct span address,
	const struct report *r)
{
	struct buf b = BUF_INIT(16 * REPORT_TEXT_MAX);

	put_address(&b, type, address, r->utf8);
	text_field(out, name, buf_span(&b));
	buf_done(&b);
}

static void original_recipient(struct buf *out, const struct report *r, const struct report_rcpt *p)
{
	size_t semicolon = span_index(p->orcpt, ';');

	if (semicolon < p->orcpt.len)
		field_address(out, "Original-Recipient", span_head(p->orcpt, semicolon),
			span_from(p->orcpt, semicolon + 1), r);
	else if (p->original.len > 0 && !span_equal(p->original, p->address))
		field_address(out, "Original-Recipient", SPAN_LIT("rfc822"), p->original, r);
}

static const struct {
	const char *action, *status;
} actions[] = {
	[REPORT_FAILED] = {"failed", "5.0.0"},
	[REPORT_DELAYED] = {"delayed", "4.0.0"},
	[REPORT_DELIVERED] = {"delivered", "2.0.0"},
	[REPORT_RELAYED] = {"relayed", "2.0.0"},
	[REPORT_EXPANDED] = {"expanded", "2.0.0"},
};

static void status_rcpt(struct buf *out, const struct report *r, const struct report_rcpt *p)
{
	struct buf b = BUF_INIT(8 * REPORT_TEXT_MAX);

	buf_str(out, "\r\n");
	original_recipient(out, r, p);
	field_address(out, "Final-Recipient", SPAN_LIT("rfc822"), p->address, r);
	text_field(out, "Action", span_str(actions[p->action].action));
	text_field(out, "Status",
		is_status(p->enhanced) ? p->enhanced : span_str(actions[p->action].status));
	if (p->remote_said && p->remote.len > 0) {
		buf_str(&b, "dns; ");
		status_remote_name(&b, p->remote);
		text_field(out, "Remote-MTA", buf_span(&b));
		buf_reset(&b);
	}
	if (p->remote_said && p->code > 0) {
		buf_str(&b, "smtp; ");
		status_reply(&b, p);
		text_field(out, "Diagnostic-Code", buf_span(&b));
	}
	if (p->action == REPORT_DELAYED)
		field_date(out, "Will-Retry-Until", r->expires_wall_usec);
	buf_done(&b);
}

void status_write(const struct report *r, struct buf *out)
{
	if (r->envid.len > 0)
		field_text(out, "Original-Envelope-Id", "", r->envid, REPORT_TEXT_MAX);
	field_text(out, "Reporting-MTA", "dns; ", r->hostname, 255);
	field_date(out, "Arrival-Date", r->arrival_wall_usec);
	for (uint32_t i = 0; i < r->n_rcpts; i++)
		status_rcpt(out, r, &r->rcpts[i]);
}
