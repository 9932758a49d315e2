/* Puts the reporter together: one fiber looks at the clock and begins what is due, results and
 * requests come as frames in between. No mail depends on it: its death costs what was counted since
 * the last save, and deliverers go on without it. */
#include "tlsrpt/reporter.h"
#include "tlsrpt/reporter_internal.h"

#include "base/log.h"
#include "base/stats.h"
#include "net/https.h"
#include <stdlib.h>
#include <string.h>

#define RESULT_ARENA_MAX    (1u << 20)
#define CONTROL_BACKLOG_MAX (64u << 20) /* a long list */
#define HEAR_OUT_USEC	    (2 * USEC_PER_SEC)

struct source {
	struct list node;
	struct reporter *r;
	struct channel *channel;
};

void reporter_wake(struct reporter *r)
{
	r->woken = true;
	cond_signal(&r->wake);
}

bool reporter_enabled(const struct reporter *r)
{
	return role_config(r->process)->tlsrpt.enabled;
}

void reporter_head(const struct reporter *r, const struct counts *t, struct rpt_head *ret)
{
	const struct config *c = role_config(r->process);
	*ret = (struct rpt_head){
		.organization = c->tlsrpt.organization ? c->tlsrpt.organization : c->hostname,
		.contact = c->tlsrpt.contact,
		.hostname = c->hostname,
		.begin_sec = t->begin_sec,
		.end_sec = t->end_sec,
	};
}

static void reporter_free(struct reporter *r)
{
	periods_free(r);
	list_foreach_safe (it, tmp, &r->sources) {
		struct source *s = CONTAINER_OF(it, struct source, node);
		channel_free(s->channel);
		free(s);
	}
	channel_free(r->control);
	resolve_client_free(r->resolver);
	arena_free(r->arena);
	free(r);
}

/* ---- results ---- */

static int on_result(void *arg, struct frame *f)
{
	struct source *s = arg;
	struct reporter *r = s->r;
	struct wire w = wire_reader(f->payload);
	struct tls_result result;
	if (f->type != FRAME_TLS_RESULT)
		return -EPROTO;
	(void)wire_get_u64(&w);
	arena_reset(r->arena);
	int e = w.error ? w.error : tls_result_decode(w.rest, r->arena, &result);
	if (e == -EBADMSG)
		return e;
	if (e < 0 || !r->now || !reporter_enabled(r))
		return 0;
	STATS_ADD(tlsrpt_results_total, 1);
	if (counts_add(r->now, &result) < 0)
		STATS_ADD(tlsrpt_lost_total, 1);
	return 0;
}

static void on_source_close(void *arg, int error)
{
	struct source *s = arg;
	(void)error; /* the supervisor says why a process died */
	list_remove(&s->node);
	channel_free(s->channel);
	reporter_wake(s->r);
	free(s);
}

static int add_source(struct reporter *r, int fd)
{
	static const struct channel_ops ops = {.on_frame = on_result, .on_close = on_source_close};
	struct source *s = calloc(1, sizeof(*s));
	if (!s) {
		fd_close(fd);
		return -ENOMEM;
	}
	s->r = r;
	int e = channel_new(fd, &ops, s, &s->channel);
	if (e < 0) {
		free(s);
		return e;
	}
	list_push_back(&r->sources, &s->node);
	return 0;
}

/* ---- requests ---- */

static int on_request(void *arg, struct frame *f)
{
	return f->type == FRAME_ADMIN ? answers_frame(arg, f->payload) : -EPROTO;
}

static void on_control_close(void *arg, int error)
{
	struct reporter *r = arg;
	(void)error;
	channel_free(TAKE(r->control));
}

static int set_control(struct reporter *r, int fd)
{
	static const struct channel_ops ops = {
		.on_frame = on_request, .on_close = on_control_close};
	channel_free(TAKE(r->control));
	int e = channel_new(fd, &ops, r, &r->control);
	if (e == 0)
		channel_set_backlog_max(r->control, CONTROL_BACKLOG_MAX);
	return e;
}

/* ---- the fiber ---- */

static bool is_working(const struct reporter *r)
{
	for (unsigned i = 0; i < PREPARERS_MAX; i++)
		if (r->preparers[i].fiber)
			return true;
	for (unsigned i = 0; i < SENDERS_MAX; i++)
		if (r->senders[i].fiber)
			return true;
	return false;
}

