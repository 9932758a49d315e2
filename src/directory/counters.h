/* What a restart must not forgive: failures that were counted (guess.h), quotas that were used
 * (quota.h), and the key of fake salts (a new one would tell who exists: only his salt stays). Kept
 * in data/auth/counters, a bounded text. */
#pragma once
#include "directory/guess.h"
#include "directory/quota.h"

#define COUNTERS_KEPT_MAX 8192u /* of each kind, the latest */
#define COUNTERS_EVERY	  (3 * USEC_PER_SEC)
#define COUNTERS_SALT_KEY 32u

struct kept;
struct counters {
	struct guess *guess;
	struct quota *quota;
	uint8_t salt_key[COUNTERS_SALT_KEY];
	struct kept *file;
};
/* folder: of data/auth, borrowed; -1: nothing is kept. What is there is read, by this wall clock; a
 * file that is damaged is dropped, and logged. */
MUST_CHECK int counters_new(
	int folder, uint64_t now_usec, uint64_t wall_usec, struct counters **ret_counters);
void counters_free(struct counters *c); /* NULL allowed */
/* Something was counted: it will be written. */
void counters_changed(struct counters *c);
bool counters_are_being_written(const struct counters *c);
void counters_finish(struct counters *c); /* kept_finish */

/* Pure, for tests: the file's text, and what it does to counters. -EBADMSG: damaged; nothing was
 * changed then. */
void counters_format(
	const struct counters *c, uint64_t now_usec, uint64_t wall_usec, struct buf *out);
MUST_CHECK int counters_parse(
	struct counters *c, struct span text, uint64_t now_usec, uint64_t wall_usec);
