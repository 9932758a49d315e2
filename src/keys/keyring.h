/* The private keys, found by the id of their public half. */
#pragma once
#include "net/remote_key.h"

struct keyring;
MUST_CHECK int keyring_new(struct keyring **ret_ring);
void keyring_free(struct keyring *r); /* NULL allowed */
/* Begins a new generation: keys added from now on are its own, and those of the generation before
 * the last are forgotten. */
void keyring_renew(struct keyring *r);
/* The key of a PEM text (which may hold certificates too). -EINVAL with the reason; -ENOMEM. A key
 * that is there already is kept once. */
MUST_CHECK int keyring_add(struct keyring *r, struct span pem, const char **ret_why);
/* Borrowed; take a reference (EVP_PKEY_up_ref) to keep it. NULL: not known. ret_kept: what lives
 * with the key, for this thread; may be NULL. */
EVP_PKEY *keyring_find(
	const struct keyring *r, const uint8_t id[KEY_ID_OCTETS], struct sign_kept **ret_kept);
size_t keyring_count(const struct keyring *r);
