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
/* Counts one message to so many recipients, if it fits. -EDQUOT: it does not; -ENOMEM. */
MUST_CHECK int quota_charge(struct quota *q, struct span login, const struct quota_limits *l,
	uint32_t recipients, uint64_t now_usec);
