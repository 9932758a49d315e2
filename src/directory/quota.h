/* How much a user may hand in: messages and recipients an hour, as a bucket that refills steadily.
 * Pure: the caller gives the time. Bounded; users whose buckets are full take no room. */
#pragma once
#include "base/span.h"

#define QUOTA_ENTRIES_MAX 65536u

struct quota;
struct quota_limits {
	uint64_t messages, recipients; /* an hour; 0: none */
};
struct quota_left {
	uint64_t messages, recipients; /* UINT64_MAX: no quota */
};
MUST_CHECK int quota_new(struct quota **ret_quota);
void quota_free(struct quota *q); /* NULL allowed */
void quota_left(struct quota *q, struct span login, const struct quota_limits *l, uint64_t now_usec,
	struct quota_left *ret_left);
/* To keep them over a restart: the latest `most` users, the one charged last at the end; used is in
 * units of 1/3600. */
void quota_each(const struct quota *q, size_t most, uint64_t now_usec,
	void (*fn)(void *arg, struct span login, uint64_t messages_used, uint64_t recipients_used,
		uint64_t age_usec),
	void *arg);
void quota_restore(struct quota *q, struct span login, uint64_t messages_used,
	uint64_t recipients_used, uint64_t age_usec, uint64_t now_usec);
/* Counts one message to so many recipients, if it fits. -EDQUOT: it does not; -ENOMEM. */
MUST_CHECK int quota_charge(struct quota *q, struct span login, const struct quota_limits *l,
	uint32_t recipients, uint64_t now_usec);
