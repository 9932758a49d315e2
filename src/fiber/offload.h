/* A small pool of threads for blocking calls (fdatasync, hashing, link): never block the loop.
 * Threads start on first use, at most the number given to offload_init, block all signals. */
#pragma once
#include "base/list.h"

struct offload_job {
	struct list node;
	int result;			     /* what work returned */
	int (*work)(struct offload_job *j);  /* on a pool thread; touches only its own job */
	void (*done)(struct offload_job *j); /* on the loop, after work; may free the job */
};
MUST_CHECK int offload_init(unsigned max_threads);
void offload_done(void); /* waits for running work */
void offload_submit(struct offload_job *j);
/* Runs fn(arg) on the pool and suspends until it has ended (not cancellable: the stack holds arg);
 * returns fn's result. */
SUSPENDS MUST_CHECK int offload_call(int (*fn)(void *arg), void *arg);
