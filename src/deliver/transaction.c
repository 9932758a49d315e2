/* The client's side of RFC 5321 3.3 and 4.1.1.2-4, with PIPELINING (RFC 2920), SIZE (1870),
 * 8BITMIME (6152) and enhanced codes (2034) where offered.
 *
 * Commands are numbered: 0 is MAIL, 1..n the RCPTs, n+1 DATA. `sent` runs ahead of `answered` by
 * at most the window: one command at a time, or PIPELINE_MAX with PIPELINING, so that neither
 * side's socket buffer fills while nobody reads (RFC 2920 3.1).
 *
 * Invariants: every recipient gets exactly one result; after an error, those without an own reply
 * are deferred; the final dot leaves only behind a whole message that the dispatcher knows to be
 * about to end (jobs_mark_dot).
 *
 * 452 (and 552, RFC 5321 4.5.3.1.10) at RCPT means "send these in another transaction": they are
 * reported as not tried, for the queue to send at once, only if this transaction came to its reply
 * with at least one other recipient, so that each round has fewer recipients than the last and
 * the rounds end. X.2.x (mailbox full) is about the mailbox and waits for the schedule.
 *
 * A message with 8-bit octets goes as it is to a peer that does not offer 8BITMIME, as all MTAs
 * have come to do; converting it (RFC 6152 3) is a later issue's work. */
#include "deliver/transaction.h"
#include <stdlib.h>

#include "base/log.h"
#include "deliver/body.h"
#include "deliver/jobs.h"
#include "mail/dot.h"

#define PIPELINE_MAX	 64u /* commands on the way; refilled at half */
#define MAIL_COMMAND_MAX 8192u
/* A body must move on at this rate on the average, beside the data timeout. */
#define BODY_RATE_MIN 512u
#define YIELD_EVERY   (512u * 1024u)

enum body_kind { BODY_7BIT, BODY_8BITMIME, BODY_BINARYMIME }; /* job.body */

static bool address_is_sendable(struct span a)
{
	if (a.len > MAIL_COMMAND_MAX / 2)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		uint8_t c = (uint8_t)a.ptr[i];
		if (c < ' ' || c == 0x7f)
			return false;
	}
	return true;
}

void transaction_settle(struct transaction *t, struct outcome_rcpt result)
{
	for (uint32_t i = 0; i < t->d->job.n_rcpts; i++) {
		if (t->rcpts[i] == RCPT_OPEN || t->rcpts[i] == RCPT_ACCEPTED) {
			t->rcpts[i] = RCPT_ANSWERED;
			delivery_set(t->d, i, result);
		}
	}
}

/* ---- sending commands ---- */

SUSPENDS static int send_mail(struct transaction *t)
{
	const struct job *j = &t->d->job;
	struct buf b = BUF_INIT(MAIL_COMMAND_MAX);
	buf_printf(&b, "MAIL FROM:<%.*s>", SPAN_FMT(j->reverse_path));
	if (t->c->size)
		buf_printf(&b, " SIZE=%ju", (uintmax_t)j->size);
	if (t->c->eightbitmime && j->body == BODY_8BITMIME)
		buf_str(&b, " BODY=8BITMIME");
	buf_str(&b, "\r\n");
	int r = b.error ? b.error : stream_write(t->c->stream, buf_span(&b));
	buf_done(&b);
	return r;
}

SUSPENDS static int send_command(struct transaction *t, uint32_t n)
{
	const struct job *j = &t->d->job;
	if (n == 0)
		return send_mail(t);
	if (n > j->n_rcpts)
		return stream_write(t->c->stream, SPAN_LIT("DATA\r\n"));
	return stream_printf(t->c->stream, "RCPT TO:<%.*s>\r\n", SPAN_FMT(j->rcpts[n - 1].address));
}

