/* The data phase: stream -> dot decoder -> draft, in slices, so that a message of any size costs a
 * session the stream's buffer and one chunk of the draft.
 *
 * A message that is refused half-way is still read to its end (a reply before it would be taken
 * for the answer to something else, RFC 5321 4.2.5): the draft is freed at once, the rest is
 * decoded into a scratch buffer and forgotten. What ends a session in the middle: silence
 * (4.5.3.2.5), a peer below the minimum rate, its death, our own drain after the grace. */
#include "session/arrival.h"
#include "checks/rate.h"
#include "checks/size.h"
#include "session/limits.h"
#include "session/refusal.h"

void arrival_init(struct arrival *a, struct session *s, struct incoming *in)
{
	*a = (struct arrival){
		.in = in,
		.verdict = VERDICT(250, "2.0.0", "Ok"),
		.began_usec = loop_now_usec(),
		.scratch = BUF_INIT(2 * BODY_SLICE),
	};
	dot_decoder_init(&a->dot, s->bare_tolerated);
}

void arrival_done(struct arrival *a)
{
	incoming_free(TAKE(a->in));
	buf_done(&a->scratch);
}

static void arrival_refuse(struct arrival *a, struct verdict v)
{
	a->verdict = v;
	incoming_free(TAKE(a->in));
}

/* Decodes one slice; the draft's buffer may grow by as much. */
static size_t arrival_decode(struct arrival *a, struct span octets, bool *ret_end)
{
	struct buf *out = a->in ? incoming_buffer(a->in) : &a->scratch;
	if (!a->in)
		buf_reset(out);
	size_t before = out->len;
	size_t used = dot_decode(&a->dot, span_head(octets, BODY_SLICE), out, ret_end);

	if (out->error < 0) {
		arrival_refuse(a, refusal_of(out->error));
		return used;
	}
	struct span decoded = span_from(buf_span(out), before);
	if (!a->header.ended)
		header_scan(&a->header, decoded);
	a->octets += decoded.len;
	return used;
}

static SUSPENDS int arrival_step(struct arrival *a, struct session *s, bool *ret_end)
{
	struct span octets;

	int r = stream_peek(s->io, &octets);
	if (r < 0)
		return r;
	stream_consume(s->io, arrival_decode(a, octets, ret_end));
	struct verdict v = check_size(a->octets, s->config->limits.message_size);
	if (a->in && !verdict_is_ok(v))
		arrival_refuse(a, v);
	r = a->in ? incoming_flush(a->in) : 0;
	if (r == -ECANCELED)
		return r;
	if (r < 0)
		arrival_refuse(a, refusal_of(r));
	v = check_rate(a->octets, loop_now_usec() - a->began_usec, s->config->limits.data_rate);
	return verdict_is_ok(v) ? 0 : -ETIME;
}

int arrival_receive(struct arrival *a, struct session *s)
{
	bool end = false;
	int r = 0;

	stream_set_timeout(
		s->io, s->config->limits.data_timeout, s->config->limits.command_timeout);
	while (r >= 0 && !end)
		r = arrival_step(a, s, &end);
	stream_set_timeout(
		s->io, s->config->limits.command_timeout, s->config->limits.command_timeout);
	return end ? 0 : r;
}
