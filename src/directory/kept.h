/* A small file in data/auth that is written anew a while after something changed: beside itself,
 * synced and renamed, on the offload pool. A crash forgets what changed since; the file is always
 * whole. */
#pragma once
#include "base/buf.h"
#include "fiber/fiber.h"
#include "fiber/offload.h"

#define KEPT_NAME_MAX 32u

struct kept {
	int folder; /* borrowed; -1: nothing is kept */
	const char *name;
	const char *event; /* of the log, when it cannot be written */
	uint64_t every_usec;
	void (*format)(void *arg, struct buf *out); /* the whole file */
	void (*written)(void *arg);		    /* optional: it is on disk */
	void *arg;
	/* Inner. */
	struct loop_timer timer;
	bool writing, dirty;
	struct offload_job job;
	struct buf text; /* being written */
};
/* After the fields above are set: max octets of the file. */
void kept_init(struct kept *k, size_t max);
void kept_done(struct kept *k); /* nothing may be being written */
/* What is there; 0 too where there is none yet. */
MUST_CHECK int kept_read(const struct kept *k, struct buf *out);
/* To be written within every_usec. */
void kept_changed(struct kept *k);
bool kept_is_writing(const struct kept *k);
/* At the end: writes now, on this thread, what is not written yet. */
void kept_finish(struct kept *k);