static void cancel_workers(struct reporter *r)
{
	for (unsigned i = 0; i < PREPARERS_MAX; i++)
		if (r->preparers[i].fiber)
			fiber_cancel(r->preparers[i].fiber);
	for (unsigned i = 0; i < SENDERS_MAX; i++)
		if (r->senders[i].fiber)
			fiber_cancel(r->senders[i].fiber);
}

/* Until the next look at the clock, or until somebody wakes it. */
SUSPENDS static void wait_for_work(struct reporter *r)
{
	uint64_t deadline = loop_now_usec() + TURN_USEC;
	int e = 0;
	while (!r->woken && e == 0)
		e = cond_wait(&r->wake, deadline);
	r->woken = false;
}

/* Deliverers have ended when we are told to: what they said last is still in their channels. */
SUSPENDS static void hear_out(struct reporter *r)
{
	uint64_t deadline = loop_now_usec() + HEAR_OUT_USEC;
	int e = 0;
	while (!list_empty(&r->sources) && e == 0)
		e = cond_wait(&r->wake, deadline);
}

static void run(void *arg)
{
	struct reporter *r = arg;
	struct role_process *process = r->process;
	while (!r->draining) {
		periods_turn(r, false);
		if (reporter_enabled(r)) {
			prepare_start(r);
			send_start(r);
		}
		wait_for_work(r);
	}
	cancel_workers(r);
	while (is_working(r))
		wait_for_work(r);
	hear_out(r);
	periods_turn(r, true);
	role_set_state(process, NULL);
	reporter_free(r);
	role_finished(process);
}

/* ---- the role ---- */

static struct reporter *reporter_of(struct role_process *p)
{
	struct reporter *r = role_state(p);
	if (r)
		return r;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->process = p;
	list_init(&r->sources);
	list_init(&r->closed);
	list_init(&r->reports);
	cond_init(&r->wake);
	r->arena = arena_new(RESULT_ARENA_MAX);
	if (!r->arena || resolve_client_new(&r->resolver) < 0) {
		reporter_free(r);
		return NULL;
	}
	role_set_state(p, r);
	return r;
}

static int reporter_start(struct role_process *p)
{
	struct reporter *r = reporter_of(p);
	if (!r) {
		role_failed(p, "no memory");
		return -ENOMEM;
	}
	r->folder = role_fd(p, "tlsrpt");
	int e = periods_load(r);
	if (e == 0)
		e = fiber_spawn(run, r, NULL);
	if (e < 0) {
		role_failed(p, "cannot read the folder of TLS reports: %s", strerror(-e));
		return e;
	}
	r->started = true;
	return 0;
}

static void reporter_peer(struct role_process *p, enum role peer, unsigned index, int fd)
{
	(void)index;
	bool known = peer == ROLE_DELIVERER || peer == ROLE_RESOLVER || peer == ROLE_CONTROL;
	struct reporter *r = known ? reporter_of(p) : NULL;
	int e = 0;
	if (!r) {
		fd_close(fd);
	} else if (peer == ROLE_RESOLVER) {
		e = resolve_client_attach(r->resolver, fd);
	} else if (peer == ROLE_DELIVERER) {
		e = add_source(r, fd);
	} else {
		e = set_control(r, fd);
	}
	if (e < 0)
		log_text(LOG_LEVEL_ERROR, "peer-lost", "%s: %s", role_name(peer), strerror(-e));
}

static void reporter_drain(struct role_process *p, uint64_t grace_usec)
{
	struct reporter *r = role_state(p);
	(void)grace_usec; /* what it waits for gives up when told to */
	if (!r || !r->started) {
		role_finished(p);
		return;
	}
	r->draining = true;
	__atomic_store_n(&r->cancelled, true, __ATOMIC_RELAXED);
	cancel_workers(r);
	reporter_wake(r);
}

const struct role_ops reporter_role = {
	.role = ROLE_REPORTER,
	.load = https_load,
	.start = reporter_start,
	.peer = reporter_peer,
	.drain = reporter_drain,
	.offload_threads = SENDERS_MAX + 2, /* the others write files */
};
