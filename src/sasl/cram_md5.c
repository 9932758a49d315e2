/* RFC 2195 fits in a page: the server speaks first, the client answers once. It shows no password
 * on the wire, proves no server, binds to no channel, and needs passwords that can be read back;
 * SCRAM does better in each respect. It is here for devices that know nothing else. */
#include "sasl/cram_md5.h"
#include "sasl/plain.h"
#include "sasl/secret.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#define PREPARED_MAX (4u * (SASL_PASSWORD_MAX + 1))

int cram_challenge(const char *hostname, uint64_t seconds, struct buf *out)
{
	uint64_t random[2];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	buf_printf(out, "<%" PRIx64 "%" PRIx64 ".%" PRIu64 "@%s>", random[0], random[1], seconds,
		hostname);
	return out->error;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

int cram_parse(struct span message, struct cram_response *ret)
{
	struct cram_response c;
	size_t digits = 2 * sizeof(c.digest);

	if (message.len < digits + 2 || message.len > CRAM_RESPONSE_MAX)
		return -EBADMSG;
	struct span hex = span_from(message, message.len - digits);
	c.name = span_head(message, message.len - digits - 1);
	if (message.ptr[c.name.len] != ' ' || span_index(c.name, '\0') < c.name.len)
		return -EBADMSG;
	for (size_t i = 0; i < sizeof(c.digest); i++) {
		int high = hex_digit(hex.ptr[2 * i]), low = hex_digit(hex.ptr[2 * i + 1]);
		if (high < 0 || low < 0)
			return -EBADMSG;
		c.digest[i] = (uint8_t)(high << 4 | low);
	}
	*ret = c;
	return 0;
}

int cram_digest(
	struct span password, struct span challenge, uint8_t ret_digest[static CRAM_DIGEST_OCTETS])
{
	return HMAC(EVP_md5(), password.ptr, (int)password.len, (const uint8_t *)challenge.ptr,
		       challenge.len, ret_digest, NULL)
		       ? 0
		       : -EINVAL;
}

bool cram_matches(
	struct span password, struct span challenge, const uint8_t digest[CRAM_DIGEST_OCTETS])
{
	struct buf prepared = BUF_INIT(PREPARED_MAX);
	uint8_t raw[CRAM_DIGEST_OCTETS] = {0}, other[CRAM_DIGEST_OCTETS] = {0};

	int r = secret_prepare(password, &prepared);
	bool good = cram_digest(password, challenge, raw) == 0 &&
		    CRYPTO_memcmp(raw, digest, sizeof(raw)) == 0;
	good |= r == 0 && cram_digest(buf_span(&prepared), challenge, other) == 0 &&
		CRYPTO_memcmp(other, digest, sizeof(other)) == 0;
	if (prepared.ptr)
		OPENSSL_cleanse(prepared.ptr, prepared.cap);
	buf_done(&prepared);
	OPENSSL_cleanse(raw, sizeof(raw));
	OPENSSL_cleanse(other, sizeof(other));
	return good;
}
