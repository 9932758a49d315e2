/* A mail transaction: what MAIL and RCPT gathered, RFC 5321 3.3. Small things live in its arena and
 * die with it. */
#pragma once
#include "base/arena.h"
#include "mail/path.h"
#include "spool/message.h"

enum body_type { BODY_7BIT, BODY_8BITMIME, BODY_BINARYMIME }; /* as FACT_BODY */

struct transaction {
	struct arena *arena;
	struct map *seen; /* canonical addresses, once there are many; NULL before */
	bool open;	  /* MAIL was accepted */
	uint64_t began_usec;
	struct span reverse_path; /* canonical, empty for <> */
	uint64_t declared_size;	  /* 0: not told */
	enum body_type body;
	uint64_t flags; /* MESSAGE_* that parameters set */
	struct span envid;
	uint64_t ret, priority, hold_until_wall_usec, deliver_by_wall_usec, deliver_by_mode;
	bool priority_lowered; /* it asked for more than it may have */
	bool prdr;
	struct message_rcpt next;   /* notify and orcpt of the RCPT that is being looked at */
	struct message_rcpt *rcpts; /* accepted ones, each once */
	uint32_t n_rcpts, cap_rcpts;
	uint32_t max_rcpts;
	uint32_t n_taken;   /* RCPTs answered 250, doubles too: as many replies has LMTP */
	uint32_t n_domains; /* of the recipients, counted where it is limited */
	bool relayed;	    /* one of them at least is foreign */
	unsigned refused;   /* RCPTs that were refused */
};
/* t is all zero, or was reset: then its arena stays, if it is as large as it has to be. */
void transaction_init(struct transaction *t, uint32_t max_rcpts);
void transaction_done(struct transaction *t);
/* Forgets everything: RSET, EHLO, after DATA. */
void transaction_reset(struct transaction *t);
/* Makes sure that there is an arena, for what parameters keep. -ENOMEM. */
MUST_CHECK int transaction_prepare(struct transaction *t);
/* -ENOMEM: the arena is full; -EINVAL: the domain is no name by IDNA's rules. */
MUST_CHECK int transaction_begin(
	struct transaction *t, const struct path *reverse_path, uint64_t now_usec);
bool transaction_has(const struct transaction *t, struct span canonical);
/* Is the domain one of those of the recipients so far? */
bool transaction_has_domain(const struct transaction *t, struct span domain);
/* With next.notify and next.orcpt. canonical lives in the arena already; original is copied when it
 * differs. -ENOMEM. */
MUST_CHECK int transaction_add(struct transaction *t, struct span canonical, struct span original);
/* The canonical form of a path in the arena, its U-labels as A-labels. domain, if its ptr is set,
 * stands for the path's own. -ENOMEM: full; -EINVAL as above. */
MUST_CHECK int transaction_canonical(struct transaction *t, const struct path *p,
	struct span domain, struct span *ret_canonical);
/* Behind the last "@" of a canonical address (a quoted local part may hold others). */
struct span address_domain(struct span canonical);
