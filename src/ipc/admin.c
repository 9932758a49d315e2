/* Requests of the command line and the rows of their answers. */
#include "ipc/admin.h"

#define ROW_RCPT_MIN 32u /* fixed octets of one encoded recipient */

void admin_request_encode(const struct admin_request *r, struct buf *out)
{
	wire_put_u64(out, r->token);
	wire_put_u8(out, (uint8_t)r->verb);
	wire_put_u8(out, r->all);
	wire_put_u8(out, r->no_bounce);
	wire_put_u8(out, r->retry);
	wire_put_span(out, r->sender);
	wire_put_span(out, r->recipient);
	wire_put_span(out, r->domain);
	wire_put_span(out, r->site);
	wire_put_span(out, r->state);
	wire_put_span(out, r->via);
	wire_put_u64(out, r->limit);
	wire_put_u32(out, r->n_ids);
	for (uint32_t i = 0; i < r->n_ids; i++)
		wire_put_u64(out, r->ids[i]);
}

int admin_request_decode(struct span payload, struct arena *a, struct admin_request *ret)
{
	struct wire w = wire_reader(payload);
	struct admin_request r = {.token = wire_get_u64(&w)};
	uint8_t verb = wire_get_u8(&w);

	r.verb = (enum admin_verb)verb;
	r.all = wire_get_u8(&w) != 0;
	r.no_bounce = wire_get_u8(&w) != 0;
	r.retry = wire_get_u8(&w) != 0;
	r.sender = wire_get_span(&w);
	r.recipient = wire_get_span(&w);
	r.domain = wire_get_span(&w);
	r.site = wire_get_span(&w);
	r.state = wire_get_span(&w);
	r.via = wire_get_span(&w);
	r.limit = wire_get_u64(&w);
	r.n_ids = wire_get_u32(&w);
	if (w.error || verb < ADMIN_QUEUE_LIST || verb > ADMIN_TLSRPT_SEND ||
		(uint64_t)r.n_ids * 8 > w.rest.len)
		return -EBADMSG;
	r.ids = arena_alloc(a, (r.n_ids ? r.n_ids : 1) * sizeof(*r.ids));
	if (!r.ids)
		return -ENOMEM;
	for (uint32_t i = 0; i < r.n_ids; i++)
		r.ids[i] = wire_get_u64(&w);
	*ret = r;
	return 0;
}

void queue_row_encode(const struct queue_row *r, struct buf *out)
{
	wire_put_u64(out, r->token);
	wire_put_u64(out, r->id);
	wire_put_u64(out, r->arrival_wall_usec);
	wire_put_u64(out, r->size);
	wire_put_u64(out, r->expires_wall_usec);
	wire_put_span(out, r->reverse_path);
	wire_put_span(out, r->client);
	wire_put_span(out, r->login);
	wire_put_u8(out, r->held);
	wire_put_u8(out, r->gone);
	wire_put_u32(out, r->n_rcpts_all);
	wire_put_u32(out, r->n_rcpts);
	for (uint32_t i = 0; i < r->n_rcpts; i++) {
		const struct queue_row_rcpt *p = &r->rcpts[i];
		wire_put_span(out, p->address);
		wire_put_span(out, p->original);
		wire_put_span(out, p->state);
		wire_put_u32(out, p->attempts);
		wire_put_u64(out, p->due_wall_usec);
		wire_put_span(out, p->site);
		wire_put_span(out, p->enhanced);
		wire_put_span(out, p->text);
	}
	wire_put_u32(out, r->n_sessions);
	for (uint32_t i = 0; i < r->n_sessions; i++) {
		wire_put_u64(out, r->sessions[i].wall_usec);
		wire_put_span(out, r->sessions[i].text);
	}
}

static int sessions_decode(struct wire *w, struct arena *a, struct queue_row *r)
{
	r->n_sessions = wire_get_u32(w);
	if (w->error || r->n_sessions > QUEUE_ROW_SESSIONS)
		return -EBADMSG;
	r->sessions = arena_alloc(a, (r->n_sessions ? r->n_sessions : 1) * sizeof(*r->sessions));
	if (!r->sessions)
		return -ENOMEM;
	for (uint32_t i = 0; i < r->n_sessions; i++) {
		r->sessions[i].wall_usec = wire_get_u64(w);
		r->sessions[i].text = wire_get_span(w);
	}
	return w->error ? -EBADMSG : 0;
}

