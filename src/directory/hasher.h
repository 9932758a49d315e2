/* Password hashes take tens of milliseconds on purpose: they run on the offload pool, few at once,
 * in a queue that is bounded and fair. One address runs one at a time; addresses without failures
 * go first; all addresses with failures together have one thread at most. */
#pragma once
#include "fiber/offload.h"
#include "net/address.h"

#define HASHES_RUNNING	   2u
#define HASHES_WAITING_MAX 512u

struct hasher {
	struct list clean, suspect, running; /* struct hash_task */
	unsigned n_waiting, n_running, n_suspect_running;
};
struct hash_task {
	struct list node;
	struct offload_job job;
	struct hasher *hasher;
	struct address client;
	bool is_clean;
	/* On the loop, before it begins: false: it is not wanted any more. */
	bool (*wanted)(struct hash_task *t);
	void (*work)(struct hash_task *t);	     /* on a pool thread */
	void (*done)(struct hash_task *t, bool ran); /* on the loop; may free the task */
};
void hasher_init(struct hasher *h);
/* -EBUSY: too many wait. Otherwise done will be called, but not from here. */
MUST_CHECK int hasher_submit(struct hasher *h, struct hash_task *t);
