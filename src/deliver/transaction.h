/* One mail transaction over an open session, RFC 5321 3.3: MAIL, RCPTs, DATA, replies by
 * recipient. */
#pragma once
#include "deliver/envelope.h"

enum body_kind { BODY_7BIT, BODY_8BITMIME, BODY_BINARYMIME }; /* job.body */

enum rcpt_state {
	RCPT_OPEN,     /* no reply of its own yet */
	RCPT_ACCEPTED, /* 2xx to RCPT: the reply to the message decides */
	RCPT_LATER,    /* 452 or 552: its result is set (deferred), and may become "not tried" */
	RCPT_ANSWERED, /* its result is set */
};
struct transaction {
	struct delivery *d;
	struct smtp_client *c;
	struct envelope envelope;
	struct mime *mime;  /* the message must be converted; or NULL */
	struct reply reply; /* the last one read */
	struct buf line;    /* the command that is being sent */
	uint8_t *rcpts;	    /* enum rcpt_state, by position */
	uint32_t n_accepted, n_later;
	uint32_t total, sent, answered; /* commands: MAIL, each RCPT, DATA or the message itself */
	bool bdat;			/* RFC 3030 */
	bool ahead;			/* the message follows its envelope unasked */
	bool resetting;			/* RSET stands before MAIL, unanswered */
	bool pausing;			/* the pipeline is full: read before writing on */
	bool mail_accepted, go_ahead;	/* 250 to MAIL, 354 to DATA */
	const char *stage;
};
/* Sets every recipient's result. 0: the session can carry another transaction. Negative: it
 * cannot, close it. -ESTALE: it was a kept session that turned out dead before anything was
 * answered; nothing has happened and no result was set: use a fresh one. */
SUSPENDS MUST_CHECK int transaction_run(struct smtp_client *c, struct delivery *d);

/* Every recipient that still waits for the reply to the message gets this result. */
void transaction_settle(struct transaction *t, struct outcome_rcpt result);
