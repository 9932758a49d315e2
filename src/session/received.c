/* RFC 5321 4.4:
 *
 *   Time-stamp-line = "Received:" FWS Stamp <CRLF>
 *   Stamp           = From-domain By-domain Opt-info [CFWS] ";" FWS date-time
 *   From-domain     = "FROM" FWS Extended-Domain
 *   By-domain       = CFWS "BY" FWS Extended-Domain
 *   Extended-Domain = Domain / ( Domain FWS "(" TCP-info ")" ) / ( address-literal FWS "(" TCP-info
 * ")" ) TCP-info        = address-literal / ( Domain FWS address-literal ) Opt-info        = [Via]
 * [With] [ID] [For] [Additional-Registered-Clauses]
 *
 * Folded so that each line stays short (RFC 5322 2.1.1). `for` stands only where it tells no
 * recipient about another (4.4, 7.2). A message from this machine's submission socket has no peer
 * address: its clause names the uid in a comment, and `from` is left out (RFC 5322 3.6.7 allows).
 */
#include "session/received.h"
#include "base/ident.h"
#include "mail/date.h"

static void put_literal(struct span address, struct buf *out)
{
	/* RFC 5321 4.1.3: IPv6 literals carry a tag. */
	buf_str(out, span_index(address, ':') < address.len ? "[IPv6:" : "[");
	buf_put(out, address);
	buf_char(out, ']');
}

void received_format(const struct received *r, struct buf *out)
{
	struct ident_text id = ident_format(r->id);

	buf_str(out, "Received: ");
	if (r->client.len > 0 && !r->hidden) {
		buf_str(out, "from ");
		buf_put(out, r->helo);
		buf_str(out, " (");
		buf_put(out, r->name);
		if (r->name.len > 0)
			buf_char(out, ' ');
		if (r->unix_client)
			buf_str(out, "local");
		else
			put_literal(r->client, out);
		buf_str(out, ")\r\n\t");
	}
	buf_str(out, "by ");
	buf_put(out, r->hostname);
	if (r->client.len == 0 && !r->hidden) {
		buf_str(out, " (Postrider, from uid ");
		buf_u64(out, r->uid);
		buf_char(out, ')');
	}
	buf_str(out, " with ");
	buf_put(out, r->protocol);
	if (r->tls_version) {
		buf_str(out, "\r\n\t(version=");
		buf_str(out, r->tls_version);
		buf_str(out, " cipher=");
		buf_str(out, r->tls_cipher);
		buf_str(out, ")\r\n\t");
	} else {
		buf_char(out, ' ');
	}
	buf_str(out, "id ");
	buf_str(out, id.s);
	if (r->only_recipient.ptr) {
		buf_str(out, "\r\n\tfor <");
		buf_put(out, r->only_recipient);
		buf_char(out, '>');
	}
	buf_str(out, ";\r\n\t");
	date_format(r->wall_usec, out);
	buf_str(out, "\r\n");
}
