/* An open question lies in its owner's memory (a fiber's stack, an entry of the queue), linked in a
 * list and found by token; it is unlinked before its owner hears of it, so a late answer finds
 * nothing and is ignored. Without a peer (it is being restarted) questions wait, and a new channel
 * sends them again as often as their kind allows: what kills a peer must not kill one after the
 * other.
 *
 * Whoever hears of an end may start or cancel other questions: lists are walked with that in mind.
 */
#include "ipc/asker.h"
#include "base/map.h"
#include "base/wire.h"

static void unlink_request(struct asker_request *r)
{
	loop_timer_cancel(&r->deadline);
	list_remove(&r->node);
	(void)map_remove_u64(r->asker->by_token, r->token);
}

static void end(struct asker_request *r, int result)
{
	unlink_request(r);
	r->done(r, result);
}

static void on_deadline(struct loop_timer *t)
{
	end(CONTAINER_OF(t, struct asker_request, deadline), -ETIMEDOUT);
}

static int send_payload(struct asker *a, uint16_t type, uint64_t token, struct span payload)
{
	buf_reset(&a->payload);
	wire_put_u64(&a->payload, token);
	buf_put(&a->payload, payload);
	int r = a->payload.error;
	if (r == 0)
		r = channel_send(a->channel, type, buf_span(&a->payload), NULL, 0);
	if (a->payload.ptr)
		explicit_bzero(a->payload.ptr, a->payload.len); /* it may hold a password */
	return r;
}

/* 0 also when it waits for a channel. */
static int send_request(struct asker *a, struct asker_request *r)
{
	if (!a->channel || !channel_is_open(a->channel))
		return 0;
	if (r->sends >= r->ask->sends)
		return -EPIPE;
	int e = send_payload(a, r->ask->type, r->token, r->ask->payload);
	if (e == 0)
		r->sends++;
	return e == -EPIPE ? 0 : e;
}

static int on_frame(void *arg, struct frame *f)
{
	struct asker *a = arg;
	struct wire w = wire_reader(f->payload);
	int e = a->ops->frame ? a->ops->frame(a->arg, f) : 0;

	if (e != 0)
		return e < 0 ? e : 0;
	uint64_t token = wire_get_u64(&w);
	if (w.error)
		return w.error;
	struct asker_request *r = map_get_u64(a->by_token, token);
	if (!r)
		return 0;
	if (f->type != r->ask->answer_type)
		return -EPROTO;
	e = r->ask->take(r->ask->arg, f->payload);
	end(r, e);
	return e == -EBADMSG ? e : 0;
}

/* Each open request once, in its order; those that are started meanwhile come behind. */
static void each_open(struct asker *a, int (*fn)(struct asker *a, struct asker_request *r))
{
	struct list again;

	list_init(&again);
	for (struct list *n; (n = list_pop_front(&a->open));)
		list_push_back(&again, n);
	for (struct list *n; (n = list_pop_front(&again));) {
		struct asker_request *r = CONTAINER_OF(n, struct asker_request, node);
		list_push_back(&a->open, n);
		int e = fn(a, r);
		if (e < 0)
			end(r, e);
	}
}

/* Who may not ask another peer need not wait for it. */
static int asked_enough(struct asker *a, struct asker_request *r)
{
	(void)a;
	return r->sends >= r->ask->sends ? -EPIPE : 0;
}

static void on_close(void *arg, int error)
{
	struct asker *a = arg;

	(void)error; /* the supervisor says why a process died */
	channel_free(TAKE(a->channel));
	each_open(a, asked_enough);
}

static const struct channel_ops asker_channel_ops = {.on_frame = on_frame, .on_close = on_close};

int asker_init(struct asker *a, const struct asker_ops *ops, void *arg, size_t payload_max)
{
	*a = (struct asker){
		.ops = ops, .arg = arg, .by_token = map_new(0), .payload = BUF_INIT(payload_max)};
	list_init(&a->open);
	return a->by_token ? 0 : -ENOMEM;
}

void asker_done(struct asker *a)
{
	assert(list_empty(&a->open));
	channel_free(a->channel);
	map_free(a->by_token);
	buf_done(&a->payload);
}

int asker_attach(struct asker *a, int fd)
{
	struct channel *channel = NULL;
	int r = channel_new(fd, &asker_channel_ops, a, &channel);

	if (r < 0)
		return r;
	channel_free(a->channel);
	a->channel = channel;
	a->generation++;
	each_open(a, send_request);
	return 0;
}

int asker_start(struct asker *a, struct asker_request *r, uint64_t deadline_usec)
{
	assert(!list_linked(&r->node) && r->done);
	r->asker = a;
	r->token = ++a->next_token;
	r->sends = 0;
	r->deadline = (struct loop_timer){.fn = on_deadline};
	int e = map_put_u64(a->by_token, r->token, r);
	if (e < 0)
		return e;
	list_push_back(&a->open, &r->node);
	e = loop_timer_set(&r->deadline, deadline_usec);
	if (e == 0)
		e = send_request(a, r);
	if (e < 0)
		unlink_request(r);
	return e;
}

void asker_cancel(struct asker_request *r)
{
	if (list_linked(&r->node))
		unlink_request(r);
}

/* ---- for fibers ---- */

struct waiting {
	struct asker_request request;
	struct cond cond;
	bool ended;
	int result;
};

static void waiting_done(struct asker_request *r, int result)
{
	struct waiting *w = CONTAINER_OF(r, struct waiting, request);

	w->ended = true;
	w->result = result;
	cond_broadcast(&w->cond);
}

int asker_ask(struct asker *a, const struct asker_question *ask, uint64_t deadline_usec)
{
	struct waiting w = {.request = {.ask = ask, .done = waiting_done}};

	cond_init(&w.cond);
	int e = asker_start(a, &w.request, deadline_usec);
	/* The request's own deadline comes first; this one is for the rule that waits have one. */
	while (e >= 0 && !w.ended)
		e = cond_wait(&w.cond, deadline_usec + USEC_PER_SEC);
	asker_cancel(&w.request);
	return w.ended ? w.result : e;
}

void asker_tell(struct asker *a, uint16_t type, struct span payload)
{
	if (a->channel)
		(void)!send_payload(a, type, 0, payload);
}
