/* Clients speak channel frames on data/control (mode 0600: the kernel has checked who they are).
 * Each request gets a token of ours on its way to who answers, so that two clients cannot meet;
 * rows and ends come back under it and leave under the client's own. Every request ends exactly
 * once: by its answer, or by an error when the answerer is gone. */
#include "control/control.h"

#include "base/log.h"
#include "base/map.h"
#include "base/stats.h"
#include "control/questions.h"
#include "ipc/admin.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLIENTS_MAX	   32u
#define REQUESTS_MAX	   256u
#define CLIENT_BACKLOG_MAX (256u << 20) /* a long list to a slow reader */
#define TRACE_BACKLOG_MAX  (256u << 10) /* a trace to one: lines are left out */

struct control;
struct client {
	struct list node;
	struct control *control;
	struct channel *channel;
	struct questions questions;
};
struct request {
	uint64_t token, client_token;
	struct client *client; /* NULL: it has gone; rows are dropped */
	enum role by;	       /* who answers */
	bool trace;
	uint32_t lost; /* lines of a trace that its client was too slow for */
};
struct control {
	struct role_process *process;
	struct watch listener;
	struct channel *dispatcher, *reporter;
	struct resolve_client *resolver;
	struct list clients;
	unsigned n_clients;
	struct map *requests;
	uint64_t next_token;
	const void *pages;
	size_t pages_octets;
};

/* Nobody reads it any more. Unheard, it ends by itself. */
static void trace_cancel(struct control *ctl, uint64_t token)
{
	struct admin_request r = {.token = token, .verb = ADMIN_CANCEL};
	struct buf b = BUF_INIT(4096);

	admin_request_encode(&r, &b);
	if (ctl->dispatcher && b.error == 0)
		(void)!channel_send(ctl->dispatcher, FRAME_ADMIN, buf_span(&b), NULL, 0);
	buf_done(&b);
}

static void client_free(struct client *c)
{
	size_t cursor = 0;
	struct request *r;

	while ((r = map_next(c->control->requests, &cursor))) {
		if (r->client != c)
			continue;
		r->client = NULL;
		if (!r->trace)
			continue;
		trace_cancel(c->control, r->token);
		(void)map_remove_u64(c->control->requests, r->token);
		free(r);
	}
	questions_done(&c->questions);
	c->control->n_clients--;
	list_remove(&c->node);
	channel_free(c->channel);
	free(c);
}

static void send_client(struct client *c, uint16_t type, uint64_t token, struct span payload)
{
	struct buf b = BUF_INIT(CHANNEL_FRAME_MAX);

	wire_put_u64(&b, token);
	buf_put(&b, span_from(payload, sizeof(uint64_t)));
	if (b.error || channel_send(c->channel, type, buf_span(&b), NULL, 0) < 0)
		client_free(c);
	buf_done(&b);
}

static void answer_end(struct client *c, uint64_t token, int error, const char *text)
{
	struct admin_end end = {.token = token, .error = (uint32_t)error, .text = span_str(text)};
	struct buf b = BUF_INIT(4096);

	admin_end_encode(&end, &b);
	send_client(c, FRAME_ADMIN_END, token, buf_span(&b));
	buf_done(&b);
}

static void answer_stats(struct control *ctl, struct client *c, uint64_t token)
{
	struct buf b = BUF_INIT(CHANNEL_FRAME_MAX);

	wire_put_u64(&b, token);
	control_stats_encode(ctl->pages, ctl->pages_octets, &b);
	if (channel_send(c->channel, FRAME_ADMIN_ROW, buf_span(&b), NULL, 0) == 0)
		answer_end(c, token, 0, NULL);
	buf_done(&b);
}

/* A reader who stops stops nobody: what it cannot take is left out, and said with the next line. */
static void pass_line(struct request *r, struct span payload)
{
	struct admin_line l;
	struct buf b = BUF_INIT(CHANNEL_FRAME_MAX);

	if (!r->client || admin_line_decode(payload, &l) < 0)
		return;
	r->lost += l.lost;
	l.lost = r->lost;
	l.token = r->client_token;
	admin_line_encode(&l, &b);
	if (b.error || channel_backlog(r->client->channel) > TRACE_BACKLOG_MAX ||
		channel_send(r->client->channel, FRAME_ADMIN_LINE, buf_span(&b), NULL, 0) < 0)
		r->lost++;
	else
		r->lost = 0;
	buf_done(&b);
}

