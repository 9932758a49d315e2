/* SCRAM as a client, ours because GNU SASL's lacks tls-server-end-point (RFC 5929 4), all that TLS
 * 1.2 has to bind to without tls-unique, and because it does not say "y".
 *
 *   client-first = gs2-header "n=" saslname ",r=" nonce                 (RFC 5802 7)
 *   gs2-header   = ("p=" cb-name / "y" / "n") ",,"
 *   server-first = "r=" nonces ",s=" salt ",i=" rounds
 *   client-final = "c=" base64(gs2-header, binding) ",r=" nonces ",p=" proof
 *   server-final = "v=" signature / "e=" error
 *
 * "y" (RFC 5802 6) says: I could have bound the channel, and you did not offer it. A server that
 * did offer it then knows that somebody in between took it away, and refuses. The caller takes a
 * -PLUS form wherever one is offered, so that "y" is never a lie.
 *
 * Names and passwords go through SASLprep (RFC 4013); what it refuses is used as it is, as servers
 * do. */
#include "deliver/scram_client.h"
#include <gsasl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/base64.h"

#define NONCE_OCTETS 18u
#define SALT_MAX     1024u

struct scram_client {
	const EVP_MD *md;
	struct buf password, header, first_bare;
	size_t flag_len;		    /* of header: what goes before client-first-bare */
	size_t nonce_from;		    /* in first_bare */
	uint8_t signature[EVP_MAX_MD_SIZE]; /* that the server must show */
	unsigned step;
};

static void put_prepared(struct buf *out, const char *text)
{
	char *prepared = NULL;
	int r = gsasl_saslprep(text, GSASL_ALLOW_UNASSIGNED, &prepared, NULL);
	buf_str(out, r == GSASL_OK ? prepared : text);
	if (prepared)
		OPENSSL_cleanse(prepared, strlen(prepared));
	gsasl_free(prepared);
}

/* RFC 5802 5.1: "," and "=" in a name are "=2C" and "=3D". */
static void put_name(struct buf *out, const char *user)
{
	struct buf name = BUF_INIT(SCRAM_CLIENT_MESSAGE_MAX);
	put_prepared(&name, user);
	for (size_t i = 0; i < name.len; i++) {
		if (name.ptr[i] == ',' || name.ptr[i] == '=')
			buf_str(out, name.ptr[i] == ',' ? "=2C" : "=3D");
		else
			buf_char(out, name.ptr[i]);
	}
	if (name.error)
		out->error = name.error;
	buf_done(&name);
}

static int begin(struct scram_client *s, const struct scram_client_ask *ask)
{
	uint8_t random[NONCE_OCTETS];
	if (ask->plus)
		buf_printf(&s->header, "p=%s,,", ask->binding);
	else
		buf_str(&s->header, ask->binding ? "y,," : "n,,");
	s->flag_len = s->header.len;
	if (ask->plus)
		buf_put(&s->header, ask->binding_data);
	put_prepared(&s->password, ask->password);
	buf_str(&s->first_bare, "n=");
	put_name(&s->first_bare, ask->user);
	buf_str(&s->first_bare, ",r=");
	s->nonce_from = s->first_bare.len;
	if (ask->nonce.len > 0)
		buf_put(&s->first_bare, ask->nonce);
	else if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	else
		base64_encode(span_make(random, sizeof(random)), &s->first_bare);
	int error = s->header.error ? s->header.error : s->password.error;
	return error ? error : s->first_bare.error;
}

