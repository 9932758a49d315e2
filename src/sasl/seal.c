/* AES-256-GCM by OpenSSL with a random nonce for each secret; a few thousand accounts come nowhere
 * near the number of nonces where chance would repeat one (2^32, NIST SP 800-38D 8.3).
 *
 * Secrets are padded (length in two octets, then zeros up to a multiple of 64), so that the text
 * does not tell how long a password is. Letters of logins are folded by the caller. */
#include "sasl/seal.h"
#include "base/base64.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>

#define NONCE_OCTETS 12u
#define TAG_OCTETS   16u
#define PAD_OCTETS   64u
#define PLAIN_MAX    (SEAL_SECRET_MAX + 2u + PAD_OCTETS)
#define SEALED_MAX   (NONCE_OCTETS + PLAIN_MAX + TAG_OCTETS)

static const char mark[] = "{SEALED}";

static void context_freep(EVP_CIPHER_CTX **c)
{
	EVP_CIPHER_CTX_free(*c);
}

static int encrypt(const uint8_t *key, struct span login, const uint8_t *plain, size_t len,
	uint8_t *sealed, size_t *ret_len)
{
	CLEANUP(context_freep) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	uint8_t *out = sealed + NONCE_OCTETS;
	int n = 0, end = 0;

	if (!c || EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, sealed) != 1 ||
		EVP_EncryptUpdate(c, NULL, &n, (const uint8_t *)login.ptr, (int)login.len) != 1 ||
		EVP_EncryptUpdate(c, out, &n, plain, (int)len) != 1 ||
		EVP_EncryptFinal_ex(c, out + n, &end) != 1 ||
		EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_OCTETS, out + n + end) != 1)
		return -EINVAL;
	*ret_len = NONCE_OCTETS + (size_t)(n + end) + TAG_OCTETS;
	return 0;
}

static int decrypt(const uint8_t *key, struct span login, struct span sealed, uint8_t *plain)
{
	CLEANUP(context_freep) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	const uint8_t *in = (const uint8_t *)sealed.ptr;
	size_t len = sealed.len - NONCE_OCTETS - TAG_OCTETS;
	uint8_t tag[TAG_OCTETS];
	int n = 0, end = 0;

	memcpy(tag, in + NONCE_OCTETS + len, TAG_OCTETS);
	if (!c || EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, in) != 1 ||
		EVP_DecryptUpdate(c, NULL, &n, (const uint8_t *)login.ptr, (int)login.len) != 1 ||
		EVP_DecryptUpdate(c, plain, &n, in + NONCE_OCTETS, (int)len) != 1 ||
		EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_OCTETS, tag) != 1 ||
		EVP_DecryptFinal_ex(c, plain + n, &end) != 1)
		return -EBADMSG;
	return 0;
}

int seal_make(const uint8_t key[static SEAL_KEY_OCTETS], struct span login, struct span secret,
	struct buf *out)
{
	uint8_t plain[PLAIN_MAX] = {0}, sealed[SEALED_MAX];
	size_t len = (secret.len + 2 + PAD_OCTETS - 1) / PAD_OCTETS * PAD_OCTETS;

	if (secret.len == 0 || secret.len > SEAL_SECRET_MAX)
		return -EINVAL;
	if (getrandom(sealed, NONCE_OCTETS, 0) != (ssize_t)NONCE_OCTETS)
		return -EIO;
	plain[0] = (uint8_t)(secret.len >> 8);
	plain[1] = (uint8_t)secret.len;
	memcpy(plain + 2, secret.ptr, secret.len);
	int r = encrypt(key, login, plain, len, sealed, &len);
	OPENSSL_cleanse(plain, sizeof(plain));
	if (r < 0)
		return r;
	buf_str(out, mark);
	base64_encode(span_make(sealed, len), out);
	return out->error;
}

int seal_open(const uint8_t key[static SEAL_KEY_OCTETS], struct span login, struct span text,
	struct buf *out)
{
	struct buf sealed = BUF_INIT(SEALED_MAX);
	uint8_t plain[PLAIN_MAX];
	int r = -EBADMSG;

	if (seal_is_sealed(text))
		r = base64_decode(span_from(text, sizeof(mark) - 1), &sealed);
	if (r == 0 && sealed.len < NONCE_OCTETS + PAD_OCTETS + TAG_OCTETS)
		r = -EBADMSG;
	if (r == 0)
		r = decrypt(key, login, buf_span(&sealed), plain);
	if (r == 0) {
		size_t len = (size_t)plain[0] << 8 | plain[1];
		if (len == 0 || len + 2 > sealed.len - NONCE_OCTETS - TAG_OCTETS)
			r = -EBADMSG;
		else
			buf_append(out, plain + 2, len);
	}
	OPENSSL_cleanse(plain, sizeof(plain));
	buf_done(&sealed);
	return r == 0 ? out->error : -EBADMSG;
}

bool seal_is_sealed(struct span text)
{
	return span_starts_nocase(text, SPAN_LIT("{SEALED}"));
}
