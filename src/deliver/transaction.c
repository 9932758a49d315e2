/* The client's side of RFC 5321 3.3 and 4.1.1.2-4, with PIPELINING (RFC 2920), SIZE (1870) and
 * enhanced codes (2034) where offered; what MAIL and RCPT say is envelope.c's, the message itself
 * transfer.c's.
 *
 * Commands are numbered: 0 is MAIL, 1..n the RCPTs, n+1 DATA, or the whole message where it goes
 * by BDAT right behind them. `sent` runs ahead of `answered` by at most the window: one command at
 * a time, or PIPELINE_MAX with PIPELINING, so that neither side's socket buffer fills while nobody
 * reads (RFC 2920 3.1).
 *
 * Invariants: every recipient gets exactly one result; after an error, those without an own reply
 * are deferred; the final dot leaves only behind a whole message that the dispatcher knows to be
 * about to end (jobs_mark_dot).
 *
 * 452 (and 552, RFC 5321 4.5.3.1.10) at RCPT means "send these in another transaction": they are
 * reported as not tried, for the queue to send at once, only if this transaction came to its reply
 * with at least one other recipient, so that each round has fewer recipients than the last and
 * the rounds end. X.2.x (mailbox full) is about the mailbox and waits for the schedule. */
#include "deliver/transaction.h"

#include "base/stats.h"
#include "deliver/cache.h"
#include "deliver/content.h"
#include "deliver/transfer.h"
#include "mail/facts.h"

#define PIPELINE_MAX 64u /* commands on the way; refilled at half */
#define FRESH_USEC   USEC_PER_SEC
#define COMMAND_MAX  32768u /* an address, and ORCPT or ENVID in xtext */
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

SUSPENDS static int send_command(struct transaction *t, uint32_t n)
{
	if (n > t->envelope.n_send)
		return t->ahead ? transfer_ahead(t) : smtp_client_say(t->c, SPAN_LIT("DATA\r\n"));
	struct buf *b = &t->line;
	buf_reset(b);
	if (n == 0)
		envelope_mail(&t->envelope, b);
	else
		envelope_rcpt(&t->envelope, n - 1, b);
	return b->error ? b->error : smtp_client_say(t->c, buf_span(b));
}

static bool may_send(struct transaction *t)
{
	uint32_t outstanding = t->sent - t->answered;
	if (t->sent >= t->total)
		return false;
	if (outstanding == 0) /* all is known: is there anything to say DATA for? */
		return t->sent <= t->envelope.n_send || t->n_accepted > 0;
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

static void on_rcpt_reply(struct transaction *t, uint32_t n)
{
	const struct reply *r = &t->reply;
	uint32_t i = t->envelope.send[n];
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
	return t->answered <= t->envelope.n_send ? "sending RCPT TO" : "sending DATA";
}

/* Behind a RSET that was refused nobody knows what the answers are to. */
SUSPENDS static int reset_reply(struct transaction *t)
{
	t->stage = "sending RSET";
	int r = smtp_client_reply(t->c, t->d->job.command_timeout, &t->reply);
	if (r >= 0 && t->reply.code / 100 != 2)
		r = -ECONNABORTED;
	t->resetting = t->c->needs_rset = r < 0;
	return r;
}

/* -ECONNABORTED for a 421, which the peer may give to anything (RFC 5321 3.8). */
SUSPENDS static int next_reply(struct transaction *t)
{
	if (t->resetting)
		return reset_reply(t);
	t->stage = stage_of(t);
	int r = smtp_client_reply(t->c, t->d->job.command_timeout, &t->reply);
	if (r < 0)
		return r;
	if (t->reply.code == 421)
		return -ECONNABORTED;
	uint32_t n = t->answered++;
	if (n == 0)
		on_mail_reply(t);
	else if (n <= t->envelope.n_send)
		on_rcpt_reply(t, n - 1);
	else
		return on_data_reply(t);
	return 0;
}

SUSPENDS static int send_envelope(struct transaction *t)
{
	t->total = t->envelope.n_send + (t->bdat && !t->ahead ? 1 : 2);
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
		if (t->ahead && t->sent == t->envelope.n_send + 2 && t->answered + 1 == t->sent)
			return 0; /* the message's reply is left */
		int r = next_reply(t);
		if (r < 0)
			return r;
	}
}

/* ---- the message ---- */

/* RFC 2920 3.1: 354 although no recipient was accepted: a lone dot, whatever it is answered. */
SUSPENDS static int send_lone_dot(struct transaction *t)
{
	t->stage = "ending an empty transaction";
	if (t->c->lmtp) /* RFC 2033 4.2 forbids it, and how many replies would follow? */
		return -EPROTO;
	int r = smtp_client_say(t->c, SPAN_LIT(".\r\n"));
	return r < 0 ? r : smtp_client_reply(t->c, t->d->job.data_timeout, &t->reply);
}

