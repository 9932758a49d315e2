/* The job runner that the deliverer and the mailbox share: takes jobs from the dispatcher, runs
 * each on a fiber, and keeps every outcome until the dispatcher says that it is durable. A new
 * dispatcher replaces the old channel; jobs of the old one keep running and are told to the new
 * one when it asks (FRAME_INFLIGHT_ASK). */
#pragma once
#include "deliver/delivery.h"

/* Known at once: waiting, running, and outcomes not yet kept. */
#define JOBS_MAX 16384u

struct jobs_ops {
	/* Works the job off and fills d->outcome. What it leaves unset stays deferred. */
	SUSPENDS void (*deliver)(void *arg, struct delivery *d);
	/* After jobs_drain: nothing runs and nothing waits for the dispatcher. Called from the
	 * loop, once; jobs_free is allowed. */
	void (*drained)(void *arg);
};
/* ops and arg outlive the runner. running_max: fibers at once. */
MUST_CHECK int jobs_new(
	const struct jobs_ops *ops, void *arg, unsigned running_max, struct jobs **ret_jobs);
void jobs_free(struct jobs *jobs); /* nothing may be running; NULL allowed */
/* A channel to the (new) dispatcher; takes over fd. */
void jobs_set_dispatcher(struct jobs *jobs, int fd);
unsigned jobs_running(const struct jobs *jobs);
/* Takes nothing new, lets what runs end within the grace, then cancels it. */
void jobs_drain(struct jobs *jobs, uint64_t grace_usec);

/* Tells the dispatcher that the final dot (or its like) comes next; sent at once. 0, or a
 * negative errno: the dispatcher could not be told, so do not send it. */
SUSPENDS MUST_CHECK int jobs_mark_dot(struct delivery *d);
/* A line for who traces this job: at once, or never (jobs.c has the bound). */
void jobs_tell(struct delivery *d, char kind, struct span text);