/* What was left out last is said before the end. */
static void tell_lost(struct request *r)
{
	struct admin_line l = {.token = r->client_token, .lost = r->lost};
	struct buf b = BUF_INIT(256);

	admin_line_encode(&l, &b);
	if (b.error == 0)
		(void)!channel_send(r->client->channel, FRAME_ADMIN_LINE, buf_span(&b), NULL, 0);
	buf_done(&b);
}

/* A row, a line or an end that came back, from the dispatcher or the supervisor. */
static int on_answer(struct control *ctl, struct frame *f)
{
	struct wire w = wire_reader(f->payload);
	uint64_t token = wire_get_u64(&w);

	if (w.error || (f->type != FRAME_ADMIN_ROW && f->type != FRAME_ADMIN_END &&
			       f->type != FRAME_ADMIN_LINE))
		return -EPROTO;
	struct request *r = map_get_u64(ctl->requests, token);
	if (!r)
		return 0;
	if (f->type == FRAME_ADMIN_LINE) {
		pass_line(r, f->payload);
		return 0;
	}
	if (r->client && r->lost > 0)
		tell_lost(r);
	if (r->client)
		send_client(r->client, f->type, r->client_token, f->payload);
	if (f->type == FRAME_ADMIN_END) {
		(void)map_remove_u64(ctl->requests, token);
		free(r);
	}
	return 0;
}

static struct channel **channel_of(struct control *ctl, enum role by)
{
	return by == ROLE_REPORTER ? &ctl->reporter : &ctl->dispatcher;
}

static enum role answerer(enum admin_verb verb)
{
	if (verb == ADMIN_RELOAD || verb == ADMIN_STATUS)
		return ROLE_SUPERVISOR;
	bool reports = verb >= ADMIN_TLSRPT_LIST && verb <= ADMIN_TLSRPT_SEND;
	return reports ? ROLE_REPORTER : ROLE_DISPATCHER;
}

static int pass_on(struct control *ctl, struct client *c, struct frame *f, enum admin_verb verb)
{
	enum role by = answerer(verb);
	struct channel *to = *channel_of(ctl, by);
	struct wire w = wire_reader(f->payload);
	uint64_t client_token = wire_get_u64(&w);
	struct request *r = calloc(1, sizeof(*r));
	struct buf b = BUF_INIT(CHANNEL_FRAME_MAX);
	int e = r ? 0 : -ENOMEM;

	if (e == 0) {
		*r = (struct request){.token = ++ctl->next_token,
			.client_token = client_token,
			.client = c,
			.by = by,
			.trace = verb == ADMIN_TRACE};
		wire_put_u64(&b, r->token);
		buf_put(&b, span_from(f->payload, sizeof(uint64_t)));
		e = b.error;
	}
	if (e == 0)
		e = map_put_u64(ctl->requests, r->token, r);
	if (e == 0) {
		e = by == ROLE_SUPERVISOR
			    ? role_send_supervisor(ctl->process, FRAME_ADMIN, buf_span(&b))
		    : to ? channel_send(to, FRAME_ADMIN, buf_span(&b), NULL, 0)
			 : -EPIPE;
		if (e < 0)
			(void)map_remove_u64(ctl->requests, r->token);
	}
	buf_done(&b);
	if (e < 0)
		free(r);
	return e;
}

static int on_client_frame(void *arg, struct frame *f)
{
	struct client *c = arg;
	struct control *ctl = c->control;

	if (f->type == FRAME_RESOLVE)
		return questions_frame(&c->questions, f->payload);
	struct arena *a = arena_new(CHANNEL_FRAME_MAX * 2);
	struct admin_request r;
	int e = a && f->type == FRAME_ADMIN ? admin_request_decode(f->payload, a, &r) : -EPROTO;
	uint64_t token = e == 0 ? r.token : 0;
	enum admin_verb verb = e == 0 ? r.verb : 0;

	arena_free(a);
	if (e < 0)
		return e;
	if (verb == ADMIN_STATS) {
		answer_stats(ctl, c, token);
		return 0;
	}
	if (map_count(ctl->requests) >= REQUESTS_MAX) {
		answer_end(c, token, EAGAIN, "too many requests are running; try again");
		return 0;
	}
	if (verb == ADMIN_CANCEL) {
		answer_end(c, token, EINVAL, "nothing to cancel");
		return 0;
	}
	e = pass_on(ctl, c, f, verb);
	if (e < 0)
		answer_end(c, token, EAGAIN,
			answerer(verb) == ROLE_REPORTER
				? "the reporter is starting; try again in a moment"
				: "the dispatcher is starting; try again in a moment");
	return 0;
}

