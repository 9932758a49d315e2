/* A key whose private half is in another process: OpenSSL sees a usable key, and each signature is
 * asked for. What is asked is a digest and a scheme, so that whoever signs never decrypts and never
 * signs octets of the asker's making. */
#pragma once
#include "base/span.h"
#include "net/certificate.h"
#include <openssl/evp.h>

enum sign_padding { SIGN_RSA_PKCS1 = 1, SIGN_RSA_PSS, SIGN_ECDSA };
#define SIGN_PADDING_LAST SIGN_ECDSA
/* MD5 with SHA-1 and SHA-1 alone are for TLS 1.0 and 1.1 (preset "old") only. */
enum sign_digest { SIGN_MD5_SHA1 = 1, SIGN_SHA1, SIGN_SHA256, SIGN_SHA384, SIGN_SHA512 };
#define SIGN_DIGEST_LAST   SIGN_SHA512
#define SIGN_DIGEST_OCTETS 64u	 /* the longest digest */
#define SIGN_SIGNATURE_MAX 2048u /* octets: RSA of 16,384 bits */

struct sign_ask {
	uint8_t key_id[KEY_ID_OCTETS];
	enum sign_padding padding;
	enum sign_digest digest_name;
	struct span digest;
};
/* Fills at most SIGN_SIGNATURE_MAX octets. May suspend the fiber: OpenSSL calls it in the middle of
 * a handshake. 0 or a negative errno. */
typedef SUSPENDS int (*remote_sign)(
	void *arg, const struct sign_ask *ask, uint8_t *ret_signature, size_t *ret_len);
struct remote_signer {
	remote_sign sign;
	void *arg;
};
/* A key with `public`'s public half that signs by *signer, which outlives it. RSA and EC.
 * -ENOTSUP: another kind; -ENOMEM. */
MUST_CHECK int remote_key_new(
	EVP_PKEY *public, const struct remote_signer *signer, EVP_PKEY **ret_key);

const EVP_MD *sign_digest_md(enum sign_digest d);
/* The other end: what the process with the key does. Not on a fiber: it takes a millisecond.
 * -EINVAL: the key is of another kind than the padding, or the digest has the wrong length. */
MUST_CHECK int sign_locally(EVP_PKEY *key, const struct sign_ask *ask,
	uint8_t ret_signature[SIGN_SIGNATURE_MAX], size_t *ret_len);
/* What OpenSSL looked up for the last signature by a key: it costs as much as half an ECDSA
 * signature. Zeroed at first; of one key, for one thread. */
struct sign_kept {
	EVP_PKEY_CTX *context;
	enum sign_padding padding;
	enum sign_digest digest_name;
};
void sign_kept_done(struct sign_kept *kept);
/* sign_locally by what is kept where the ask is of the same kind; keeps it. */
MUST_CHECK int sign_locally_kept(struct sign_kept *kept, EVP_PKEY *key, const struct sign_ask *ask,
	uint8_t ret_signature[SIGN_SIGNATURE_MAX], size_t *ret_len);
