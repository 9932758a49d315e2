/* The frames of cram.h. */
#include "ipc/cram.h"

#define DIGEST_OCTETS 16u

void cram_ask_encode(const struct cram_ask *a, struct buf *out)
{
	wire_put_u64(out, a->token);
	wire_put_span(out, a->login);
	wire_put_span(out, a->sealed);
	wire_put_span(out, a->challenge);
	wire_put_span(out, a->digest);
}

int cram_ask_decode(struct span payload, struct cram_ask *ret)
{
	struct wire w = wire_reader(payload);
	struct cram_ask a = {.token = wire_get_u64(&w)};

	a.login = wire_get_span(&w);
	a.sealed = wire_get_span(&w);
	a.challenge = wire_get_span(&w);
	a.digest = wire_get_span(&w);
	if (w.error || w.rest.len || a.digest.len != DIGEST_OCTETS || a.login.len > CRAM_TEXT_MAX ||
		a.sealed.len > CRAM_TEXT_MAX || a.challenge.len > CRAM_TEXT_MAX)
		return -EBADMSG;
	*ret = a;
	return 0;
}

void cram_answer_encode(const struct cram_answer *a, struct buf *out)
{
	wire_put_u64(out, a->token);
	wire_put_u8(out, (uint8_t)a->status);
}

int cram_answer_decode(struct span payload, struct cram_answer *ret)
{
	struct wire w = wire_reader(payload);
	uint64_t token = wire_get_u64(&w);
	uint8_t status = wire_get_u8(&w);

	if (w.error || w.rest.len || status > CRAM_UNSEALABLE)
		return -EBADMSG;
	*ret = (struct cram_answer){token, (enum cram_status)status};
	return 0;
}
