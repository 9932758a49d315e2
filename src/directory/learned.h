/* What logins taught: SCRAM keys of passwords that came by PLAIN or LOGIN and had none, and who
 * logged in last when. It stands in data/auth/learned, a text that `postrider user
 * list` reads, too, and from where `postrider user keys` takes keys into the users' sources. */
#pragma once
#include "base/arena.h"
#include "sasl/secret.h"

struct learned;
/* folder: the fd of data/auth, borrowed; -1: nothing is kept beyond this process. A file that is
 * there is read. */
MUST_CHECK int learned_new(int folder, struct learned **ret_learned);
void learned_free(struct learned *l); /* NULL allowed */
/* written: called when new keys are in the file. */
void learned_watch(struct learned *l, void (*written)(void *arg), void *arg);
/* Keys of this login, as long as its hash is the one that they were learned with; NULL: none. */
const struct scram_keys *learned_keys(
	const struct learned *l, struct span login, struct span hash, enum scram_hash h);
MUST_CHECK int learned_put(struct learned *l, struct span login, struct span hash,
	const struct scram_keys keys[SCRAM_HASHES]);
/* A login just now; label: of the app password, or empty. Written down within a while. */
void learned_used(struct learned *l, struct span login, struct span label, uint64_t wall_usec);
/* At the end (kept.h). */
bool learned_is_being_written(const struct learned *l);
void learned_finish(struct learned *l);