static bool may_send(struct transaction *t)
{
	uint32_t outstanding = t->sent - t->answered;
	if (t->sent >= t->total)
		return false;
	if (outstanding == 0) /* all is known: is there anything to say DATA for? */
		return t->sent <= t->d->job.n_rcpts || t->n_accepted > 0;
	if (!t->c->pipelining)
		return false;
	if (outstanding >= PIPELINE_MAX)
		t->pausing = true;
	else if (outstanding <= PIPELINE_MAX / 2)
		t->pausing = false;
	return !t->pausing;
}

/* ---- replies ---- */

static void on_mail_reply(struct transaction *t)
{
	enum outcome_class class = smtp_class(&t->reply);
	if (class == OUTCOME_DELIVERED) {
		t->mail_accepted = true;
		return;
	}
	/* RFC 5321 4.1.1.2: no transaction. What the pipeline has sent ahead gets its errors. */
	transaction_settle(t, smtp_result(t->d, class, &t->reply));
	t->total = t->sent;
}

static void on_rcpt_reply(struct transaction *t, uint32_t i)
{
	const struct reply *r = &t->reply;
	if (t->rcpts[i] != RCPT_OPEN)
		return; /* MAIL was refused */
	if (smtp_class(r) == OUTCOME_DELIVERED) {
		t->rcpts[i] = RCPT_ACCEPTED;
		t->n_accepted++;
		return;
	}
	bool full = r->enhanced.class != 0 && r->enhanced.subject == 2;
	if (r->code == 452 || r->code == 552) {
		t->rcpts[i] = full ? RCPT_ANSWERED : RCPT_LATER;
		t->n_later += !full;
		delivery_set(t->d, i, smtp_result(t->d, OUTCOME_DEFERRED, r));
		return;
	}
	t->rcpts[i] = RCPT_ANSWERED;
	delivery_set(t->d, i, smtp_result(t->d, smtp_class(r), r));
}

/* 0, or -EPROTO when nobody can say what state the peer is in. */
static int on_data_reply(struct transaction *t)
{
	const struct reply *r = &t->reply;
	if (r->code == 354) {
		t->go_ahead = true;
		return 0;
	}
	if (r->code / 100 == 4 || r->code / 100 == 5) {
		transaction_settle(t, smtp_result(t->d, smtp_class(r), r));
		return 0;
	}
	transaction_settle(t, smtp_result(t->d, OUTCOME_DEFERRED, r));
	return -EPROTO;
}

static const char *stage_of(const struct transaction *t)
{
	if (t->answered == 0)
		return "sending MAIL FROM";
	return t->answered <= t->d->job.n_rcpts ? "sending RCPT TO" : "sending DATA";
}

/* -ECONNABORTED for a 421, which the peer may give to anything (RFC 5321 3.8). */
SUSPENDS static int next_reply(struct transaction *t)
{
	t->stage = stage_of(t);
	int r = smtp_client_reply(t->c, t->d->job.command_timeout, &t->reply);
	if (r < 0)
		return r;
	if (t->reply.code == 421)
		return -ECONNABORTED;
	uint32_t n = t->answered++;
	if (n == 0)
		on_mail_reply(t);
	else if (n <= t->d->job.n_rcpts)
		on_rcpt_reply(t, n - 1);
	else
		return on_data_reply(t);
	return 0;
}

SUSPENDS static int send_envelope(struct transaction *t)
{
	t->total = t->d->job.n_rcpts + 2;
	for (;;) {
		while (may_send(t)) {
			t->stage = stage_of(t);
			int r = send_command(t, t->sent);
			if (r < 0)
				return r;
			t->sent++;
		}
		if (t->answered == t->sent)
			return 0;
		int r = next_reply(t);
		if (r < 0)
			return r;
	}
}

/* ---- the message ---- */

