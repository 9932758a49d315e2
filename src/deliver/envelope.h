/* What of a job's envelope goes into one transaction with a peer, and how MAIL and RCPT say it. */
#pragma once
#include "deliver/smtp_client.h"

struct envelope {
	struct delivery *d;
	const struct smtp_client *c;
	/* As they are said: with A-labels where the peer needs them (RFC 6531 3.2). */
	struct span reverse_path;
	struct span *addresses; /* by position */
	uint32_t *send;		/* positions, in the order of their RCPTs */
	uint32_t n_send;
	bool smtputf8, dsn, by, prdr;
	uint8_t body;		   /* 0 7BIT, 1 8BITMIME, 2 BINARYMIME: as MAIL says it */
	uint64_t size;		   /* as MAIL says it */
	uint64_t by_remaining_sec; /* of by-mode R, when by is set; N may be past */
	bool by_is_past;
};
/* Chooses; whoever is left out has a result: failed, or not tried where the peer's limits leave
 * them to the next transaction. n_send 0: nothing is to be said. -ENOMEM. */
MUST_CHECK int envelope_plan(
	struct envelope *e, struct delivery *d, const struct smtp_client *c, uint64_t wall_usec);
void envelope_mail(const struct envelope *e, struct buf *out);
void envelope_rcpt(const struct envelope *e, uint32_t i, struct buf *out); /* i of n_send */
