/* Secrets that have to be read back (CRAM-MD5 needs the password itself), sealed by a key that only
 * the keys process and the command line read. Text form, without ":" or blanks:
 *   {SEALED}BASE64    nonce, AES-256-GCM of the padded secret, tag
 * The login is authenticated along: a sealed secret is worth nothing behind another name. */
#pragma once
#include "base/buf.h"

#define SEAL_KEY_OCTETS 32u
#define SEAL_SECRET_MAX 1023u
#define SEAL_TEXT_MAX	2048u

/* Appends the text form. -EINVAL: the secret is empty or too long, or OpenSSL refuses; -EIO. */
MUST_CHECK int seal_make(const uint8_t key[static SEAL_KEY_OCTETS], struct span login,
	struct span secret, struct buf *out);
/* Appends the secret. -EBADMSG: not sealed by this key for this login. */
MUST_CHECK int seal_open(const uint8_t key[static SEAL_KEY_OCTETS], struct span login,
	struct span text, struct buf *out);
bool seal_is_sealed(struct span text);