int scram_client_new(const struct scram_client_ask *ask, struct scram_client **ret)
{
	if (ask->plus && (!ask->binding || ask->binding_data.len == 0))
		return -EINVAL;
	struct scram_client *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->md = ask->sha256 ? EVP_sha256() : EVP_sha1();
	s->password = BUF_INIT(SCRAM_CLIENT_MESSAGE_MAX);
	s->header = BUF_INIT(SCRAM_CLIENT_MESSAGE_MAX);
	s->first_bare = BUF_INIT(SCRAM_CLIENT_MESSAGE_MAX);
	int r = begin(s, ask);
	if (r < 0) {
		scram_client_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void scram_client_free(struct scram_client *s)
{
	if (!s)
		return;
	if (s->password.ptr)
		OPENSSL_cleanse(s->password.ptr, s->password.cap);
	buf_done(&s->password);
	buf_done(&s->header);
	buf_done(&s->first_bare);
	free(s);
}

/* The value of the next "x=...", and what is behind its comma. */
static bool attribute(struct span *rest, char letter, struct span *ret_value)
{
	if (rest->len < 2 || rest->ptr[0] != letter || rest->ptr[1] != '=')
		return false;
	size_t end = span_index(*rest, ',');
	*ret_value = span_from(span_head(*rest, end), 2);
	*rest = span_from(*rest, MIN(end + 1, rest->len));
	return true;
}

uint64_t scram_client_rounds(struct span message)
{
	struct span rest = message, value;
	uint64_t rounds = 0;
	if (!attribute(&rest, 'r', &value) || !attribute(&rest, 's', &value) ||
		!attribute(&rest, 'i', &value))
		return 0;
	int r = span_to_u64(value, UINT32_MAX, &rounds);
	return r == -ERANGE ? UINT64_MAX : r < 0 ? 0 : rounds;
}

/* RFC 5802 3, from SaltedPassword to ClientProof (in place) and ServerSignature. */
static int sign(struct scram_client *s, struct span salt, uint64_t rounds, struct span auth,
	uint8_t *ret_proof)
{
	uint8_t salted[EVP_MAX_MD_SIZE], key[EVP_MAX_MD_SIZE], stored[EVP_MAX_MD_SIZE];
	int n = EVP_MD_get_size(s->md);
	const unsigned char *message = (const unsigned char *)auth.ptr;
	bool ok = PKCS5_PBKDF2_HMAC(s->password.ptr ? s->password.ptr : "", (int)s->password.len,
			  (const unsigned char *)salt.ptr, (int)salt.len, (int)rounds, s->md, n,
			  salted) == 1 &&
		  HMAC(s->md, salted, n, (const unsigned char *)"Server Key", 10, key, NULL) &&
		  HMAC(s->md, key, n, message, auth.len, s->signature, NULL) &&
		  HMAC(s->md, salted, n, (const unsigned char *)"Client Key", 10, key, NULL) &&
		  EVP_Digest(key, (size_t)n, stored, NULL, s->md, NULL) == 1 &&
		  HMAC(s->md, stored, n, message, auth.len, ret_proof, NULL);
	for (int i = 0; i < n; i++)
		ret_proof[i] ^= key[i];
	OPENSSL_cleanse(salted, sizeof(salted));
	OPENSSL_cleanse(key, sizeof(key));
	return ok ? 0 : -ENOMEM;
}

static int say_final(struct scram_client *s, struct span message, struct buf *out)
{
	struct span rest = message, nonces, encoded;
	struct span mine = span_from(buf_span(&s->first_bare), s->nonce_from);
	struct buf salt = BUF_INIT(SALT_MAX), auth = BUF_INIT(4 * SCRAM_CLIENT_MESSAGE_MAX);
	uint8_t proof[EVP_MAX_MD_SIZE];
	uint64_t rounds = scram_client_rounds(message);
	if (rounds > SCRAM_CLIENT_ROUNDS_MAX)
		return -ERANGE;
	/* 5.1: the nonce is ours and then some; an "m=" before it is no extension that we know. */
	if (rounds == 0 || !attribute(&rest, 'r', &nonces) || nonces.len <= mine.len ||
		!span_equal(span_head(nonces, mine.len), mine) ||
		!attribute(&rest, 's', &encoded) || base64_decode(encoded, &salt) < 0 ||
		salt.len == 0) {
		buf_done(&salt);
		return -EBADMSG;
	}
	size_t from = out->len;
	buf_str(out, "c=");
	base64_encode(buf_span(&s->header), out);
	buf_printf(out, ",r=%.*s", SPAN_FMT(nonces));
	buf_printf(&auth, "%.*s,%.*s,%.*s", SPAN_FMT(buf_span(&s->first_bare)), SPAN_FMT(message),
		SPAN_FMT(span_from(buf_span(out), from)));
	int r = auth.error ? auth.error : out->error;
	if (r == 0)
		r = sign(s, buf_span(&salt), rounds, buf_span(&auth), proof);
	if (r == 0) {
		buf_str(out, ",p=");
		base64_encode(span_make(proof, (size_t)EVP_MD_get_size(s->md)), out);
		r = out->error;
	}
	buf_done(&salt);
	buf_done(&auth);
	return r < 0 ? r : 1;
}

static int check_server(const struct scram_client *s, struct span message)
{
	struct span rest = message, encoded;
	struct buf signature = BUF_INIT(EVP_MAX_MD_SIZE + 3);
	size_t n = (size_t)EVP_MD_get_size(s->md);
	if (!attribute(&rest, 'v', &encoded))
		return -EACCES;
	bool right = base64_decode(encoded, &signature) >= 0 && signature.len == n &&
		     CRYPTO_memcmp(signature.ptr, s->signature, n) == 0;
	buf_done(&signature);
	return right ? 0 : -EACCES;
}

int scram_client_step(struct scram_client *s, struct span message, struct buf *out)
{
	if (message.len > SCRAM_CLIENT_MESSAGE_MAX ||
		memchr(message.ptr ? message.ptr : "", '\0', message.len))
		return -EBADMSG;
	switch (s->step++) {
	case 0:
		buf_put(out, span_head(buf_span(&s->header), s->flag_len));
		buf_put(out, buf_span(&s->first_bare));
		return out->error ? out->error : 1;
	case 1:
		return say_final(s, message, out);
	case 2:
		return check_server(s, message);
	default:
		return -EBADMSG;
	}
}
