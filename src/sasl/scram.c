/* One implementation for all bindings: GNU SASL's server knows tls-exporter but not
 * tls-server-end-point, which is all that TLS 1.2 clients without an exporter have, so the exchange
 * is ours; GNU SASL's client is its peer in the tests.
 *
 *   client-first-message = gs2-header client-first-message-bare         (RFC 5802 7)
 *   gs2-header           = ("p=" cb-name / "n" / "y") "," ["a=" saslname] ","
 *   client-first-bare    = [reserved-mext ","] username "," nonce ["," extensions]
 *   server-first         = nonce "," salt "," iteration-count
 *   client-final         = channel-binding "," nonce ["," extensions] "," proof
 *
 * A name that nobody has runs through the same steps with keys that nothing opens. */
#include "sasl/scram.h"
#include "base/base64.h"
#include "sasl/plain.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#define NONCE_OCTETS 18u /* 24 letters */
#define NONCE_MAX    512u

static const EVP_MD *md_of(const struct scram *s)
{
	return s->hash == SCRAM_SHA_1 ? EVP_sha1() : EVP_sha256();
}

void scram_init(struct scram *s, enum scram_hash hash, bool plus, bool plus_offered)
{
	*s = (struct scram){
		.hash = hash,
		.plus = plus,
		.plus_offered = plus_offered,
		.names = BUF_INIT(2 * SASL_NAME_MAX),
		.first_bare = BUF_INIT(SCRAM_MESSAGE_MAX),
		.header = BUF_INIT(SCRAM_MESSAGE_MAX),
		.challenge = BUF_INIT(SCRAM_MESSAGE_MAX),
		.binding = BUF_INIT(SCRAM_MESSAGE_MAX + SCRAM_BINDING_MAX),
	};
}

void scram_done(struct scram *s)
{
	buf_done(&s->names);
	buf_done(&s->first_bare);
	buf_done(&s->header);
	buf_done(&s->challenge);
	buf_done(&s->binding);
	explicit_bzero(&s->keys, sizeof(s->keys));
}

/* The next "x=value" with that letter; the rest stays in *s, ptr NULL at its end. */
static int attribute(struct span *s, char letter, struct span *ret_value)
{
	if (!s->ptr || s->len < 2 || s->ptr[0] != letter || s->ptr[1] != '=')
		return -EBADMSG;
	size_t end = span_index(*s, ',');
	*ret_value = span_from(span_head(*s, end), 2);
	*s = end < s->len ? span_from(*s, end + 1) : SPAN_NULL;
	return 0;
}

/* 7: saslname: "=2C" and "=3D" stand for "," and "=". Appends to names. */
static int decode_name(struct scram *s, struct span encoded, struct span *ret_name)
{
	size_t start = s->names.len;

	if (encoded.len == 0 || encoded.len > SASL_NAME_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < encoded.len; i++) {
		struct span rest = span_from(encoded, i);
		char c = encoded.ptr[i];
		if (c == '\0')
			return -EBADMSG;
		if (c == '=') {
			if (!span_starts_nocase(rest, SPAN_LIT("=2C")) &&
				!span_starts_nocase(rest, SPAN_LIT("=3D")))
				return -EBADMSG;
			c = rest.ptr[1] == '2' ? ',' : '=';
			i += 2;
		}
		buf_char(&s->names, c);
	}
	if (s->names.error)
		return s->names.error;
	*ret_name = span_make(s->names.ptr + start, s->names.len - start);
	return 0;
}

