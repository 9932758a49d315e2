/* Password hashes come from libxcrypt: whatever crypt(3) of the system knows verifies (yescrypt,
 * bcrypt, sha512...), new ones are yescrypt. SASLprep is GNU SASL's. SCRAM keys are kept beside the
 * hash, because neither can be computed from the other: StoredKey and ServerKey let a server check
 * a client that shows it nothing to log in with (RFC 5802 3). */
#include "sasl/secret.h"
#include "base/base64.h"
#include "sasl/plain.h"

#include <crypt.h>
#include <gsasl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <sys/random.h>

#define PREPARED_MAX (4u * (SASL_PASSWORD_MAX + 1))

static const EVP_MD *md_of(enum scram_hash h)
{
	return h == SCRAM_SHA_1 ? EVP_sha1() : EVP_sha256();
}

size_t scram_octets(enum scram_hash h)
{
	return h == SCRAM_SHA_1 ? 20 : 32;
}

const char *scram_name(enum scram_hash h)
{
	return h == SCRAM_SHA_1 ? "SCRAM-SHA-1" : "SCRAM-SHA-256";
}

/* ---- passwords ---- */

static void wipe(struct buf *b)
{
	if (b->ptr)
		explicit_bzero(b->ptr, b->cap);
	buf_done(b);
}

int secret_prepare(struct span password, struct buf *out)
{
	struct buf text = BUF_INIT(SASL_PASSWORD_MAX + 1);
	char *prepared = NULL;

	buf_put(&text, password);
	buf_char(&text, '\0');
	int r = text.error;
	if (r == 0 &&
		gsasl_saslprep(text.ptr, GSASL_ALLOW_UNASSIGNED, &prepared, NULL) == GSASL_OK &&
		prepared[0])
		buf_str(out, prepared);
	else
		buf_put(out, password);
	if (prepared) {
		explicit_bzero(prepared, strlen(prepared));
		gsasl_free(prepared);
	}
	wipe(&text);
	return r < 0 ? r : out->error;
}

int secret_hash(struct span password, struct buf *out)
{
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	struct buf prepared = BUF_INIT(PREPARED_MAX);
	struct crypt_data *data = calloc(1, sizeof(*data));
	const char *hash = NULL;

	int r = data ? secret_prepare(password, &prepared) : -ENOMEM;
	buf_char(&prepared, '\0');
	if (r == 0)
		r = prepared.error;
	if (r == 0 && crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof(setting)))
		hash = crypt_r(prepared.ptr, setting, data);
	if (r == 0 && (!hash || hash[0] == '*'))
		r = -EINVAL;
	if (r == 0) {
		buf_str(out, hash);
		r = out->error;
	}
	wipe(&prepared);
	if (data)
		explicit_bzero(data, sizeof(*data));
	free(data);
	return r;
}

static bool crypt_equals(const char *password, const char *hash, struct crypt_data *data)
{
	const char *again = crypt_r(password, hash, data);
	size_t len = strlen(hash);

	return again && again[0] != '*' && strlen(again) == len &&
	       CRYPTO_memcmp(again, hash, len) == 0;
}

bool secret_matches(struct span password, struct span hash)
{
	struct buf prepared = BUF_INIT(PREPARED_MAX), raw = BUF_INIT(PREPARED_MAX),
		   stored = BUF_INIT(CRYPT_OUTPUT_SIZE);
	struct crypt_data *data = calloc(1, sizeof(*data));
	bool good = false;

	buf_put(&stored, hash);
	buf_char(&stored, '\0');
	buf_put(&raw, password);
	int r = secret_prepare(password, &prepared);
	bool same = r == 0 && span_equal(buf_span(&prepared), buf_span(&raw));
	buf_char(&prepared, '\0');
	buf_char(&raw, '\0');
	if (data && r == 0 && !prepared.error && !raw.error && !stored.error && hash.len > 0) {
		good = crypt_equals(prepared.ptr, stored.ptr, data);
		if (!good && !same)
			good = crypt_equals(raw.ptr, stored.ptr, data);
	}
	wipe(&prepared);
	wipe(&raw);
	buf_done(&stored);
	if (data)
		explicit_bzero(data, sizeof(*data));
	free(data);
	return good;
}

int secret_name(struct span hash, struct buf *out)
{
	uint8_t digest[32];

	if (EVP_Digest(hash.ptr, hash.len, digest, NULL, EVP_sha256(), NULL) != 1)
		return -EINVAL;
	base64_encode(span_make(digest, sizeof(digest)), out);
	return out->error;
}

