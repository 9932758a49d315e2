/* The PROXY protocol in front of a session (proxy.c has its grammar). The connection was counted in
 * all, but not by its address: that is the load balancer's. When the client's is known, the limit
 * for one address is applied to it. A header that does not come, or is none, closes the connection
 * without a word, as HAProxy's document asks (section 2): whoever is there speaks another protocol.
 */
#include "accept/preamble.h"
#include "accept/permits.h"
#include "accept/proxy.h"
#include "base/stats.h"

/* The document (section 2) asks for at least 3 seconds, one retransmission of TCP. */
#define PREAMBLE_WAIT_USEC (10 * USEC_PER_SEC)

/* The header and not an octet more, into out. */
static SUSPENDS int header_read(struct stream *io, struct buf *out)
{
	struct span have;
	size_t need;

	for (;;) {
		int r = proxy_need(buf_span(out), &need);
		if (r < 0 || need == 0)
			return r < 0 ? -EPROTO : 0;
		r = stream_peek(io, &have);
		if (r < 0)
			return r;
		have = span_head(have, need);
		buf_put(out, have);
		stream_consume(io, have.len);
		if (out->error < 0)
			return out->error;
	}
}

/* Another permit, for the address that is the client's. */
static SUSPENDS int permit_move(struct stream *io, const struct config *c, struct session_origin *o)
{
	struct span text = SPAN_LIT("421 4.7.0 Too many connections from your address\r\n");

	permits_leave(o->arg, o->permit);
	if (permits_enter(o->arg, c, &o->client, &o->permit) == PERMIT_OK)
		return 0;
	o->ended = NULL; /* it has none any more */
	STATS_ADD(connections_refused_total, 1);
	STATS_ADD(replies_4xx_total, 1);
	if (stream_write(io, text) == 0)
		(void)!stream_flush(io);
	return -EBUSY;
}

int preamble_read(struct stream *io, const struct config *c, struct session_origin *o)
{
	struct buf octets = BUF_INIT(PROXY_HEADER_MAX);
	struct proxy_header h = {.keep = true};

	stream_set_read_deadline(io, loop_now_usec() + PREAMBLE_WAIT_USEC);
	int r = header_read(io, &octets);
	stream_set_read_deadline(io, USEC_INFINITY);
	if (r == 0)
		r = proxy_parse(buf_span(&octets), &h) < 0 ? -EPROTO : 0;
	buf_done(&octets);
	if (r < 0)
		return r;
	o->proxy = o->client;
	if (!h.keep) {
		o->client = h.source;
		o->server = h.destination;
	}
	return permit_move(io, c, o);
}
