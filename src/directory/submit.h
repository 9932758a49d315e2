/* What a user may hand in: as whom (RFC 6409 6.1, 8.1), and how much. */
#pragma once
#include "directory/logins.h"
#include "directory/quota.h"
#include "ipc/auth.h"
#include "route/route.h"

/* May the login send as that address? Yes for its own, with any subaddress; for aliases that lead
 * to it; for what its domain's `senders` table gives it. arena: for the expansion of aliases. */
enum submit_status submit_may_send(
	const struct route *r, struct span login, struct span address, struct arena *arena);
/* What the login may hand in: its own limits where the source has some, else the configuration's.
 */
struct user_limits submit_limits(const struct logins *l, const struct config *c, struct span login);
/* Answers a question. */
void submit_answer(const struct route *r, const struct logins *l, struct quota *q,
	const struct submit *s, uint64_t now_usec, struct arena *arena,
	struct submit_answer *ret_answer);
