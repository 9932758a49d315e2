/* The dispatcher as a process: its peers and its turn.
 *
 * The queue's core decides everything and does nothing; the spool does and decides nothing. Between
 * them stands one rule: what the ledger must know is in the page cache before its effect leaves
 * this process. So events change the queue as they come, and the turn, once behind all of them:
 *
 *   events that came at a bad time, the operator's requests, queue_run, some compaction, a slice of
 *   a checkpoint, ledger_write; and only when that has worked: jobs to deliverers.
 *
 * When the ledger cannot be written, jobs stay here and no more are formed; mail is still accepted
 * as long as receivers have room. Each channel's end is the end of its peer: processes that are
 * restarted come with a fresh channel, and the old one is read to its end first, so that outcomes
 * sent with the last breath count. */
#include "queue/dispatcher.h"

#include "base/log.h"
#include "base/stats.h"
#include "ipc/admin.h"
#include "queue/dispatcher_internal.h"
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define SCRATCH_KEPT (64u << 10)

static const struct queue_ops queue_actions;

void dispatcher_event(struct dispatcher *d)
{
	queue_time(d->queue, loop_now_usec(), loop_wall_usec());
	loop_defer(&d->turn);
}

struct peer *dispatcher_peer(struct dispatcher *d, enum role role, unsigned index)
{
	/* The youngest: an older one with the same name is being read to its end. */
	for (struct list *n = d->peers.prev; n != &d->peers; n = n->prev) {
		struct peer *p = CONTAINER_OF(n, struct peer, node);
		if (p->role == role && p->index == index)
			return p;
	}
	return NULL;
}

void dispatcher_late(struct dispatcher *d, struct late l)
{
	struct late *copy = malloc(sizeof(*copy));

	if (!copy)
		abort(); /* the ledger knows more than we could keep */
	*copy = l;
	copy->node = (struct list){0};
	list_push_back(&d->late, &copy->node);
	loop_defer(&d->turn);
}

struct buf *dispatcher_scratch(struct dispatcher *d)
{
	if (d->scratch.cap > SCRATCH_KEPT)
		buf_done(&d->scratch);
	buf_reset(&d->scratch);
	return &d->scratch;
}

/* ---- the turn ---- */

static void late_apply(struct dispatcher *d, struct late *l)
{
	switch (l->kind) {
	case LATE_OUTCOME:
		dispatcher_outcome(d, l->peer, buf_span(&l->payload));
		break;
	case LATE_LOST:
		queue_job_lost(d->queue, l->a, l->b != 0);
		break;
	case LATE_UNSENT:
		queue_job_unsent(d->queue, l->a);
		break;
	case LATE_REPORT:
		dispatcher_report_late(d, l);
		break;
	case LATE_GONE:
		queue_segment_gone(d->queue, l->a);
		break;
	}
}

static void late_run(struct dispatcher *d)
{
	/* What comes while these are applied waits for the next turn. */
	struct list *last = d->late.prev;

	while (!list_empty(&d->late)) {
		struct list *n = list_pop_front(&d->late);
		struct late *l = CONTAINER_OF(n, struct late, node);
		late_apply(d, l);
		buf_done(&l->payload);
		free(l);
		if (n == last)
			break;
	}
}

static void set_due(struct dispatcher *d)
{
	uint64_t due = queue_next_due(d->queue);

	if (due == USEC_INFINITY)
		loop_timer_cancel(&d->due);
	else if (loop_timer_set(&d->due, due) < 0)
		abort(); /* a queue that never wakes is worse */
}

static void turn(struct loop_defer *defer)
{
	struct dispatcher *d = CONTAINER_OF(defer, struct dispatcher, turn);

	queue_time(d->queue, loop_now_usec(), loop_wall_usec());
	if (d->started) {
		late_run(d);
		admin_run(d);
		queue_run(d->queue, jobs_room(d));
		reports_run(d);
		dispatcher_compact(d);
		dispatcher_checkpoint(d);
		set_due(d);
	}
	if (dispatcher_ledger_write(d))
		jobs_send(d);
	writer_flush(d->writer);
	dispatcher_count(d);
	if (d->drain.on)
		dispatcher_drain_step(d);
}

static void on_due(struct loop_timer *t)
{
	loop_defer(&CONTAINER_OF(t, struct dispatcher, due)->turn);
}

/* Messages come and go in any order, so that the heap's end seldom becomes free by itself: what a
 * backlog took would stay until the next one. Each halving costs one look at the heap. */
static void give_memory_back(struct dispatcher *d)
{
	uint64_t now = queue_counts(d->queue).messages;

	if (d->most_messages < TRIM_MESSAGES || now > d->most_messages / 2)
		return;
	d->most_messages = now;
	message_unload_all(d);
	(void)malloc_trim(0);
}

