/* The data phase: stream -> decoder -> draft, in slices, so that a message of any size costs a
 * session the stream's buffer and one chunk of the draft. By DATA a dot ends it, by BDAT a number.
 *
 * A message that is refused half-way is still read to its end (a reply before it would be taken
 * for the answer to something else, RFC 5321 4.2.5, RFC 3030 2): the draft is freed at once, the
 * rest is decoded into a scratch buffer and forgotten. What ends a session in the middle: silence
 * (4.5.3.2.5), a peer below the minimum rate, its death, our own drain after the grace. */
#include "session/arrival.h"
#include "checks/content.h"
#include "checks/rate.h"
#include "checks/size.h"
#include "session/limits.h"
#include "session/login.h"
#include "session/refusal.h"
#include "session/submission.h"

void arrival_init(struct arrival *a, struct session *s, struct incoming *in)
{
	*a = (struct arrival){
		.in = in,
		.id = in ? incoming_id(in) : 0,
		.verdict = VERDICT(250, "2.0.0", "Ok"),
		.began_usec = loop_now_usec(),
		.bare_tolerated = s->bare_tolerated,
		.keep_head = session_is_logged_in(s),
		.head = BUF_INIT(SUBMISSION_HEADER_MAX),
		.scratch = BUF_INIT(2 * BODY_SLICE),
	};
	dot_decoder_init(&a->dot, s->bare_tolerated);
	chunk_decoder_init(&a->chunk, s->bare_tolerated, s->tx.body == BODY_BINARYMIME);
	/* Only a line beyond the limit is of interest. */
	uint64_t limit = s->config->limits.line_length;
	a->dot.line_enough = limit > 0 ? (uint32_t)MIN(limit, (uint64_t)UINT32_MAX) : UINT32_MAX;
	a->chunk.line_enough = a->dot.line_enough;
}

void arrival_done(struct arrival *a)
{
	incoming_free(TAKE(a->in));
	buf_done(&a->scratch);
	buf_done(&a->head);
}

void arrival_refuse(struct arrival *a, struct verdict v)
{
	a->verdict = v;
	incoming_free(TAKE(a->in));
}

struct verdict arrival_check(const struct arrival *a, const struct session *s)
{
	if (!verdict_is_ok(a->verdict))
		return a->verdict;
	return check_content(&(struct content_ask){
		.bare_newline = a->dot.bare_newline || a->chunk.bare_newline,
		.tolerate_bare = a->bare_tolerated,
		.longest_line = MAX(a->dot.longest_line, a->chunk.longest_line),
		.line_length = s->config->limits.line_length,
		.received = a->header.received,
		.hops = s->config->limits.hops,
	});
}

static bool has_high_octet(struct span s)
{
	uint8_t all = 0;

	for (size_t i = 0; i < s.len; i++)
		all |= (uint8_t)s.ptr[i];
	return all >= 128;
}

static void scan(struct arrival *a, struct span decoded)
{
	unsigned before = a->header.octets;

	if (!a->header.ended) {
		header_scan(&a->header, decoded);
		struct span part = span_head(decoded, a->header.octets - before);
		a->header_has_8bit |= has_high_octet(part);
		if (a->keep_head)
			buf_put(&a->head, part);
		decoded = span_from(decoded, part.len);
	}
	/* The decoder has looked already; only where it found some is it asked where. */
	if ((a->dot.has_8bit || a->chunk.has_8bit) && !a->body_has_8bit)
		a->body_has_8bit = has_high_octet(decoded);
}

/* What the decoder appended behind `before`. */
static void arrival_account(struct arrival *a, const struct buf *out, size_t before)
{
	if (out->error < 0) {
		arrival_refuse(a, refusal_of(out->error));
		return;
	}
	struct span decoded = span_from(buf_span(out), before);
	scan(a, decoded);
	a->octets += decoded.len;
}

static struct buf *arrival_buffer(struct arrival *a)
{
	if (a->in)
		return incoming_buffer(a->in);
	buf_reset(&a->scratch);
	return &a->scratch;
}

/* Decodes one slice; the draft's buffer may grow by as much (twice, of bare LFs). */
static size_t arrival_decode(struct arrival *a, struct span octets, bool *ret_end)
{
	struct buf *out = arrival_buffer(a);
	size_t before = out->len;
	size_t used = dot_decode(&a->dot, span_head(octets, BODY_SLICE), out, ret_end);

	arrival_account(a, out, before);
	return used;
}

/* Behind each slice: the limits, and the draft's own wait for room. */
static SUSPENDS int arrival_settle(struct arrival *a, struct session *s)
{
	struct verdict v = check_size(a->octets, submission_size_max(s));
	if (a->in && !verdict_is_ok(v))
		arrival_refuse(a, v);
	int r = a->in ? incoming_flush(a->in) : 0;
	if (r == -ECANCELED)
		return r;
	if (r < 0)
		arrival_refuse(a, refusal_of(r));
	return 0;
}

static int arrival_rate(const struct session *s, uint64_t octets, uint64_t began_usec)
{
	struct verdict v =
		check_rate(octets, loop_now_usec() - began_usec, s->config->limits.data_rate);
	return verdict_is_ok(v) ? 0 : -ETIME;
}

static SUSPENDS int arrival_step(struct arrival *a, struct session *s, bool *ret_end)
{
	struct span octets;

	int r = stream_peek(s->io, &octets);
	if (r < 0)
		return r;
	stream_consume(s->io, arrival_decode(a, octets, ret_end));
	r = arrival_settle(a, s);
	return r < 0 ? r : arrival_rate(s, a->octets, a->began_usec);
}

static void data_timeouts(struct session *s, bool data)
{
	uint64_t command = s->config->limits.command_timeout;

	stream_set_timeout(s->io, data ? s->config->limits.data_timeout : command, command);
}

int arrival_receive(struct arrival *a, struct session *s)
{
	bool end = false;
	int r = 0;

	data_timeouts(s, true);
	while (r >= 0 && !end)
		r = arrival_step(a, s, &end);
	data_timeouts(s, false);
	return end ? 0 : r;
}

int arrival_receive_chunk(struct arrival *a, struct session *s, uint64_t octets, bool last)
{
	uint64_t began_usec = loop_now_usec(), got = 0;
	int r = 0;

	data_timeouts(s, true);
	while (r >= 0 && got < octets) {
		struct span have;
		r = stream_peek(s->io, &have);
		if (r < 0)
			break;
		uint64_t want = MIN(octets - got, (uint64_t)BODY_SLICE);
		have = span_head(have, (size_t)MIN(want, (uint64_t)have.len));
		struct buf *out = arrival_buffer(a);
		size_t before = out->len;
		chunk_decode(&a->chunk, have, out);
		arrival_account(a, out, before);
		got += have.len;
		stream_consume(s->io, have.len);
		r = arrival_settle(a, s);
		if (r >= 0 && got < octets)
			r = arrival_rate(s, got, began_usec);
	}
	data_timeouts(s, false);
	if (r < 0)
		return r;
	if (last)
		chunk_decode_end(&a->chunk);
	struct verdict v = arrival_check(a, s);
	if (!verdict_is_ok(v))
		arrival_refuse(a, v);
	return 0;
}