static void on_client_close(void *arg, int error)
{
	(void)error;
	client_free(arg);
}

static void on_listener(struct watch *w, uint32_t events)
{
	static const struct channel_ops ops = {
		.on_frame = on_client_frame, .on_close = on_client_close};
	struct control *ctl = CONTAINER_OF(w, struct control, listener);
	int fd;

	(void)events;
	while ((fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct client *c = ctl->n_clients < CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;
		if (!c) {
			fd_close(fd);
			continue;
		}
		c->control = ctl;
		if (channel_new(fd, &ops, c, &c->channel) < 0) {
			free(c);
			continue;
		}
		channel_set_backlog_max(c->channel, CLIENT_BACKLOG_MAX);
		questions_init(&c->questions, ctl->resolver, c->channel);
		list_push_back(&ctl->clients, &c->node);
		ctl->n_clients++;
	}
}

static int on_peer_frame(void *arg, struct frame *f)
{
	return on_answer(arg, f);
}

static void peer_closed(struct control *ctl, enum role by)
{
	size_t cursor = 0;
	struct request *r;

	channel_free(TAKE(*channel_of(ctl, by)));
	while ((r = map_next(ctl->requests, &cursor))) {
		if (r->by != by)
			continue;
		(void)map_remove_u64(ctl->requests, r->token);
		if (r->client)
			answer_end(r->client, r->client_token, EAGAIN,
				by == ROLE_REPORTER
					? "the reporter ended before it had answered; try again"
					: "the dispatcher ended before it had answered; try "
					  "again");
		free(r);
	}
}

static void on_dispatcher_close(void *arg, int error)
{
	(void)error;
	peer_closed(arg, ROLE_DISPATCHER);
}

static void on_reporter_close(void *arg, int error)
{
	(void)error;
	peer_closed(arg, ROLE_REPORTER);
}

/* Peers may come before start, or after it when none is alive yet. */
static struct control *state_of(struct role_process *p)
{
	struct control *ctl = role_state(p);

	if (ctl)
		return ctl;
	ctl = calloc(1, sizeof(*ctl));
	if (!ctl || !(ctl->requests = map_new(0)) || resolve_client_new(&ctl->resolver) < 0)
		abort(); /* at start, without memory: the supervisor tries again */
	ctl->process = p;
	list_init(&ctl->clients);
	role_set_state(p, ctl);
	return ctl;
}

static void control_peer(struct role_process *p, enum role peer, unsigned index, int fd)
{
	static const struct channel_ops ops[] = {
		{.on_frame = on_peer_frame, .on_close = on_dispatcher_close},
		{.on_frame = on_peer_frame, .on_close = on_reporter_close}};
	struct control *ctl = state_of(p);

	(void)index;
	if (peer == ROLE_RESOLVER) {
		int e = resolve_client_attach(ctl->resolver, fd);
		if (e < 0)
			log_text(LOG_LEVEL_ERROR, "peer-lost", "resolver: %s", strerror(-e));
		return;
	}
	if (peer != ROLE_DISPATCHER && peer != ROLE_REPORTER) {
		fd_close(fd);
		return;
	}
	struct channel **channel = channel_of(ctl, peer);
	if (*channel)
		peer_closed(ctl, peer);
	if (channel_new(fd, &ops[peer == ROLE_REPORTER], ctl, channel) < 0)
		*channel = NULL;
}

static int control_start(struct role_process *p)
{
	struct control *ctl = state_of(p);
	struct stat st;
	int stats = role_fd(p, "stats"), listener = role_fd(p, "control");

	if (stats < 0 || listener < 0 || fstat(stats, &st) < 0)
		return -EPROTO;
	ctl->pages_octets = (size_t)st.st_size;
	ctl->pages = mmap(NULL, ctl->pages_octets, PROT_READ, MAP_SHARED, stats, 0);
	if (ctl->pages == MAP_FAILED)
		return -errno;
	int r = watch_init(&ctl->listener, listener, on_listener);
	if (r == 0)
		on_listener(&ctl->listener, 0);
	return r;
}

static void control_drain(struct role_process *p, uint64_t grace_usec)
{
	(void)grace_usec;
	role_finished(p);
}

static int control_supervisor_frame(struct role_process *p, struct frame *f)
{
	return on_answer(role_state(p), f);
}

const struct role_ops control_role = {
	.role = ROLE_CONTROL,
	.start = control_start,
	.peer = control_peer,
	.drain = control_drain,
	.supervisor_frame = control_supervisor_frame,
};