static void on_tick(struct loop_timer *t)
{
	struct dispatcher *d = CONTAINER_OF(t, struct dispatcher, tick);

	store_check_disk(d->store);
	if (d->started)
		give_memory_back(d);
	loop_defer(&d->turn);
	if (loop_timer_set(t, loop_now_usec() + TICK_USEC) < 0)
		abort();
}

/* ---- peers ---- */

static int on_directory(struct peer *p, struct frame *f)
{
	struct dispatcher *d = p->d;
	struct expand_answer a;
	struct arena *arena = d->answer_arena;

	int r = f->type == FRAME_EXPAND_ANSWER || f->type == FRAME_ROUTE_ANSWER
			? expand_answer_decode(f->payload, arena, &a)
			: -EPROTO;
	if (r >= 0 && d->started) {
		dispatcher_event(d);
		if (f->type == FRAME_EXPAND_ANSWER)
			queue_expanded(d->queue, &a);
		else
			queue_routed(d->queue, &a);
	}
	arena_reset(arena);
	return r;
}

static int on_frame(void *arg, struct frame *f)
{
	struct peer *p = arg;

	switch (p->role) {
	case ROLE_RECEIVER:
		return receiver_frame(p, f);
	case ROLE_DELIVERER:
	case ROLE_MAILBOX:
		return deliverer_frame(p, f);
	case ROLE_DIRECTORY:
		return on_directory(p, f);
	case ROLE_CONTROL:
		return control_frame(p, f);
	default:
		return -EPROTO;
	}
}

static void on_close(void *arg, int error)
{
	struct peer *p = arg;
	struct dispatcher *d = p->d;

	if (error < 0)
		log_text(LOG_LEVEL_WARN, "peer-lost", "%s[%u]: %s", role_name(p->role), p->index,
			strerror(-error));
	list_remove(&p->node);
	if (p->role == ROLE_RECEIVER)
		receiver_gone(p);
	else if (p->role == ROLE_DELIVERER || p->role == ROLE_MAILBOX)
		deliverer_gone(p);
	else if (p->role == ROLE_CONTROL)
		control_gone(p);
	list_foreach (n, &d->late) {
		struct late *l = CONTAINER_OF(n, struct late, node);
		l->peer = l->peer == p ? NULL : l->peer;
	}
	channel_free(p->channel);
	map_free(p->opened);
	free(p);
	loop_defer(&d->turn);
}

static int peer_attach(struct dispatcher *d, enum role role, unsigned index, int fd)
{
	static const struct channel_ops ops = {.on_frame = on_frame, .on_close = on_close};

	if (role == ROLE_RESOLVER) {
		dispatcher_resolver_attach(d, fd);
		return 0;
	}
	struct peer *p = calloc(1, sizeof(*p));
	int r = -ENOMEM;

	if (!p || !(p->opened = map_new(0))) {
		fd_close(fd);
		goto fail;
	}
	p->d = d;
	p->role = role;
	p->index = index;
	list_init(&p->jobs);
	r = channel_new(fd, &ops, p, &p->channel);
	if (r < 0)
		goto fail;
	channel_set_backlog_max(p->channel, PEER_BACKLOG_MAX);
	list_push_back(&d->peers, &p->node);
	if (role == ROLE_RECEIVER)
		receiver_attached(p);
	else if (role == ROLE_DELIVERER || role == ROLE_MAILBOX)
		deliverer_attached(p);
	else if (role == ROLE_DIRECTORY && d->started) {
		dispatcher_event(d);
		queue_directory_restarted(d->queue);
	}
	return 0;
fail:
	map_free(p ? p->opened : NULL);
	free(p);
	return r;
}

/* Peers that are named before the start wait for it: their frames need an open spool. */
struct early_peer {
	enum role role;
	unsigned index;
	int fd;
};
struct early {
	struct early_peer *peers;
	size_t n;
	struct dispatcher *d; /* once started */
};

static struct early *early_of(struct role_process *process)
{
	struct early *e = role_state(process);

	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e)
			abort();
		role_set_state(process, e);
	}
	return e;
}

static void dispatcher_role_peer(
	struct role_process *process, enum role role, unsigned index, int fd)
{
	struct early *e = early_of(process);

	if (e->d) {
		int r = peer_attach(e->d, role, index, fd);
		if (r < 0)
			log_text(LOG_LEVEL_ERROR, "peer-lost", "%s[%u]: %s", role_name(role), index,
				strerror(-r));
		return;
	}
	struct early_peer *grown = realloc(e->peers, (e->n + 1) * sizeof(*grown));
	if (!grown)
		abort();
	e->peers = grown;
	e->peers[e->n++] = (struct early_peer){role, index, fd};
}

/* ---- life ---- */