/* The binding's data behind the header, as the client has to repeat them. */
static int bind_channel(struct scram *s, struct span flag, const struct scram_binding *b)
{
	struct span data = SPAN_NULL;

	if (flag.len == 1 && (flag.ptr[0] == 'n' || flag.ptr[0] == 'y')) {
		if (s->plus)
			return -EBADMSG;
		/* 6: "y" is "I could, but you did not offer it": if we did, somebody in between
		 * took it out of our list. */
		return flag.ptr[0] == 'y' && s->plus_offered ? -EACCES : 0;
	}
	if (!s->plus || flag.len < 3 || flag.ptr[0] != 'p' || flag.ptr[1] != '=')
		return -EBADMSG;
	struct span name = span_from(flag, 2);
	if (span_equal(name, SPAN_LIT("tls-exporter")))
		data = b->exporter;
	else if (span_equal(name, SPAN_LIT("tls-server-end-point")))
		data = b->end_point;
	if (data.len == 0 || data.len > SCRAM_BINDING_MAX)
		return -EACCES;
	buf_put(&s->binding, data);
	return 0;
}

int scram_first(struct scram *s, struct span message, const struct scram_binding *binding)
{
	struct span rest = message, name;

	if (message.len > SCRAM_MESSAGE_MAX)
		return -EBADMSG;
	struct span flag = span_head(rest, span_index(rest, ','));
	rest = span_from(rest, flag.len + 1);
	struct span authzid = span_head(rest, span_index(rest, ','));
	if (flag.len + 1 + authzid.len + 1 > message.len)
		return -EBADMSG;
	rest = span_from(rest, authzid.len + 1);
	struct span bare = rest;
	buf_put(&s->header, span_head(message, message.len - bare.len));
	buf_put(&s->binding, buf_span(&s->header));
	int r = bind_channel(s, flag, binding);
	/* names must not move between the two: room for both is taken at once. */
	if (r == 0 && !buf_reserve(&s->names, 2 * SASL_NAME_MAX))
		r = -ENOMEM;
	if (r == 0 && authzid.len) {
		struct span none, value;
		none = authzid;
		r = attribute(&none, 'a', &value);
		if (r == 0)
			r = decode_name(s, value, &s->authzid);
	}
	/* 5.1: "m=" is an extension that must be understood; we know none, and refuse by this. */
	if (r == 0)
		r = attribute(&rest, 'n', &name);
	if (r == 0)
		r = decode_name(s, name, &s->name);
	buf_put(&s->first_bare, bare);
	if (r == 0) {
		struct span kept = span_from(buf_span(&s->first_bare), bare.len - rest.len);
		r = attribute(&kept, 'r', &s->client_nonce);
	}
	if (r == 0 && (s->client_nonce.len == 0 || s->client_nonce.len > NONCE_MAX))
		r = -EBADMSG;
	if (r == 0)
		r = s->header.error | s->binding.error | s->first_bare.error;
	return r;
}

/* For a name that nobody has: keys that no client has the other half of. */
static int fake_keys(struct scram *s, struct span salt)
{
	assert(salt.len == SCRAM_SALT_OCTETS);
	s->keys =
		(struct scram_keys){.iterations = SCRAM_ITERATIONS, .salt_len = SCRAM_SALT_OCTETS};
	memcpy(s->keys.salt, salt.ptr, SCRAM_SALT_OCTETS);
	if (getrandom(s->keys.stored, sizeof(s->keys.stored), 0) !=
			(ssize_t)sizeof(s->keys.stored) ||
		getrandom(s->keys.server, sizeof(s->keys.server), 0) !=
			(ssize_t)sizeof(s->keys.server))
		return -EIO;
	return 0;
}

int scram_challenge(struct scram *s, const struct scram_keys *keys, struct span fake_salt,
	struct span nonce, struct buf *out)
{
	uint8_t random[NONCE_OCTETS];
	int r = 0;

