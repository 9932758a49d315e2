/* An open question lies on its fiber's stack, linked in a list and found by token; it is unlinked
 * before the fiber goes on, whatever woke it, so a late answer finds nothing and is ignored.
 * Without a peer (it is being restarted) questions wait, and a new channel sends them again as
 * often as their kind allows: what kills a peer must not kill one after the other. */
#include "ipc/asker.h"
#include "base/map.h"
#include "base/wire.h"

struct question {
	struct list node;
	const struct asker_question *ask;
	uint64_t token;
	unsigned sends;
	bool ended;
	int result;
	struct cond cond;
};

static void question_end(struct question *q, int result)
{
	q->ended = true;
	q->result = result;
	cond_broadcast(&q->cond);
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

static void question_send(struct asker *a, struct question *q)
{
	if (!a->channel || !channel_is_open(a->channel) || q->ended)
		return;
	if (q->sends >= q->ask->sends) {
		question_end(q, -EPIPE);
		return;
	}
	int r = send_payload(a, q->ask->type, q->token, q->ask->payload);
	if (r == -EPIPE)
		return; /* it waits for the next channel */
	if (r < 0)
		question_end(q, r);
	else
		q->sends++;
}

static int on_frame(void *arg, struct frame *f)
{
	struct asker *a = arg;
	struct wire w = wire_reader(f->payload);
	int r = a->ops->frame ? a->ops->frame(a->arg, f) : 0;

	if (r != 0)
		return r < 0 ? r : 0;
	uint64_t token = wire_get_u64(&w);
	if (w.error)
		return w.error;
	struct question *q = map_get_u64(a->by_token, token);
	if (!q || q->ended)
		return 0;
	if (f->type != q->ask->answer_type)
		return -EPROTO;
	r = q->ask->take(q->ask->arg, f->payload);
	question_end(q, r);
	return r == -EBADMSG ? r : 0;
}

static void on_close(void *arg, int error)
{
	struct asker *a = arg;

	(void)error; /* the supervisor says why a process died */
	channel_free(TAKE(a->channel));
	/* Who may not ask another one need not wait for it. */
	list_foreach_safe (it, tmp, &a->open) {
		struct question *q = CONTAINER_OF(it, struct question, node);
		if (!q->ended && q->sends >= q->ask->sends)
			question_end(q, -EPIPE);
	}
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
	list_foreach_safe (it, tmp, &a->open)
		question_send(a, CONTAINER_OF(it, struct question, node));
	return 0;
}

int asker_ask(struct asker *a, const struct asker_question *ask, uint64_t deadline_usec)
{
	struct question q = {.ask = ask, .token = ++a->next_token};

	cond_init(&q.cond);
	int r = map_put_u64(a->by_token, q.token, &q);
	if (r < 0)
		return r;
	list_push_back(&a->open, &q.node);
	question_send(a, &q);
	while (r >= 0 && !q.ended)
		r = cond_wait(&q.cond, deadline_usec);
	list_remove(&q.node);
	(void)map_remove_u64(a->by_token, q.token);
	return q.ended ? q.result : r;
}

void asker_tell(struct asker *a, uint16_t type, struct span payload)
{
	if (a->channel)
		(void)!send_payload(a, type, 0, payload);
}
