/* BDAT is preferred: no octet of the message has to be looked at or stuffed, and a small message
 * goes out with its envelope in one round. A peer that refuses everybody then gets octets in vain,
 * which is why large ones wait for the envelope's replies. Each chunk is answered (RFC 3030 2);
 * with PIPELINING a few are on the way at once. After a chunk that was refused nothing more is
 * sent, and RSET ends what is left of the transaction.
 *
 * The dispatcher is told before the final dot, or the last chunk, leaves (jobs_mark_dot): what
 * dies before has delivered nothing. Where the message left with its envelope and nobody was
 * accepted, nothing was delivered after all, and the mark is taken back.
 *
 * Replies: one for all (RFC 5321 4.2), one for each accepted recipient in order from an LMTP server
 * (RFC 2033 4.2), and, where PRDR was asked for and 353 says that it is done, one for each and one
 * for all. */
#include "deliver/transfer.h"
#include <stdlib.h>

#include "base/log.h"
#include "deliver/content.h"
#include "deliver/jobs.h"
#include "deliver/rooms.h"
#include "mail/dot.h"

/* A body must move on at this rate on the average, beside the data timeout. */
#define BODY_RATE_MIN 512u
#define YIELD_EVERY   (512u * 1024u)
#define CHUNK_OCTETS  (256u * 1024u)
#define CHUNKS_AHEAD  4u
/* What may follow its envelope unasked; and fits the socket's buffers, so that neither side waits
 * for the other (RFC 2920 3.1). */
#define AHEAD_OCTETS (16u * 1024u)

int transfer_read_failed(struct transaction *t, int error)
{
	if (error == -ECANCELED || error == -ENOMEM || error == -EMSGSIZE)
		return error;
	struct log_line *l = log_begin(LOG_LEVEL_ERROR, "segment-unreadable");
	log_id(l, "id", t->d->job.message);
	log_errno(l, error);
	log_end(l);
	t->stage = "reading the message from the spool";
	t->d->outcome.damaged = error == -EBADMSG;
	return -EIO;
}

static int begin(struct transaction *t)
{
	uint64_t size = MAX(t->d->job.size, t->envelope.size);
	t->stage = "sending the message";
	return smtp_client_watchdog(t->c,
		loop_now_usec() + t->d->job.data_timeout + size / BODY_RATE_MIN * USEC_PER_SEC);
}

static int end(struct transaction *t, int r)
{
	if (smtp_client_watchdog(t->c, USEC_INFINITY) < 0 && r >= 0)
		r = -ENOMEM;
	return smtp_client_error(t->c, r);
}

/* A fast peer must not keep the others waiting. */
SUSPENDS static int yield_now_and_then(size_t *since, size_t n)
{
	*since += n;
	if (*since < YIELD_EVERY)
		return 0;
	*since = 0;
	return fiber_yield();
}

/* Up to `octets` of the message, instead of what stands in buf. 1: there is more. */
SUSPENDS static int fill(
	struct transaction *t, struct content *content, struct buf *buf, size_t octets)
{
	int more = 1;
	buf_reset(buf);
	while (more > 0 && buf->len < octets)
		more = content_read(content, buf);
	return more < 0 ? transfer_read_failed(t, more) : more;
}

/* A small message is read into as much as it takes. */
static bool needs_room(const struct transaction *t)
{
	return t->mime || t->d->job.size > BODY_CHUNK;
}

static void room_take(struct transaction *t, struct buf *buf)
{
	*buf = BUF_INIT(2 * CHUNK_OCTETS);
	if (needs_room(t))
		rooms_take(t->d->rooms, buf);
}

static void room_give(struct transaction *t, struct buf *buf)
{
	if (needs_room(t))
		rooms_give(t->d->rooms, buf);
	else
		buf_done(buf);
}

/* ---- DATA ---- */

/* What needs no dots leaves from where it stands. */
SUSPENDS static int write_slices(
	struct transaction *t, struct dot_encoder *encoder, struct span in, struct buf *encoded)
{
	struct span rest = in;
	size_t run = 0;
	int r = 0;
	while (r >= 0 && rest.len > 0) {
		struct span slice = span_head(rest, BODY_CHUNK);
		rest = span_from(rest, slice.len);
		size_t end = in.len - rest.len;
		if (dot_encode_as_is(encoder, slice))
			continue;
		buf_reset(encoded);
		dot_encode(encoder, slice, encoded);
		r = stream_write(t->c->stream, span_from(span_head(in, end - slice.len), run));
		if (r >= 0)
			r = encoded->error ? encoded->error
					   : stream_write(t->c->stream, buf_span(encoded));
		run = end;
	}
	return r < 0 ? r : stream_write(t->c->stream, span_from(in, run));
}