	s->known = keys != NULL;
	if (keys)
		s->keys = *keys;
	else
		r = fake_keys(s, fake_salt);
	if (r == 0 && getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		r = -EIO;
	if (r < 0)
		return r;
	buf_str(&s->challenge, "r=");
	buf_put(&s->challenge, s->client_nonce);
	if (nonce.len)
		buf_put(&s->challenge, nonce);
	else
		base64_encode(span_make(random, sizeof(random)), &s->challenge);
	buf_str(&s->challenge, ",s=");
	base64_encode(span_make(s->keys.salt, s->keys.salt_len), &s->challenge);
	buf_printf(&s->challenge, ",i=%u", s->keys.iterations);
	buf_put(out, buf_span(&s->challenge));
	return s->challenge.error | out->error;
}

/* 3: AuthMessage and what is signed with it. */
static int check_proof(struct scram *s, struct span auth, struct span proof, uint8_t *ret_signature)
{
	uint8_t signature[SCRAM_OCTETS_MAX], stored[SCRAM_OCTETS_MAX];
	size_t n = scram_octets(s->hash);
	const uint8_t *message = (const uint8_t *)auth.ptr;

	if (proof.len != n)
		return -EBADMSG;
	if (!HMAC(md_of(s), s->keys.stored, (int)n, message, auth.len, signature, NULL) ||
		!HMAC(md_of(s), s->keys.server, (int)n, message, auth.len, ret_signature, NULL))
		return -EINVAL;
	for (size_t i = 0; i < n; i++) /* the client's key */
		signature[i] ^= (uint8_t)proof.ptr[i];
	if (EVP_Digest(signature, n, stored, NULL, md_of(s), NULL) != 1)
		return -EINVAL;
	bool right = CRYPTO_memcmp(stored, s->keys.stored, n) == 0;
	explicit_bzero(signature, sizeof(signature));
	return right && s->known ? 0 : -EACCES;
}

/* Does the message repeat the binding and the nonces that were agreed on? */
static int check_repeated(struct scram *s, struct span binding, struct span nonce)
{
	struct buf octets = BUF_INIT(SCRAM_MESSAGE_MAX);
	/* "r=" NONCES ",s=...": ours, to compare with. */
	struct span ours = span_from(buf_span(&s->challenge), 2);
	int r = base64_decode(binding, &octets);

	ours = span_head(ours, span_index(ours, ','));
	if (r == 0 && !span_equal(buf_span(&octets), buf_span(&s->binding)))
		r = -EACCES;
	if (r == 0 && !span_equal(nonce, ours))
		r = -EACCES;
	buf_done(&octets);
	return r < 0 && r != -EACCES ? -EBADMSG : r;
}

int scram_final(struct scram *s, struct span message, struct buf *out)
{
	struct span rest = message, binding, nonce;
	struct buf auth = BUF_INIT(4 * SCRAM_MESSAGE_MAX), proof = BUF_INIT(SCRAM_OCTETS_MAX * 2);
	uint8_t signature[EVP_MAX_MD_SIZE];

	if (message.len > SCRAM_MESSAGE_MAX)
		return -EBADMSG;
	int r = attribute(&rest, 'c', &binding);
	if (r == 0)
		r = attribute(&rest, 'r', &nonce);
	/* The proof is last; extensions before it are passed over. */
	while (r == 0 && rest.ptr && !(rest.len >= 2 && rest.ptr[0] == 'p' && rest.ptr[1] == '=')) {
		size_t end = span_index(rest, ',');
		rest = end < rest.len ? span_from(rest, end + 1) : SPAN_NULL;
	}
	if (r == 0 && (!rest.ptr || span_index(rest, ',') < rest.len))
		r = -EBADMSG;
	if (r == 0 && base64_decode(span_from(rest, 2), &proof) < 0)
		r = -EBADMSG;
	if (r == 0)
		r = check_repeated(s, binding, nonce);
	if (r == 0) {
		buf_put(&auth, buf_span(&s->first_bare));
		buf_char(&auth, ',');
		buf_put(&auth, buf_span(&s->challenge));
		buf_char(&auth, ',');
		buf_put(&auth, span_head(message, message.len - rest.len - 1));
		r = auth.error ? auth.error
			       : check_proof(s, buf_span(&auth), buf_span(&proof), signature);
	}
	if (r == 0) {
		buf_str(out, "v=");
		base64_encode(span_make(signature, scram_octets(s->hash)), out);
		r = out->error;
	}
	buf_done(&auth);
	buf_done(&proof);
	return r;
}