static struct queue_settings settings_of(const struct config *c)
{
	struct queue_settings s = {
		.warn = c->queue.warn,
		.expire = c->queue.expire,
		.bounce_expire = c->queue.bounce_expire,
		.concurrency = c->queue.concurrency,
		.connect_timeout = c->queue.connect_timeout,
		.command_timeout = c->queue.command_timeout,
		.data_timeout = c->queue.data_timeout,
	};

	s.n_retry = (unsigned)MIN(c->queue.n_retry, ARRAY_LEN(s.retry));
	memcpy(s.retry, c->queue.retry, s.n_retry * sizeof(s.retry[0]));
	return s;
}

static int dispatcher_init(struct dispatcher *d)
{
	struct queue_settings s = settings_of(role_config(d->process));

	list_init(&d->peers);
	list_init(&d->unsent);
	list_init(&d->late);
	list_init(&d->unwritten);
	list_init(&d->requests);
	list_init(&d->traces);
	transcripts_init(&d->transcripts);
	cond_init(&d->answers);
	d->turn.fn = turn;
	d->due.fn = on_due;
	d->tick.fn = on_tick;
	d->notices = BUF_INIT(NOTICES_HELD_MAX);
	d->scratch = BUF_INIT(CHANNEL_FRAME_MAX);
	d->jobs = map_new(0);
	d->answer_arena = arena_new(MESSAGE_ARENA_MAX);
	d->outcome_arena = arena_new(MESSAGE_ARENA_MAX);
	if (!d->jobs || !d->answer_arena || !d->outcome_arena)
		return -ENOMEM;
	int r = dispatcher_resolver_init(d);
	return r < 0 ? r : queue_new(&queue_actions, d, &s, &d->queue);
}

static int dispatcher_start(struct role_process *process)
{
	struct early *e = early_of(process);
	struct dispatcher *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->process = process;
	int r = dispatcher_init(d);
	if (r == 0)
		r = dispatcher_spool_open(d);
	if (r == 0)
		r = fiber_spawn(dispatcher_recover, d, NULL);
	if (r == 0)
		r = loop_timer_set(&d->tick, loop_now_usec() + TICK_USEC);
	if (r < 0) {
		/* The process ends with this; the spool has said what it could not open. */
		role_failed(process, "cannot open the spool: %s", strerror(-r));
		return r;
	}
	e->d = d;
	for (size_t i = 0; r == 0 && i < e->n; i++)
		r = peer_attach(d, e->peers[i].role, e->peers[i].index, e->peers[i].fd);
	receivers_claim(d);
	free(TAKE(e->peers));
	return r;
}

static void dispatcher_reload(struct role_process *process, const struct config *old)
{
	struct dispatcher *d = early_of(process)->d;
	struct queue_settings s = settings_of(role_config(process));

	(void)old;
	queue_set_settings(d->queue, &s);
	dispatcher_resolver_settings(d);
	if (d->started) {
		dispatcher_event(d);
		queue_reroute(d->queue);
	}
}

static void dispatcher_role_drain(struct role_process *process, uint64_t grace_usec)
{
	struct dispatcher *d = early_of(process)->d;

	if (d)
		dispatcher_drain(d, grace_usec);
	else
		role_finished(process);
}

/* ---- the queue's actions ---- */

static void ask_directory(struct dispatcher *d, enum frame_type type, const struct expand_ask *ask)
{
	struct peer *p = dispatcher_peer(d, ROLE_DIRECTORY, 0);
	struct buf *b = dispatcher_scratch(d);

	expand_ask_encode(ask, b);
	/* What is lost with a directory is asked again of the next one. */
	if (p && !b->error &&
		channel_send(p->channel, (uint16_t)type, buf_span(b), NULL, 0) == -ENOBUFS)
		log_text(LOG_LEVEL_WARN, "directory-busy", "%zu octets wait",
			channel_backlog(p->channel));
}

static void on_expand(void *arg, const struct expand_ask *ask)
{
	ask_directory(arg, FRAME_EXPAND, ask);
}

static void on_route(void *arg, const struct expand_ask *ask)
{
	ask_directory(arg, FRAME_ROUTE, ask);
}

static const struct queue_ops queue_actions = {
	.ledger = dispatcher_ledger,
	.ledger_sync = dispatcher_ledger_sync,
	.expand = on_expand,
	.route = on_route,
	.mx = dispatcher_mx,
	.deliver = dispatcher_deliver,
	.report = dispatcher_report,
	.forget = dispatcher_forget,
	.outcome_kept = dispatcher_outcome_kept,
	.event = dispatcher_log_event,
	.cancel = dispatcher_cancel,
	.moved = dispatcher_moved,
};

const struct role_ops dispatcher_role = {
	.role = ROLE_DISPATCHER,
	.start = dispatcher_start,
	.peer = dispatcher_role_peer,
	.reload = dispatcher_reload,
	.drain = dispatcher_role_drain,
	.offload_threads = 4,
};
