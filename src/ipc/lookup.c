/* Questions to the directory and its answers. */
#include "ipc/lookup.h"

#define CHILD_MIN 27u /* fixed octets of one encoded child */

void lookup_encode(const struct lookup *l, struct buf *out)
{
	wire_put_u64(out, l->token);
	wire_put_span(out, l->address);
}

int lookup_decode(struct span payload, struct lookup *ret)
{
	struct wire w = wire_reader(payload);
	struct lookup l = {.token = wire_get_u64(&w)};

	l.address = wire_get_span(&w);
	if (w.error)
		return -EBADMSG;
	*ret = l;
	return 0;
}

void lookup_answer_encode(const struct lookup_answer *a, struct buf *out)
{
	wire_put_u64(out, a->token);
	wire_put_u8(out, (uint8_t)a->status);
}

int lookup_answer_decode(struct span payload, struct lookup_answer *ret)
{
	struct wire w = wire_reader(payload);
	uint64_t token = wire_get_u64(&w);
	uint8_t status = wire_get_u8(&w);

	if (w.error || status > LOOKUP_TOO_MANY)
		return -EBADMSG;
	*ret = (struct lookup_answer){token, (enum lookup_status)status};
	return 0;
}

void expand_ask_encode(const struct expand_ask *e, struct buf *out)
{
	wire_put_u64(out, e->token);
	wire_put_span(out, e->address);
	wire_put_span(out, e->reverse_path);
	wire_put_u8(out, e->relay);
	wire_put_span(out, e->via);
}

int expand_ask_decode(struct span payload, struct expand_ask *ret)
{
	struct wire w = wire_reader(payload);
	struct expand_ask e = {.token = wire_get_u64(&w)};

	e.address = wire_get_span(&w);
	e.reverse_path = wire_get_span(&w);
	e.relay = wire_get_u8(&w) != 0;
	e.via = wire_get_span(&w);
	if (w.error)
		return -EBADMSG;
	*ret = e;
	return 0;
}

static void hop_encode(const struct hop *h, struct buf *out)
{
	wire_put_u8(out, (uint8_t)h->kind);
	wire_put_u8(out, (uint8_t)h->via);
	wire_put_u16(out, h->port);
	wire_put_span(out, h->host);
	wire_put_span(out, h->path);
	wire_put_span(out, h->site);
	wire_put_span(out, h->route);
	wire_put_u8(out, h->implicit_tls);
	wire_put_span(out, h->enhanced);
	wire_put_span(out, h->text);
}

static void hop_decode(struct wire *w, struct hop *h)
{
	uint8_t kind = wire_get_u8(w), via = wire_get_u8(w);

	if (kind > HOP_MX || via > JOB_DISCARD)
		w->error = -EBADMSG;
	*h = (struct hop){.kind = (enum hop_kind)kind};
	h->via = (enum job_via)via;
	h->port = wire_get_u16(w);
	h->host = wire_get_span(w);
	h->path = wire_get_span(w);
	h->site = wire_get_span(w);
	h->route = wire_get_span(w);
	h->implicit_tls = wire_get_u8(w) != 0;
	h->enhanced = wire_get_span(w);
	h->text = wire_get_span(w);
}

void expand_answer_encode(const struct expand_answer *e, struct buf *out)
{
	wire_put_u64(out, e->token);
	wire_put_u8(out, (uint8_t)e->status);
	wire_put_u32(out, e->n_children);
	for (uint32_t i = 0; i < e->n_children; i++) {
		wire_put_span(out, e->children[i].address);
		hop_encode(&e->children[i].hop, out);
	}
}

int expand_answer_decode(struct span payload, struct arena *a, struct expand_answer *ret)
{
	struct wire w = wire_reader(payload);
	struct expand_answer e = {.token = wire_get_u64(&w)};
	uint8_t status = wire_get_u8(&w);

	e.status = (enum lookup_status)status;
	e.n_children = wire_get_u32(&w);
	if (w.error || status > LOOKUP_TOO_MANY || e.n_children > EXPAND_MAX ||
		(uint64_t)e.n_children * CHILD_MIN > w.rest.len)
		return -EBADMSG;
	e.children = arena_alloc(a, (e.n_children ? e.n_children : 1) * sizeof(*e.children));
	if (!e.children)
		return -ENOMEM;
	for (uint32_t i = 0; i < e.n_children; i++) {
		e.children[i].address = wire_get_span(&w);
		hop_decode(&w, &e.children[i].hop);
	}
	if (w.error)
		return -EBADMSG;
	*ret = e;
	return 0;
}
