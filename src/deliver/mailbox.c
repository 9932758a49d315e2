/* Puts the mailbox role together: a job runner and the folder fds that the supervisor hands down
 * ("maildir:/var/mail", one for each fixed prefix of a `maildir:` path). It parses addresses into
 * names and never sees a network. */
#include "deliver/mailbox.h"
#include <stdlib.h>

#include "base/log.h"
#include "deliver/jobs.h"
#include "deliver/maildir_delivery.h"

#define MAILBOX_JOBS_MAX   64u /* waiting for the pool's threads, which do the work */
#define MAILBOX_STORES_MAX 256u
#define MAILBOX_FD_PREFIX  "maildir:"

struct mailbox {
	struct role_process *process;
	struct jobs *jobs;
};

/* The folders in force now; names and fds stay the process's. Returns their number. */
static size_t stores_of(const struct role_process *p, struct maildir_store *stores)
{
	size_t cursor = 0, n = 0;
	const char *name = NULL;
	int fd;
	while (n < MAILBOX_STORES_MAX &&
		(fd = role_next_fd(p, MAILBOX_FD_PREFIX, &cursor, &name)) >= 0)
		stores[n++] = (struct maildir_store){
			.prefix = name + sizeof(MAILBOX_FD_PREFIX) - 1, .fd = fd};
	return n;
}

SUSPENDS static void deliver_to_maildirs(struct mailbox *self, struct delivery *d)
{
	struct maildir_store *stores = arena_alloc(d->arena, MAILBOX_STORES_MAX * sizeof(*stores));
	if (!stores)
		return;
	maildir_deliver(
		d, stores, stores_of(self->process, stores), role_config(self->process)->hostname);
}

SUSPENDS static void deliver(void *arg, struct delivery *d)
{
	struct mailbox *self = arg;
	if (d->unwanted) {
		delivery_set_all(
			d, delivery_result(d, OUTCOME_NOT_TRIED, 0, "4.3.2", "taken back"));
		return;
	}
	switch (d->job.via) {
	case JOB_MAILDIR:
		deliver_to_maildirs(self, d);
		return;
	case JOB_DISCARD:
		delivery_set_all(d, delivery_result(d, OUTCOME_DELIVERED, 0, "2.1.5", "discarded"));
		return;
	case JOB_PIPE:
		delivery_set_all(d, delivery_result(d, OUTCOME_DEFERRED, 0, "4.3.5",
					    "pipe: delivery is not part of this version"));
		return;
	case JOB_SMTP:
	case JOB_LMTP:
		break;
	}
	delivery_set_all(
		d, delivery_result(d, OUTCOME_DEFERRED, 0, "4.3.5", "this process has no network"));
}

static void on_jobs_drained(void *arg)
{
	struct mailbox *self = arg;
	struct role_process *process = self->process;
	role_set_state(process, NULL);
	jobs_free(self->jobs);
	free(self);
	role_finished(process);
}

static const struct jobs_ops ops = {.deliver = deliver, .drained = on_jobs_drained};

static struct mailbox *mailbox_of(struct role_process *p)
{
	struct mailbox *self = role_state(p);
	if (self)
		return self;
	self = calloc(1, sizeof(*self));
	if (!self)
		return NULL;
	self->process = p;
	if (jobs_new(&ops, self, MAILBOX_JOBS_MAX, &self->jobs) < 0) {
		free(self);
		return NULL;
	}
	role_set_state(p, self);
	return self;
}

static int mailbox_start(struct role_process *p)
{
	if (mailbox_of(p))
		return 0;
	role_failed(p, "no memory");
	return -ENOMEM;
}

static void mailbox_peer(struct role_process *p, enum role peer, unsigned index, int fd)
{
	(void)index;
	struct mailbox *self = peer == ROLE_DISPATCHER ? mailbox_of(p) : NULL;
	if (self)
		jobs_set_dispatcher(self->jobs, fd);
	else
		fd_close(fd);
}

static void mailbox_drain(struct role_process *p, uint64_t grace_usec)
{
	struct mailbox *self = role_state(p);
	if (self)
		jobs_drain(self->jobs, grace_usec);
	else
		role_finished(p);
}

const struct role_ops mailbox_role = {
	.role = ROLE_MAILBOX,
	.start = mailbox_start,
	.peer = mailbox_peer,
	.drain = mailbox_drain,
	.offload_threads = 8,
};