SUSPENDS static int write_end(
	struct transaction *t, struct dot_encoder *encoder, struct buf *encoded)
{
	buf_reset(encoded);
	dot_encode_end(encoder, encoded);
	int r = encoded->error;
	/* Of a large message, all but the dot leaves first, so that the mark comes late; a small
	 * one travels in one piece with its dot. */
	if (r >= 0 && t->d->job.size > BODY_CHUNK)
		r = stream_flush(t->c->stream);
	if (r >= 0)
		r = jobs_mark_dot(t->d);
	if (r >= 0) {
		t->stage = "sending the end of data";
		transcript_note(&t->c->transcript, TRANSCRIPT_SENT, SPAN_LIT("(the message) ."));
		r = stream_write(t->c->stream, buf_span(encoded));
	}
	return r < 0 ? r : stream_flush(t->c->stream);
}

SUSPENDS static int write_dotted(
	struct transaction *t, struct content *content, struct buf *in, struct buf *encoded)
{
	struct dot_encoder encoder;
	size_t since = 0;
	int more = 1;
	dot_encoder_init(&encoder);
	while (more > 0) {
		more = fill(t, content, in, CHUNK_OCTETS);
		int r = more < 0 ? more : write_slices(t, &encoder, buf_span(in), encoded);
		if (r >= 0)
			r = yield_now_and_then(&since, in->len);
		if (r < 0)
			return r;
	}
	return write_end(t, &encoder, encoded);
}

SUSPENDS static int send_data(struct transaction *t)
{
	struct content content;
	struct buf in, encoded = BUF_INIT(4 * BODY_CHUNK);
	int r = begin(t);
	if (r < 0)
		return end(t, r);
	room_take(t, &in);
	content_init(&content, t->d, t->mime, true); /* the encoder mends lines */
	r = write_dotted(t, &content, &in, &encoded);
	content_done(&content);
	room_give(t, &in);
	buf_done(&encoded);
	return end(t, r);
}

/* ---- replies to the message ---- */

/* -ECONNABORTED for a 421 (RFC 5321 3.8). */
SUSPENDS static int read_reply(struct transaction *t)
{
	int r = smtp_client_reply(t->c, t->d->job.data_timeout, &t->reply);
	if (r >= 0 && t->reply.code == 421)
		r = -ECONNABORTED;
	return r;
}

static struct outcome_rcpt result_of(struct transaction *t)
{
	struct outcome_rcpt o = smtp_result(t->d, smtp_class(&t->reply), &t->reply);
	bool delivered = o.result == OUTCOME_DELIVERED;
	o.dsn_passed_on = delivered && t->envelope.dsn;
	o.by_passed_on = delivered && t->envelope.by;
	return o;
}

/* One for each accepted recipient, in order. Those that never come leave theirs without. */
SUSPENDS static int read_each(struct transaction *t)
{
	for (uint32_t i = 0; i < t->envelope.n_send; i++) {
		uint32_t at = t->envelope.send[i];
		if (t->rcpts[at] != RCPT_ACCEPTED)
			continue;
		int r = read_reply(t);
		if (r < 0)
			return r;
		t->rcpts[at] = RCPT_ANSWERED;
		delivery_set(t->d, at, result_of(t));
	}
	return 0;
}

/* draft-hall-prdr-00 3: what was accepted for some counts only if the last reply is positive. */
SUSPENDS static int read_prdr(struct transaction *t)
{
	int r = read_each(t);
	if (r >= 0)
		r = read_reply(t);
	if (r < 0 || smtp_class(&t->reply) == OUTCOME_DELIVERED)
		return r;
	struct outcome_rcpt all = result_of(t);
	for (uint32_t i = 0; i < t->envelope.n_send; i++) {
		uint32_t at = t->envelope.send[i];
		if (t->d->outcome.rcpts[at].result == OUTCOME_DELIVERED)
			delivery_set(t->d, at, all);
	}
	return 0;
}

SUSPENDS static int read_replies(struct transaction *t)
{
	t->stage = "waiting for the reply to the end of data";
	if (t->c->lmtp)
		return read_each(t);
	int r = read_reply(t);
	if (r < 0)
		return r;
	if (t->envelope.prdr && t->reply.code == 353)
		return read_prdr(t);
	transaction_settle(t, result_of(t));
	return 0;
}

