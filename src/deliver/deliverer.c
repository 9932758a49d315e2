/* Puts the deliverer together: a job runner, the sessions kept between jobs, and what each kind
 * of job means here. It never decides when or where mail goes: that is the dispatcher's. */
#include "deliver/deliverer.h"
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "deliver/jobs.h"
#include "deliver/smtp_delivery.h"
#include "deliver/sts.h"
#include "ipc/asker.h"
#include "ipc/resolve_client.h"
#include "ipc/sign_client.h"
#include "net/https.h"

/* Each takes a fiber and an fd; the dispatcher's limits lie below. */
#define DELIVERER_JOBS_MAX 1000u
#define REPORT_OCTETS_MAX  (512u << 10) /* of one TLS result: far more than its bounds allow */

struct deliverer {
	struct role_process *process;
	struct jobs *jobs;
	struct outbound out;
	struct asker reports;
	bool started;
	int early_dispatcher; /* a channel that came before the start: no job runs unconfined */
};

SUSPENDS static void deliver(void *arg, struct delivery *d)
{
	struct deliverer *self = arg;
	switch (d->job.via) {
	case JOB_SMTP:
	case JOB_LMTP:
		self->out.config = role_config(self->process);
		smtp_deliver(d, &self->out);
		return;
	case JOB_DISCARD:
		delivery_set_all(d, delivery_result(d, OUTCOME_DELIVERED, 0, "2.1.5", "discarded"));
		return;
	case JOB_MAILDIR:
	case JOB_PIPE:
		break;
	}
	delivery_set_all(d, delivery_result(d, OUTCOME_DEFERRED, 0, "4.3.5",
				    "this process has no right to deliver to mailboxes"));
}

static void deliverer_free(struct deliverer *self)
{
	cache_free(self->out.cache); /* before the TLS that its sessions hang on */
	tls_client_free(self->out.tls);
	resolve_client_free(self->out.resolver);
	ways_free(self->out.ways);
	sign_client_free(self->out.keys); /* behind the keys that ask it */
	sts_free(self->out.sts);
	if (self->out.reports)
		asker_done(self->out.reports);
	free(self);
}

static void on_sessions_ended(void *arg)
{
	struct deliverer *self = arg;
	struct role_process *process = self->process;
	role_set_state(process, NULL);
	fd_close(self->early_dispatcher);
	jobs_free(self->jobs);
	deliverer_free(self);
	role_finished(process);
}

static void on_jobs_drained(void *arg)
{
	struct deliverer *self = arg;
	cache_drain(self->out.cache, on_sessions_ended, self);
}

static const struct jobs_ops ops = {.deliver = deliver, .drained = on_jobs_drained};

/* The reporter only listens. */
static int on_reporter_frame(void *arg, const struct frame *f)
{
	(void)arg;
	(void)f;
	return -EPROTO;
}

static const struct asker_ops reports_ops = {.frame = on_reporter_frame};

/* A peer may come before start: whichever is first makes the state. */
static struct deliverer *deliverer_of(struct role_process *p)
{
	struct deliverer *self = role_state(p);
	if (self)
		return self;
	self = calloc(1, sizeof(*self));
	if (!self)
		return NULL;
	self->process = p;
	self->early_dispatcher = -1;
	if (cache_new(&self->out.cache) < 0 || tls_client_new(&self->out.tls) < 0 ||
		resolve_client_new(&self->out.resolver) < 0 ||
		sign_client_new(&self->out.keys) < 0 ||
		ways_new(sign_client_signer(self->out.keys), &self->out.ways) < 0 ||
		jobs_new(&ops, self, DELIVERER_JOBS_MAX, &self->jobs) < 0 ||
		asker_init(&self->reports, &reports_ops, self, REPORT_OCTETS_MAX) < 0) {
		deliverer_free(self);
		return NULL;
	}
	self->out.reports = &self->reports;
	role_set_state(p, self);
	return self;
}

static void load_files(struct deliverer *self, const struct role_process *p)
{
	ways_load(self->out.ways, p);
	sts_set_roots(self->out.sts, ways_roots(self->out.ways));
}

static int deliverer_start(struct role_process *p)
{
	struct deliverer *self = deliverer_of(p);
	if (!self) {
		role_failed(p, "no memory");
		return -ENOMEM;
	}
	if (sts_new(role_fd(p, "sts"), &self->out.sts) < 0) {
		role_failed(p, "no memory");
		return -ENOMEM;
	}
	self->started = true;
	load_files(self, p);
	if (self->early_dispatcher >= 0)
		jobs_set_dispatcher(self->jobs, self->early_dispatcher);
	self->early_dispatcher = -1;
	return 0;
}

static void deliverer_peer(struct role_process *p, enum role peer, unsigned index, int fd)
{
	(void)index;
	bool known = peer == ROLE_DISPATCHER || peer == ROLE_RESOLVER || peer == ROLE_REPORTER ||
		     peer == ROLE_KEYS;
	struct deliverer *self = known ? deliverer_of(p) : NULL;
	if (!self) {
		fd_close(fd);
	} else if (peer != ROLE_DISPATCHER) {
		int r = peer == ROLE_RESOLVER ? resolve_client_attach(self->out.resolver, fd)
			: peer == ROLE_KEYS   ? sign_client_attach(self->out.keys, fd)
					      : asker_attach(&self->reports, fd);
		if (r < 0)
			log_text(LOG_LEVEL_ERROR, "peer-lost", "%s: %s", role_name(peer),
				strerror(-r));
	} else if (self->started) {
		jobs_set_dispatcher(self->jobs, fd);
	} else {
		fd_close(self->early_dispatcher);
		self->early_dispatcher = fd;
	}
}

/* Jobs on the way keep the settings that they began with. */
static void deliverer_reload(struct role_process *p, const struct config *old)
{
	struct deliverer *self = role_state(p);
	(void)old;
	if (self && self->started)
		load_files(self, p);
}

static void deliverer_drain(struct role_process *p, uint64_t grace_usec)
{
	struct deliverer *self = role_state(p);
	if (self)
		jobs_drain(self->jobs, grace_usec);
	else
		role_finished(p);
}

const struct role_ops deliverer_role = {
	.role = ROLE_DELIVERER,
	.load = https_load,
	.start = deliverer_start,
	.peer = deliverer_peer,
	.reload = deliverer_reload,
	.drain = deliverer_drain,
	/* Policies are fetched by up to STS_FETCHES_MAX; the others read messages. */
	.offload_threads = STS_FETCHES_MAX + 3,
};
