/* The frames of auth.h. Fields in their order; a payload with octets left over is refused. */
#include "ipc/auth.h"

static int finished(const struct wire *w)
{
	return w->error || w->rest.len ? -EBADMSG : 0;
}

void auth_step_encode(const struct auth_step *s, struct buf *out)
{
	wire_put_u64(out, s->token);
	wire_put_u64(out, s->exchange);
	wire_put_u8(out, (uint8_t)s->kind);
	wire_put_u8(out, s->has_response);
	wire_put_span(out, s->response);
	if (s->kind != AUTH_BEGIN)
		return;
	wire_put_u64(out, s->session);
	wire_put_span(out, s->mechanism);
	wire_put_span(out, s->client);
	wire_put_span(out, s->exporter);
	wire_put_span(out, s->end_point);
	wire_put_span(out, s->fingerprint);
	wire_put_span(out, s->subject);
}

int auth_step_decode(struct span payload, struct auth_step *ret)
{
	struct wire w = wire_reader(payload);
	struct auth_step s = {.token = wire_get_u64(&w)};

	s.exchange = wire_get_u64(&w);
	uint8_t kind = wire_get_u8(&w);
	s.has_response = wire_get_u8(&w) != 0;
	s.response = wire_get_span(&w);
	if (w.error || kind > AUTH_CANCEL || s.response.len > AUTH_RESPONSE_MAX)
		return -EBADMSG;
	s.kind = (enum auth_step_kind)kind;
	if (s.kind == AUTH_BEGIN) {
		s.session = wire_get_u64(&w);
		s.mechanism = wire_get_span(&w);
		s.client = wire_get_span(&w);
		s.exporter = wire_get_span(&w);
		s.end_point = wire_get_span(&w);
		s.fingerprint = wire_get_span(&w);
		s.subject = wire_get_span(&w);
	}
	int r = finished(&w);
	if (r == 0)
		*ret = s;
	return r;
}

void auth_answer_encode(const struct auth_answer *a, struct buf *out)
{
	wire_put_u64(out, a->token);
	wire_put_u8(out, (uint8_t)a->status);
	wire_put_span(out, a->data);
}

int auth_answer_decode(struct span payload, struct auth_answer *ret)
{
	struct wire w = wire_reader(payload);
	struct auth_answer a = {.token = wire_get_u64(&w)};
	uint8_t status = wire_get_u8(&w);

	a.data = wire_get_span(&w);
	if (status > AUTH_TEMPORARY)
		return -EBADMSG;
	a.status = (enum auth_status)status;
	int r = finished(&w);
	if (r == 0)
		*ret = a;
	return r;
}

void submit_encode(const struct submit *s, struct buf *out)
{
	wire_put_u64(out, s->token);
	wire_put_u8(out, (uint8_t)s->kind);
	wire_put_span(out, s->login);
	wire_put_u32(out, s->recipients);
	wire_put_u32(out, s->n_addresses);
	for (uint32_t i = 0; i < s->n_addresses; i++)
		wire_put_span(out, s->addresses[i]);
}

int submit_decode(
	struct span payload, struct span addresses[SUBMIT_ADDRESSES_MAX], struct submit *ret)
{
	struct wire w = wire_reader(payload);
	struct submit s = {.token = wire_get_u64(&w), .addresses = addresses};
	uint8_t kind = wire_get_u8(&w);

	s.login = wire_get_span(&w);
	s.recipients = wire_get_u32(&w);
	s.n_addresses = wire_get_u32(&w);
	if (w.error || kind > SUBMIT_CHARGE || s.n_addresses > SUBMIT_ADDRESSES_MAX)
		return -EBADMSG;
	s.kind = (enum submit_kind)kind;
	for (uint32_t i = 0; i < s.n_addresses; i++)
		addresses[i] = wire_get_span(&w);
	int r = finished(&w);
	if (r == 0)
		*ret = s;
	return r;
}

void submit_answer_encode(const struct submit_answer *a, struct buf *out)
{
	wire_put_u64(out, a->token);
	wire_put_u8(out, (uint8_t)a->status);
	wire_put_u32(out, a->which);
	wire_put_u64(out, a->messages_left);
	wire_put_u64(out, a->recipients_left);
	wire_put_u64(out, a->message_size);
	wire_put_u64(out, a->recipients);
}

int submit_answer_decode(struct span payload, struct submit_answer *ret)
{
	struct wire w = wire_reader(payload);
	struct submit_answer a = {.token = wire_get_u64(&w)};
	uint8_t status = wire_get_u8(&w);

	a.which = wire_get_u32(&w);
	a.messages_left = wire_get_u64(&w);
	a.recipients_left = wire_get_u64(&w);
	a.message_size = wire_get_u64(&w);
	a.recipients = wire_get_u64(&w);
	if (status > SUBMIT_UNKNOWN)
		return -EBADMSG;
	a.status = (enum submit_status)status;
	int r = finished(&w);
	if (r == 0)
		*ret = a;
	return r;
}