SUSPENDS static int copy_body(struct transaction *t, char *chunk, struct buf *out)
{
	struct dot_encoder encoder;
	struct body body;
	ssize_t n;
	size_t since_yield = 0;
	int r = 0;
	dot_encoder_init(&encoder);
	body_init(&body, t->d);
	while (r >= 0 && (n = body_read_fiber(&body, chunk, BODY_CHUNK)) != 0) {
		if (n < 0) {
			struct log_line *l = log_begin(LOG_LEVEL_ERROR, "segment-unreadable");
			log_id(l, "id", t->d->job.message);
			log_errno(l, (int)n);
			log_end(l);
			t->stage = "reading the message from the spool";
			t->d->outcome.damaged = n == -EBADMSG;
			return -EIO;
		}
		buf_reset(out);
		dot_encode(&encoder, span_make(chunk, (size_t)n), out);
		r = out->error ? out->error : stream_write(t->c->stream, buf_span(out));
		since_yield += (size_t)n;
		if (r >= 0 && since_yield >= YIELD_EVERY) {
			since_yield = 0; /* a fast peer must not keep the others waiting */
			r = fiber_yield();
		}
	}
	if (r < 0)
		return r;
	buf_reset(out);
	dot_encode_end(&encoder, out);
	if (out->error)
		return out->error;
	/* Of a large message, all but the dot leaves first, so that the mark comes late; a small
	 * one travels in one piece with its dot. */
	if (t->d->job.size > BODY_CHUNK)
		r = stream_flush(t->c->stream);
	if (r >= 0)
		r = jobs_mark_dot(t->d);
	if (r >= 0) {
		t->stage = "sending the end of data";
		r = stream_write(t->c->stream, buf_span(out));
	}
	return r < 0 ? r : stream_flush(t->c->stream);
}

int transaction_send_body(struct transaction *t)
{
	const struct job *j = &t->d->job;
	CLEANUP(freep) char *chunk = malloc(BODY_CHUNK);
	struct buf out = BUF_INIT(4 * BODY_CHUNK);
	t->stage = "sending the message";
	if (!chunk)
		return -ENOMEM;
	uint64_t patience = j->data_timeout + j->size / BODY_RATE_MIN * USEC_PER_SEC;
	int r = smtp_client_watchdog(t->c, loop_now_usec() + patience);
	if (r >= 0)
		r = copy_body(t, chunk, &out);
	buf_done(&out);
	if (smtp_client_watchdog(t->c, USEC_INFINITY) < 0 && r >= 0)
		r = -ENOMEM;
	return smtp_client_error(t->c, r);
}

/* RFC 2920 3.1: 354 although no recipient was accepted: a lone dot, whatever it is answered. */
SUSPENDS static int send_lone_dot(struct transaction *t)
{
	t->stage = "ending an empty transaction";
	if (t->c->lmtp) /* RFC 2033 4.2 forbids it, and how many replies would follow? */
		return -EPROTO;
	int r = stream_write(t->c->stream, SPAN_LIT(".\r\n"));
	return r < 0 ? r : smtp_client_reply(t->c, t->d->job.data_timeout, &t->reply);
}

SUSPENDS static int send_message(struct transaction *t)
{
	int r = transaction_send_body(t);
	if (r < 0)
		return r;
	t->stage = "waiting for the reply to the end of data";
	if (t->c->lmtp)
		return lmtp_read_replies(t);
	r = smtp_client_reply(t->c, t->d->job.data_timeout, &t->reply);
	if (r < 0)
		return r;
	if (t->reply.code == 421)
		return -ECONNABORTED;
	transaction_settle(t, smtp_result(t->d, smtp_class(&t->reply), &t->reply));
	return 0;
}

/* ---- the whole ---- */