int queue_row_decode(struct span payload, struct arena *a, struct queue_row *ret)
{
	struct wire w = wire_reader(payload);
	struct queue_row r = {.token = wire_get_u64(&w), .id = wire_get_u64(&w)};

	r.arrival_wall_usec = wire_get_u64(&w);
	r.size = wire_get_u64(&w);
	r.expires_wall_usec = wire_get_u64(&w);
	r.reverse_path = wire_get_span(&w);
	r.client = wire_get_span(&w);
	r.login = wire_get_span(&w);
	r.held = wire_get_u8(&w) != 0;
	r.gone = wire_get_u8(&w) != 0;
	r.n_rcpts_all = wire_get_u32(&w);
	r.n_rcpts = wire_get_u32(&w);
	if (w.error || (uint64_t)r.n_rcpts * ROW_RCPT_MIN > w.rest.len)
		return -EBADMSG;
	r.rcpts = arena_alloc(a, (r.n_rcpts ? r.n_rcpts : 1) * sizeof(*r.rcpts));
	if (!r.rcpts)
		return -ENOMEM;
	for (uint32_t i = 0; i < r.n_rcpts; i++) {
		struct queue_row_rcpt *p = &r.rcpts[i];
		p->address = wire_get_span(&w);
		p->original = wire_get_span(&w);
		p->state = wire_get_span(&w);
		p->attempts = wire_get_u32(&w);
		p->due_wall_usec = wire_get_u64(&w);
		p->site = wire_get_span(&w);
		p->enhanced = wire_get_span(&w);
		p->text = wire_get_span(&w);
	}
	int e = sessions_decode(&w, a, &r);
	if (e < 0)
		return e;
	*ret = r;
	return 0;
}

void admin_line_encode(const struct admin_line *l, struct buf *out)
{
	wire_put_u64(out, l->token);
	wire_put_u32(out, l->lost);
	wire_put_span(out, l->line);
}

int admin_line_decode(struct span payload, struct admin_line *ret)
{
	struct wire w = wire_reader(payload);
	struct admin_line l = {.token = wire_get_u64(&w), .lost = wire_get_u32(&w)};

	l.line = wire_get_span(&w);
	if (w.error)
		return -EBADMSG;
	*ret = l;
	return 0;
}

void tlsrpt_row_encode(const struct tlsrpt_row *r, struct buf *out)
{
	const uint64_t numbers[] = {r->begin_sec, r->end_sec, r->ok, r->failed, r->due_usec};

	wire_put_u64(out, r->token);
	wire_put_span(out, r->domain);
	wire_put_span(out, r->state);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		wire_put_u64(out, numbers[i]);
	wire_put_u32(out, r->attempts);
	wire_put_span(out, r->report);
	wire_put_span(out, r->targets);
	wire_put_span(out, r->text);
}

int tlsrpt_row_decode(struct span payload, struct tlsrpt_row *ret)
{
	struct wire w = wire_reader(payload);
	struct tlsrpt_row r = {.token = wire_get_u64(&w)};

	r.domain = wire_get_span(&w);
	r.state = wire_get_span(&w);
	r.begin_sec = wire_get_u64(&w);
	r.end_sec = wire_get_u64(&w);
	r.ok = wire_get_u64(&w);
	r.failed = wire_get_u64(&w);
	r.due_usec = wire_get_u64(&w);
	r.attempts = wire_get_u32(&w);
	r.report = wire_get_span(&w);
	r.targets = wire_get_span(&w);
	r.text = wire_get_span(&w);
	if (w.error)
		return w.error;
	*ret = r;
	return 0;
}

void admin_end_encode(const struct admin_end *e, struct buf *out)
{
	wire_put_u64(out, e->token);
	wire_put_u32(out, e->error);
	wire_put_span(out, e->text);
	wire_put_u64(out, e->count);
}

int admin_end_decode(struct span payload, struct admin_end *ret)
{
	struct wire w = wire_reader(payload);
	struct admin_end e = {.token = wire_get_u64(&w), .error = wire_get_u32(&w)};

	e.text = wire_get_span(&w);
	e.count = wire_get_u64(&w);
	if (w.error)
		return -EBADMSG;
	*ret = e;
	return 0;
}
