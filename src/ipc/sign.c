/* Questions to the keys process and its answers. */
#include "ipc/sign.h"

void sign_request_encode(const struct sign_request *r, struct buf *out)
{
	wire_put_u64(out, r->token);
	wire_put_span(out, span_make(r->ask.key_id, KEY_ID_OCTETS));
	wire_put_u8(out, (uint8_t)r->ask.padding);
	wire_put_u8(out, (uint8_t)r->ask.digest_name);
	wire_put_span(out, r->ask.digest);
}

int sign_request_decode(struct span payload, struct sign_request *ret)
{
	struct wire w = wire_reader(payload);
	struct sign_request r = {.token = wire_get_u64(&w)};
	struct span id = wire_get_span(&w);
	uint8_t padding = wire_get_u8(&w), digest = wire_get_u8(&w);

	r.ask.digest = wire_get_span(&w);
	if (w.error || id.len != KEY_ID_OCTETS || padding < SIGN_RSA_PKCS1 ||
		padding > SIGN_PADDING_LAST || digest < SIGN_MD5_SHA1 ||
		digest > SIGN_DIGEST_LAST || r.ask.digest.len > SIGN_DIGEST_OCTETS)
		return -EBADMSG;
	memcpy(r.ask.key_id, id.ptr, KEY_ID_OCTETS);
	r.ask.padding = (enum sign_padding)padding;
	r.ask.digest_name = (enum sign_digest)digest;
	*ret = r;
	return 0;
}

void sign_reply_encode(const struct sign_reply *r, struct buf *out)
{
	wire_put_u64(out, r->token);
	wire_put_u8(out, (uint8_t)r->status);
	wire_put_span(out, r->signature);
}

int sign_reply_decode(struct span payload, struct sign_reply *ret)
{
	struct wire w = wire_reader(payload);
	struct sign_reply r = {.token = wire_get_u64(&w)};
	uint8_t status = wire_get_u8(&w);

	r.status = (enum sign_status)status;
	r.signature = wire_get_span(&w);
	if (w.error || status > SIGN_BUSY || r.signature.len > SIGN_SIGNATURE_MAX)
		return -EBADMSG;
	*ret = r;
	return 0;
}
