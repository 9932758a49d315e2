/* Puts the mailbox role together: a job runner and the folder fds that the supervisor hands down
 * ("maildir:/var/mail", one for each fixed prefix of a `maildir:` path). It parses addresses into
 * names and never sees a network. */
#include "deliver/mailbox.h"
#include <fcntl.h>
#include <stdlib.h>

#include "base/log.h"
#include "deliver/jobs.h"
#include "deliver/maildir_delivery.h"

#define MAILBOX_JOBS_MAX   64u /* waiting for the pool's threads, which do the work */
#define MAILBOX_STORES_MAX 1024u
#define MAILBOX_FD_PREFIX  "maildir:"

struct mailbox {
	struct role_process *process;
	struct jobs *jobs;
	struct maildir_store *stores; /* our own copies: during a reload the process has none */
	size_t n_stores;
	bool started;
	int early_dispatcher; /* a channel that came before the start: no job runs unconfined */
};

static void free_stores(struct maildir_store *stores, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fd_close(stores[i].fd);
		free(stores[i].prefix);
	}
	free(stores);
}

/* The folders that the process has now take the place of those it had. */
static int take_stores(struct mailbox *self)
{
	struct maildir_store *stores = calloc(MAILBOX_STORES_MAX, sizeof(*stores));
	size_t cursor = 0, n = 0;
	const char *name = NULL;
	int fd;
	if (!stores)
		return -ENOMEM;
	while (n < MAILBOX_STORES_MAX &&
		(fd = role_next_fd(self->process, MAILBOX_FD_PREFIX, &cursor, &name)) >= 0) {
		struct maildir_store *s = &stores[n++];
		s->prefix = strdup(name + sizeof(MAILBOX_FD_PREFIX) - 1);
		s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		int r = !s->prefix ? -ENOMEM : s->fd < 0 ? -errno : 0;
		if (r < 0) {
			free_stores(stores, n);
			return r;
		}
	}
	free_stores(self->stores, self->n_stores);
	self->stores = stores;
	self->n_stores = n;
	return 0;
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
		maildir_deliver(
			d, self->stores, self->n_stores, role_config(self->process)->hostname);
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
	fd_close(self->early_dispatcher);
	jobs_free(self->jobs);
	free_stores(self->stores, self->n_stores);
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
	self->early_dispatcher = -1;
	if (jobs_new(&ops, self, MAILBOX_JOBS_MAX, &self->jobs) < 0) {
		free(self);
		return NULL;
	}
	role_set_state(p, self);
	return self;
}

static int mailbox_start(struct role_process *p)
{
	struct mailbox *self = mailbox_of(p);
	int r = self ? take_stores(self) : -ENOMEM;
	if (r < 0) {
		role_failed(p, "cannot keep the mail folders open: %s", strerrordesc_np(-r));
		return r;
	}
	self->started = true;
	if (self->early_dispatcher >= 0)
		jobs_set_dispatcher(self->jobs, self->early_dispatcher);
	self->early_dispatcher = -1;
	return 0;
}

static void mailbox_reload(struct role_process *p, const struct config *old)
{
	(void)old;
	struct mailbox *self = role_state(p);
	int r = self ? take_stores(self) : 0;
	if (r < 0) /* the old ones stay in force */
		log_text(LOG_LEVEL_ERROR, "mail-folders-not-reloaded", "%s", strerrordesc_np(-r));
}

static void mailbox_peer(struct role_process *p, enum role peer, unsigned index, int fd)
{
	(void)index;
	struct mailbox *self = peer == ROLE_DISPATCHER ? mailbox_of(p) : NULL;
	if (!self) {
		fd_close(fd);
	} else if (self->started) {
		jobs_set_dispatcher(self->jobs, fd);
	} else {
		fd_close(self->early_dispatcher);
		self->early_dispatcher = fd;
	}
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
	.reload = mailbox_reload,
	.drain = mailbox_drain,
	.offload_threads = 8,
};
