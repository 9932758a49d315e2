/* Questions come from receivers (untrusted) and the dispatcher; each is answered in its turn, from
 * memory, without waiting. A question that cannot be read closes its asker's channel. */
#include "directory/directory.h"

#include "base/log.h"
#include "base/stats.h"
#include "directory/auth.h"
#include "directory/counters.h"
#include "directory/learned.h"
#include "directory/logins.h"
#include "directory/submit.h"
#include "directory/tables.h"
#include "route/users_sqlite.h"
#include <stdlib.h>
#include <string.h>

#define ARENA_MAX   (64u << 20) /* one answer's expansion */
#define FINISH_WAIT (2 * USEC_PER_SEC)
#define FINISH_STEP (10 * USEC_PER_MSEC)

struct directory {
	struct role_process *process;
	struct tables tables;
	struct list askers;
	struct arena *arena;
	struct buf answer;
	bool loaded;
	struct auth *auth;
	struct logins *logins;
	struct counters *counters;
	struct learned *learned;
	struct loop_timer renew; /* keys were learned */
};
struct asker {
	struct list node;
	struct directory *d;
	struct channel *channel;
	struct auth_peer *auth; /* NULL: no receiver */
};

static int answer_lookup(struct directory *d, struct span payload)
{
	struct lookup l;
	int r = lookup_decode(payload, &l);

	if (r < 0)
		return r;
	struct lookup_answer a = {
		l.token, d->loaded ? route_lookup(&d->tables.route, l.address) : LOOKUP_TEMPORARY};
	lookup_answer_encode(&a, &d->answer);
	return FRAME_LOOKUP_ANSWER;
}

/* Receivers ask this for EXPN, where the configuration lets everybody know; else lists are for the
 * dispatcher only. */
static bool may_expand(const struct directory *d, struct span address)
{
	size_t at = address.len;

	while (at > 0 && address.ptr[at - 1] != '@')
		at--;
	const struct config_domain *own =
		config_domain(role_config(d->process), span_from(address, at));
	return own && own->expn;
}

static int answer_expand(struct directory *d, bool a_stranger, struct span payload)
{
	struct expand_ask ask;
	struct expand_answer a;
	int r = expand_ask_decode(payload, &ask);

	if (r < 0)
		return r;
	if (a_stranger && !may_expand(d, ask.address))
		return -EPROTO;
	/* Out of memory is ours, not the address's: the dispatcher asks again. */
	if (!d->loaded || route_expand(&d->tables.route, &ask, d->arena, &a) < 0)
		a = (struct expand_answer){.token = ask.token, .status = LOOKUP_TEMPORARY};
	expand_answer_encode(&a, &d->answer);
	return FRAME_EXPAND_ANSWER;
}

static int answer_route(struct directory *d, struct span payload)
{
	struct expand_ask ask;
	struct expand_child child = {.hop = {.kind = HOP_TEMPORARY,
					     .enhanced = SPAN_LIT("4.3.0"),
					     .text = SPAN_LIT("the tables cannot be read")}};
	int r = expand_ask_decode(payload, &ask);

	if (r < 0)
		return r;
	child.address = ask.address;
	if (d->loaded)
		(void)!route_next_hop(&d->tables.route, &ask, d->arena, &child.hop);
	struct expand_answer a = {ask.token, LOOKUP_OK, &child, 1};
	expand_answer_encode(&a, &d->answer);
	return FRAME_ROUTE_ANSWER;
}

static int answer_submit(struct directory *d, struct span payload)
{
	struct span addresses[SUBMIT_ADDRESSES_MAX];
	struct submit s;
	struct submit_answer a;
	int r = submit_decode(payload, addresses, &s);

	if (r < 0)
		return r;
	a = (struct submit_answer){.token = s.token, .status = SUBMIT_UNKNOWN};
	if (d->loaded && d->logins)
		submit_answer(&d->tables.route, d->logins, d->counters->quota, &s, loop_now_usec(),
			d->arena, &a);
	if (s.kind == SUBMIT_CHARGE && a.status == SUBMIT_OK)
		counters_changed(d->counters);
	submit_answer_encode(&a, &d->answer);
	return FRAME_SUBMIT_ANSWER;
}

static int on_frame(void *arg, struct frame *f)
{
	struct asker *asker = arg;
	struct directory *d = asker->d;
	int type;

	if (f->type == FRAME_AUTH)
		return asker->auth ? auth_on_step(asker->auth, f->payload) : -EPROTO;
	arena_reset(d->arena);
	buf_reset(&d->answer);
	switch (f->type) {
	case FRAME_LOOKUP:
		type = answer_lookup(d, f->payload);
		break;
	case FRAME_EXPAND:
		type = answer_expand(d, asker->auth != NULL, f->payload);
		break;
	case FRAME_ROUTE:
		type = asker->auth ? -EPROTO : answer_route(d, f->payload);
		break;
	case FRAME_SUBMIT:
		type = asker->auth ? answer_submit(d, f->payload) : -EPROTO;
		break;
	default:
		return -EPROTO;
	}
	if (type < 0)
		return type;
	STATS_ADD(lookups_total, 1);
	if (d->answer.error)
		return d->answer.error;
	int r = channel_send(asker->channel, (uint16_t)type, buf_span(&d->answer), NULL, 0);
	/* An asker that does not read its answers asks again later; its channel is all it has. */
	return r == -ENOBUFS ? 0 : r;
}

