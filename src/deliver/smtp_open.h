/* From the addresses of one host to a session over which mail may go: connect, greeting, EHLO,
 * STARTTLS, AUTH. */
#pragma once
#include "deliver/outbound.h"
#include "deliver/tls_policy.h"

struct smtp_opening {
	struct delivery *d;
	const struct outbound *out;
	const struct way *way;
	struct span host;		   /* for texts */
	const struct addresses *addresses; /* to try */
	const struct tls_answer *policy;
	const struct tls_target *target;
	bool clear; /* STARTTLS has failed here: go without (policy want MAY only) */
	uint64_t deadline_usec;
};
enum smtp_stage { OPEN_CONNECT, OPEN_GREETING, OPEN_TLS, OPEN_AUTH, OPEN_OURS };
struct smtp_failure {
	enum smtp_stage stage;
	int error;
	unsigned index; /* the address that failed */
	enum tls_failure tls;
	bool handshake; /* STARTTLS was begun: clear text needs a new connection */
	struct address peer, local;
	struct span why; /* of the TLS failure; in the delivery's arena */
	struct outcome_rcpt result;
};
/* A negative errno: *ret_failure says why, with a result that fits all recipients. tls: what is to
 * be reported of this session's TLS, also on success (test_names). */
SUSPENDS MUST_CHECK int smtp_open(const struct smtp_opening *o, struct smtp_client **ret_client,
	struct smtp_failure *ret_failure);
