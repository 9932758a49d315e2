/* App passwords are made here, never chosen: 100 bits of the kernel's randomness. So their stored
 * form can be a plain SHA-256, and checking one costs nothing, however many a user has. */
#include "base/base64.h"
#include "sasl/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>

static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789"; /* 32, none easily mistaken */

/* The letters that count, in lower case; false when there are not as many as there should be. */
static bool normal_form(struct span password, char out[APP_PASSWORD_LETTERS])
{
	size_t n = 0;

	for (size_t i = 0; i < password.len; i++) {
		char c = password.ptr[i];
		if (c == '-' || c == ' ')
			continue;
		if (n == APP_PASSWORD_LETTERS)
			return false;
		out[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	return n == APP_PASSWORD_LETTERS;
}

static int fingerprint_of(const char form[APP_PASSWORD_LETTERS], struct buf *out)
{
	uint8_t digest[32];

	if (EVP_Digest(form, APP_PASSWORD_LETTERS, digest, NULL, EVP_sha256(), NULL) != 1)
		return -EINVAL;
	base64_encode(span_make(digest, sizeof(digest)), out);
	return out->error;
}

int app_password_make(struct buf *password, struct buf *fingerprint)
{
	uint8_t random[APP_PASSWORD_LETTERS];
	char form[APP_PASSWORD_LETTERS];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	for (size_t i = 0; i < sizeof(form); i++) {
		form[i] = letters[random[i] % 32];
		if (i && i % 4 == 0)
			buf_char(password, '-');
		buf_char(password, form[i]);
	}
	int r = fingerprint_of(form, fingerprint);
	explicit_bzero(random, sizeof(random));
	explicit_bzero(form, sizeof(form));
	return r < 0 ? r : password->error;
}

bool app_password_matches(struct span password, struct span fingerprint)
{
	char form[APP_PASSWORD_LETTERS];
	struct buf ours = BUF_INIT(64);
	bool good = false;

	if (normal_form(password, form) && fingerprint_of(form, &ours) == 0)
		good = ours.len == fingerprint.len &&
		       CRYPTO_memcmp(ours.ptr, fingerprint.ptr, ours.len) == 0;
	explicit_bzero(form, sizeof(form));
	buf_done(&ours);
	return good;
}

bool app_label_ok(struct span label)
{
	if (label.len == 0 || label.len > 32)
		return false;
	for (size_t i = 0; i < label.len; i++) {
		unsigned char c = (unsigned char)label.ptr[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '-' || c == '_' || c == '.'))
			return false;
	}
	return true;
}