static void on_close(void *arg, int error)
{
	struct asker *a = arg;

	if (error < 0)
		log_text(LOG_LEVEL_WARN, "peer-lost", "a channel to the directory broke: %s",
			strerror(-error));
	list_remove(&a->node);
	auth_peer_free(a->auth);
	channel_free(a->channel);
	free(a);
}

/* Who can log in, by the tables as they are now. */
static void renew_logins(struct directory *d)
{
	struct logins *next = NULL;

	if (d->loaded && logins_new(&d->tables.route, d->learned, &next) < 0)
		log_text(LOG_LEVEL_ERROR, "table-error", "out of memory: nobody can log in now");
	auth_set_logins(d->auth, next);
	logins_free(d->logins);
	d->logins = next;
}

static void on_renew(struct loop_timer *t)
{
	renew_logins(CONTAINER_OF(t, struct directory, renew));
}

/* Many may log in at once: what can be offered is looked at once for all of them. */
static void on_learned(void *arg)
{
	struct directory *d = arg;

	if (!d->renew.heap_index)
		(void)!loop_timer_set(&d->renew, loop_now_usec() + USEC_PER_SEC);
}

/* The supervisor sees to it that they get into the users' sources. */
static void on_written(void *arg)
{
	const struct directory *d = arg;

	(void)!role_send_supervisor(d->process, FRAME_KEYS_LEARNED, SPAN_NULL);
}

/* A peer may come before start. */
static struct directory *state_of(struct role_process *p)
{
	struct directory *d = role_state(p);

	if (d)
		return d;
	d = calloc(1, sizeof(*d));
	if (!d || !(d->arena = arena_new(ARENA_MAX)) ||
		counters_new(role_fd(p, "auth"), loop_now_usec(), loop_wall_usec(), &d->counters) <
			0 ||
		learned_new(role_fd(p, "auth"), &d->learned) < 0 ||
		auth_new(d->learned, d->counters, on_learned, d, &d->auth) < 0)
		abort(); /* at start, without memory: the supervisor tries again */
	d->process = p;
	d->answer = BUF_INIT(CHANNEL_FRAME_MAX);
	d->renew.fn = on_renew;
	learned_watch(d->learned, on_written, d);
	list_init(&d->askers);
	role_set_state(p, d);
	return d;
}

static void directory_peer(struct role_process *p, enum role peer, unsigned index, int fd)
{
	static const struct channel_ops ops = {.on_frame = on_frame, .on_close = on_close};
	struct asker *a;

	if (peer == ROLE_KEYS) {
		if (auth_attach_keys(state_of(p)->auth, fd) < 0)
			log_text(LOG_LEVEL_ERROR, "peer-lost", "keys: out of memory");
		return;
	}
	a = calloc(1, sizeof(*a));
	if (!a) {
		fd_close(fd);
		return;
	}
	a->d = state_of(p);
	int r = channel_new(fd, &ops, a, &a->channel);
	if (r == 0 && peer == ROLE_RECEIVER)
		r = auth_peer_new(a->d->auth, a->channel, &a->auth);
	if (r < 0) {
		log_text(LOG_LEVEL_ERROR, "peer-lost", "%s[%u]: %s", role_name(peer), index,
			strerror(-r));
		channel_free(a->channel);
		free(a);
		return;
	}
	list_push_back(&a->d->askers, &a->node);
}

static int directory_start(struct role_process *p)
{
	struct directory *d = state_of(p);
	int r = tables_load(p, NULL, &d->tables);

	d->loaded = r == 0;
	renew_logins(d);
	return r;
}

/* Also when a table's file has changed: the configuration is the same then. */
static void directory_reload(struct role_process *p, const struct config *old)
{
	struct directory *d = state_of(p);
	struct tables next;

	(void)old;
	if (tables_load(p, d->loaded ? &d->tables : NULL, &next) < 0) {
		/* The old tables point into the old configuration, which goes now. */
		log_text(LOG_LEVEL_ERROR, "table-error",
			"out of memory: answers are temporary failures now");
		auth_set_logins(d->auth, NULL);
		tables_done(&d->tables);
		d->loaded = false;
		renew_logins(d);
		return;
	}
	auth_set_logins(d->auth, NULL); /* what is being asked borrows nothing across turns */
	tables_done(&d->tables);
	d->tables = next;
	d->loaded = true;
	renew_logins(d);
}

static bool is_writing(const struct directory *d)
{
	return counters_are_being_written(d->counters) || learned_is_being_written(d->learned);
}

/* What is not written yet is, behind what is being written; nobody asks any more. */
static void finish(void *arg)
{
	struct directory *d = arg;
	uint64_t deadline = loop_now_usec() + FINISH_WAIT;

	while (is_writing(d) && loop_now_usec() < deadline)
		if (fiber_sleep(FINISH_STEP) < 0)
			break;
	counters_finish(d->counters);
	learned_finish(d->learned);
	role_finished(d->process);
}

static void directory_drain(struct role_process *p, uint64_t grace_usec)
{
	struct directory *d = state_of(p);

	(void)grace_usec;
	if (!is_writing(d))
		finish(d); /* without a wait */
	else if (fiber_spawn(finish, d, NULL) < 0)
		role_finished(p);
}

const struct role_ops directory_role = {
	.role = ROLE_DIRECTORY,
	.load = users_sqlite_load,
	.start = directory_start,
	.peer = directory_peer,
	.reload = directory_reload,
	.drain = directory_drain,
	.offload_threads = 2, /* HASHES_RUNNING */
};