SUSPENDS static int send_message(struct transaction *t)
{
	if (t->ahead && t->sent == t->envelope.n_send + 2) {
		int r = transfer_ahead_replies(t);
		/* RFC 3030 2: what a refused chunk leaves behind is ended by RSET. */
		t->c->needs_rset =
			t->mail_accepted && (r < 0 || smtp_class(&t->reply) != OUTCOME_DELIVERED);
		return r;
	}
	if (t->bdat && t->n_accepted > 0)
		return transfer_bdat(t);
	if (t->go_ahead)
		return t->n_accepted > 0 ? transfer_data(t) : send_lone_dot(t);
	t->c->needs_rset = t->mail_accepted;
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
	return false;
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

/* RFC 2920 3.1: RSET may begin a group, and costs no round where the envelope may follow it. */
SUSPENDS static int reset_session(struct transaction *t)
{
	if (!t->c->needs_rset)
		return 0;
	t->resetting = true;
	int r = smtp_client_say(t->c, SPAN_LIT("RSET\r\n"));
	return r < 0 || t->c->pipelining ? r : reset_reply(t);
}

/* A kept session may have died, and what left with its envelope may have been delivered then
 * without our hearing of it: only one that was used just now gets the message unasked. */
static bool is_fresh(const struct smtp_client *c)
{
	return loop_now_usec() + CACHE_IDLE_USEC < c->idle_deadline_usec + FRESH_USEC;
}

/* Whom the envelope leaves out has a result already. */
static void leave_out(struct transaction *t)
{
	memset(t->rcpts, RCPT_ANSWERED, t->d->job.n_rcpts);
	for (uint32_t i = 0; i < t->envelope.n_send; i++)
		t->rcpts[t->envelope.send[i]] = RCPT_OPEN;
}

/* RFC 6152 3, RFC 3030 3: what the peer cannot take as it is goes converted, or goes back. 0, or an
 * error of reading; nobody is left open where it goes back. */
SUSPENDS static int prepare_content(struct transaction *t)
{
	const struct smtp_client *c = t->c;
	const struct job *j = &t->d->job;
	bool binary = j->body == BODY_BINARYMIME;
	bool high = j->body == BODY_8BITMIME || (j->flags & MESSAGE_8BIT_BODY) || binary;
	if ((binary && c->offers.chunking && c->offers.binarymime) || !high ||
		(c->eightbitmime && !binary))
		return 0;
	t->stage = "looking at the message";
	t->envelope.body = c->eightbitmime ? BODY_8BITMIME : BODY_7BIT;
	int r = content_scan(t->d, c->eightbitmime ? MIME_TO_8BIT : MIME_TO_7BIT, binary, &t->mime);
	if (r == -EILSEQ || r == -E2BIG) {
		transaction_settle(
			t, delivery_result(t->d, OUTCOME_FAILED, 554, "5.6.3",
				   "the message is %s, which %.*s does not take, and %s",
				   binary ? "binary" : "8 bit", SPAN_FMT(buf_span(&c->remote)),
				   r == -EILSEQ ? "it must not be converted"
						: "it is too complex to be converted"));
		return 0;
	}
	if (r < 0)
		return transfer_read_failed(t, r);
	if (t->mime) {
		STATS_ADD(outbound_converted_total, 1);
		uint64_t size = mime_size(t->mime); /* a ceiling: not worth a refusal */
		t->envelope.size = c->size_max && size > c->size_max ? j->size : size;
	}
	return 0;
}

static bool any_open(const struct transaction *t)
{
	for (uint32_t i = 0; i < t->d->job.n_rcpts; i++)
		if (t->rcpts[i] == RCPT_OPEN)
			return true;
	return false;
}

int transaction_run(struct smtp_client *c, struct delivery *d)
{
	struct transaction t = {.d = d, .c = c, .stage = "starting", .line = BUF_INIT(COMMAND_MAX)};
	bool kept = c->transactions > 0;
	if (refuse_early(&t))
		return 0;
	t.rcpts = arena_alloc(d->arena, d->job.n_rcpts);
	int r = t.rcpts ? envelope_plan(&t.envelope, d, c, loop_wall_usec()) : -ENOMEM;
	if (r < 0 || t.envelope.n_send == 0)
		return r; /* nothing was said: the session is as it was */
	leave_out(&t);
	r = prepare_content(&t);
	if (r < 0)
		settle_error(&t, r);
	if (r < 0 || !any_open(&t))
		return r == -EIO ? 0 : r;
	t.bdat = c->offers.chunking;
	t.ahead = transfer_is_ahead(&t) && !c->needs_rset && (!kept || is_fresh(c));
	reply_init(&t.reply);
	c->transactions++;
	transcript_restart(&c->transcript);
	uint64_t begun = loop_now_usec();
	r = reset_session(&t);
	if (r >= 0)
		r = send_envelope(&t);
	bool answered = t.answered > 0;
	if (r >= 0)
		r = send_message(&t);
	d->outcome.transfer_usec = loop_now_usec() - begun;

	mime_free(t.mime);
	buf_done(&t.line);
	/* Replies come in order: a 421 to MAIL says that nothing behind it was taken, also what was
	 * sent unasked. Servers limit the messages of a connection like this. */
	if (r == -ECONNABORTED && !answered)
		d->dotted = false;
	if (r < 0 && kept && !answered && !d->dotted && r != -ECANCELED) {
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