/* Cases that need no peer. True: all results are set. */
static bool refuse_early(struct transaction *t)
{
	struct delivery *d = t->d;
	const struct job *j = &d->job;
	if (d->unwanted) {
		delivery_set_all(
			d, delivery_result(d, OUTCOME_NOT_TRIED, 0, "4.3.2", "taken back"));
		return true;
	}
	if (t->c->size_max > 0 && j->size > t->c->size_max) { /* RFC 1870 6 */
		delivery_set_all(d, delivery_result(d, OUTCOME_FAILED, 552, "5.3.4",
					    "message size %ju exceeds %ju, the limit of %.*s",
					    (uintmax_t)j->size, (uintmax_t)t->c->size_max,
					    SPAN_FMT(buf_span(&t->c->remote))));
		return true;
	}
	if (j->body == BODY_BINARYMIME) { /* RFC 3030 3: only by BDAT */
		delivery_set_all(d, delivery_result(d, OUTCOME_FAILED, 554, "5.6.3",
					    "a binary message cannot be sent to this next hop"));
		return true;
	}
	bool sendable = address_is_sendable(j->reverse_path);
	for (uint32_t i = 0; i < j->n_rcpts && sendable; i++)
		sendable = address_is_sendable(j->rcpts[i].address);
	if (!sendable) /* it came through our own grammar: should not be */
		delivery_set_all(d, delivery_result(d, OUTCOME_FAILED, 553, "5.1.3",
					    "an address holds control characters"));
	return !sendable;
}

static void settle_error(struct transaction *t, int error)
{
	struct outcome_rcpt result;
	if (error == -ECONNABORTED) {
		result = smtp_result(t->d, OUTCOME_DEFERRED, &t->reply);
		if (t->reply.enhanced.class == 0)
			result.enhanced = SPAN_LIT("4.3.2");
	} else if (error == -EIO) {
		result = delivery_result(t->d, OUTCOME_DEFERRED, 0, "4.3.0",
			t->d->outcome.damaged ? "the message is damaged in the spool"
					      : "the spool could not be read");
	} else {
		result = smtp_error_result(t->d, t->c, error, t->stage);
		/* A cancel that comes behind the dot may have been too late: no free retry. */
		if (t->d->dotted)
			result.result = OUTCOME_DEFERRED;
	}
	transaction_settle(t, result);
}

SUSPENDS static int reset_session(struct transaction *t)
{
	if (!t->c->needs_rset)
		return 0;
	t->stage = "sending RSET";
	int r = stream_write(t->c->stream, SPAN_LIT("RSET\r\n"));
	if (r >= 0)
		r = smtp_client_reply(t->c, t->d->job.command_timeout, &t->reply);
	if (r >= 0 && t->reply.code / 100 != 2)
		r = -ECONNABORTED;
	t->c->needs_rset = r < 0;
	return r;
}

int transaction_run(struct smtp_client *c, struct delivery *d)
{
	struct transaction t = {.d = d, .c = c, .stage = "starting"};
	bool kept = c->transactions > 0;
	if (refuse_early(&t))
		return 0;
	t.rcpts = arena_alloc(d->arena, d->job.n_rcpts);
	if (!t.rcpts)
		return -ENOMEM;
	reply_init(&t.reply);
	c->transactions++;
	uint64_t begun = loop_now_usec();
	int r = reset_session(&t);
	if (r >= 0)
		r = send_envelope(&t);
	bool answered = t.answered > 0;
	if (r >= 0 && t.go_ahead)
		r = t.n_accepted > 0 ? send_message(&t) : send_lone_dot(&t);
	else if (r >= 0)
		c->needs_rset = t.mail_accepted;
	d->outcome.transfer_usec = loop_now_usec() - begun;

	if (r < 0 && kept && !answered && r != -ECANCELED) {
		reply_done(&t.reply);
		return -ESTALE;
	}
	if (r < 0)
		settle_error(&t, r);
	/* Each round must have fewer recipients than the last (see above). */
	for (uint32_t i = 0; r >= 0 && t.n_accepted > 0 && i < d->job.n_rcpts; i++) {
		if (t.rcpts[i] == RCPT_LATER)
			d->outcome.rcpts[i].result = OUTCOME_NOT_TRIED;
	}
	reply_done(&t.reply);
	return r;
}