int transfer_data(struct transaction *t)
{
	int r = send_data(t);
	return r < 0 ? r : read_replies(t);
}

/* ---- BDAT ---- */

struct chunks {
	struct content content;
	struct buf buf;
	unsigned on_the_way; /* chunks but the last that are not answered */
	bool refused;
};

SUSPENDS static int chunk_reply(struct transaction *t, struct chunks *c)
{
	t->stage = "waiting for the reply to a chunk";
	int r = read_reply(t);
	if (r < 0)
		return r;
	c->on_the_way--;
	if (smtp_class(&t->reply) == OUTCOME_DELIVERED || c->refused)
		return 0;
	c->refused = true;
	transaction_settle(t, result_of(t));
	return 0;
}

SUSPENDS static int say_bdat(struct transaction *t, size_t octets, bool last)
{
	struct buf *line = &t->line;
	buf_reset(line);
	buf_str(line, "BDAT ");
	buf_u64(line, octets);
	buf_str(line, last ? " LAST\r\n" : "\r\n");
	return line->error ? line->error : smtp_client_say(t->c, buf_span(line));
}

SUSPENDS static int write_chunk(struct transaction *t, struct chunks *c, bool last)
{
	int r = 0;
	if (last && t->d->job.size > BODY_CHUNK)
		r = stream_flush(t->c->stream);
	if (r >= 0 && last)
		r = jobs_mark_dot(t->d);
	if (r >= 0)
		r = say_bdat(t, c->buf.len, last);
	if (r >= 0)
		r = stream_write(t->c->stream, buf_span(&c->buf));
	c->on_the_way += !last;
	return r;
}

SUSPENDS static int write_chunks(struct transaction *t, struct chunks *c)
{
	unsigned ahead = t->c->pipelining ? CHUNKS_AHEAD : 0;
	size_t since = 0;
	for (;;) {
		t->stage = "sending the message";
		int more = fill(t, &c->content, &c->buf, CHUNK_OCTETS);
		int r = more < 0 ? more : write_chunk(t, c, more == 0);
		if (r >= 0)
			r = yield_now_and_then(&since, c->buf.len);
		while (r >= 0 && more > 0 && c->on_the_way > ahead)
			r = chunk_reply(t, c);
		if (r < 0 || more == 0 || c->refused)
			return r < 0 ? r : more;
	}
}

SUSPENDS static int send_chunks(struct transaction *t, struct chunks *c)
{
	int more = write_chunks(t, c), r = more < 0 ? more : stream_flush(t->c->stream);
	while (r >= 0 && c->on_the_way > 0)
		r = chunk_reply(t, c);
	if (r < 0 || !c->refused)
		return r;
	t->c->needs_rset = true;
	/* Its last chunk was on the way already: its refusal is of no more interest. */
	return more == 0 ? read_reply(t) : 0;
}

static void chunks_begin(struct chunks *c, struct transaction *t)
{
	*c = (struct chunks){0};
	room_take(t, &c->buf);
	content_init(&c->content, t->d, t->mime, t->envelope.body == BODY_BINARYMIME);
}

static void chunks_end(struct chunks *c, struct transaction *t)
{
	content_done(&c->content);
	room_give(t, &c->buf);
}

int transfer_bdat(struct transaction *t)
{
	struct chunks c;
	int r = begin(t);
	if (r < 0)
		return end(t, r);
	chunks_begin(&c, t);
	r = end(t, send_chunks(t, &c));
	chunks_end(&c, t);
	return r < 0 || c.refused ? r : read_replies(t);
}

/* ---- with its envelope ---- */

bool transfer_is_ahead(const struct transaction *t)
{
	return t->bdat && t->c->pipelining && t->d->job.size <= AHEAD_OCTETS;
}

int transfer_ahead(struct transaction *t)
{
	struct chunks c;
	chunks_begin(&c, t);
	int r = fill(t, &c.content, &c.buf, CHUNK_OCTETS);
	if (r >= 0)
		r = write_chunk(t, &c, true);
	chunks_end(&c, t);
	return r < 0 ? r : 0;
}

int transfer_ahead_replies(struct transaction *t)
{
	if (t->n_accepted > 0)
		return read_replies(t);
	t->stage = "waiting for the reply to a message that nobody gets";
	int r = read_reply(t);
	if (r >= 0)
		t->d->dotted = false;
	return r;
}
