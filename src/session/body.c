/* The data phase: stream -> dot decoder -> draft, in slices, so that a message of any size costs a
 * session the stream's buffer and one chunk of the draft.
 *
 * A message that is refused half-way is still read to its end (a reply before it would be taken
 * for the answer to something else, RFC 5321 4.2.5): the draft is freed at once, the rest is
 * decoded into a scratch buffer and forgotten. What ends a session in the middle: silence
 * (4.5.3.2.5), a peer below the minimum rate, its death, our own drain after the grace. */
#include "session/body.h"
#include "checks/rate.h"
#include "checks/size.h"
#include "session/limits.h"
#include "session/refusal.h"

void body_init(struct body *b, struct session *s, struct incoming *in)
{
	*b = (struct body){
		.in = in,
		.verdict = VERDICT(250, "2.0.0", "Ok"),
		.began_usec = loop_now_usec(),
		.scratch = BUF_INIT(2 * BODY_SLICE),
	};
	dot_decoder_init(&b->dot, s->bare_tolerated);
}

void body_done(struct body *b)
{
	incoming_free(TAKE(b->in));
	buf_done(&b->scratch);
}

static void body_refuse(struct body *b, struct verdict v)
{
	b->verdict = v;
	incoming_free(TAKE(b->in));
}

/* Decodes one slice; the draft's buffer may grow by as much. */
static size_t body_decode(struct body *b, struct span octets, bool *ret_end)
{
	struct buf *out = b->in ? incoming_buffer(b->in) : &b->scratch;
	if (!b->in)
		buf_reset(out);
	size_t before = out->len;
	size_t used = dot_decode(&b->dot, span_head(octets, BODY_SLICE), out, ret_end);

	if (out->error < 0) {
		body_refuse(b, refusal_of(out->error));
		return used;
	}
	struct span decoded = span_from(buf_span(out), before);
	if (!b->header.ended)
		header_scan(&b->header, decoded);
	b->octets += decoded.len;
	return used;
}

static SUSPENDS int body_step(struct body *b, struct session *s, bool *ret_end)
{
	struct span octets;

	int r = stream_peek(s->io, &octets);
	if (r < 0)
		return r;
	stream_consume(s->io, body_decode(b, octets, ret_end));
	struct verdict v = check_size(b->octets, s->config->limits.message_size);
	if (b->in && !verdict_is_ok(v))
		body_refuse(b, v);
	r = b->in ? incoming_flush(b->in) : 0;
	if (r == -ECANCELED)
		return r;
	if (r < 0)
		body_refuse(b, refusal_of(r));
	v = check_rate(b->octets, loop_now_usec() - b->began_usec, s->config->limits.data_rate);
	return verdict_is_ok(v) ? 0 : -ETIME;
}

int body_receive(struct body *b, struct session *s)
{
	bool end = false;
	int r = 0;

	stream_set_timeout(
		s->io, s->config->limits.data_timeout, s->config->limits.command_timeout);
	while (r >= 0 && !end)
		r = body_step(b, s, &end);
	stream_set_timeout(
		s->io, s->config->limits.command_timeout, s->config->limits.command_timeout);
	return end ? 0 : r;
}