struct span secret_decoy(void)
{
	/* yescrypt's default cost, the hash of nothing: no password of ours has it. */
	return SPAN_LIT("$y$j9T$postriderpostriderdeco1$"
			"0000000000000000000000000000000000000000000");
}

/* ---- SCRAM keys ---- */

int scram_keys_derive(enum scram_hash h, struct span password, struct scram_keys *k)
{
	struct buf prepared = BUF_INIT(PREPARED_MAX);
	uint8_t salted[SCRAM_OCTETS_MAX], client[SCRAM_OCTETS_MAX];
	size_t n = scram_octets(h);

	int r = secret_prepare(password, &prepared);
	/* 3: SaltedPassword, ClientKey, StoredKey, ServerKey. */
	if (r == 0 && (PKCS5_PBKDF2_HMAC(prepared.ptr, (int)prepared.len, k->salt, (int)k->salt_len,
			       (int)k->iterations, md_of(h), (int)n, salted) != 1 ||
			      !HMAC(md_of(h), salted, (int)n, (const uint8_t *)"Client Key", 10,
				      client, NULL) ||
			      EVP_Digest(client, n, k->stored, NULL, md_of(h), NULL) != 1 ||
			      !HMAC(md_of(h), salted, (int)n, (const uint8_t *)"Server Key", 10,
				      k->server, NULL)))
		r = -EINVAL;
	wipe(&prepared);
	explicit_bzero(salted, sizeof(salted));
	explicit_bzero(client, sizeof(client));
	return r;
}

int scram_keys_make(enum scram_hash h, struct span password, struct scram_keys *ret)
{
	struct scram_keys k = {.iterations = SCRAM_ITERATIONS, .salt_len = SCRAM_SALT_OCTETS};

	if (getrandom(k.salt, k.salt_len, 0) != (ssize_t)k.salt_len)
		return -EIO;
	int r = scram_keys_derive(h, password, &k);
	if (r == 0)
		*ret = k;
	return r;
}

void scram_keys_format(enum scram_hash h, const struct scram_keys *k, struct buf *out)
{
	buf_printf(out, "{%s}%u,", scram_name(h), k->iterations);
	base64_encode(span_make(k->salt, k->salt_len), out);
	buf_char(out, ',');
	base64_encode(span_make(k->stored, scram_octets(h)), out);
	buf_char(out, ',');
	base64_encode(span_make(k->server, scram_octets(h)), out);
}

/* The next of the fields that commas separate; the rest stays in *s. */
static struct span next_field(struct span *s)
{
	struct span field = span_head(*s, span_index(*s, ','));

	*s = span_from(*s, field.len + 1);
	return field;
}

static int decode_into(struct span text, size_t least, size_t most, uint8_t *out, size_t *ret_len)
{
	struct buf b = BUF_INIT(256);
	int r = base64_decode(text, &b);

	if (r == 0 && (b.len < least || b.len > most))
		r = -EBADMSG;
	if (r == 0) {
		memcpy(out, b.ptr, b.len);
		*ret_len = b.len;
	}
	buf_done(&b);
	return r;
}

int scram_keys_parse(struct span text, enum scram_hash *ret_hash, struct scram_keys *ret)
{
	struct scram_keys k = {0};
	enum scram_hash h = SCRAM_SHA_1;
	uint64_t iterations;
	size_t salt = 0, octets = 0;

	if (span_starts_nocase(text, SPAN_LIT("{SCRAM-SHA-256}")))
		h = SCRAM_SHA_256;
	else if (!span_starts_nocase(text, SPAN_LIT("{SCRAM-SHA-1}")))
		return -ENOENT;
	text = span_from(text, span_index(text, '}') + 1);
	int r = span_to_u64(next_field(&text), SCRAM_ITERATIONS_MOST, &iterations);
	if (r < 0 || iterations < SCRAM_ITERATIONS_LEAST)
		return -EBADMSG;
	k.iterations = (uint32_t)iterations;
	size_t n = scram_octets(h);
	r = decode_into(next_field(&text), 1, sizeof(k.salt), k.salt, &salt);
	if (r == 0)
		r = decode_into(next_field(&text), n, n, k.stored, &octets);
	if (r == 0)
		r = decode_into(next_field(&text), n, n, k.server, &octets);
	if (r < 0 || text.len)
		return -EBADMSG;
	k.salt_len = (uint32_t)salt;
	*ret_hash = h;
	*ret = k;
	return 0;
}
