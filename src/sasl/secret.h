/* Stored secrets: crypt(3) hashes, SCRAM keys (RFC 5802 3), app passwords. Text forms, none of
 * which holds ":" or a blank:
 *   hash          as crypt(3) writes it, "$y$j9T$..."
 *   SCRAM keys    {SCRAM-SHA-256}16384,SALT,STOREDKEY,SERVERKEY   (base64)
 *   app password  {APP}LABEL,CREATED,FINGERPRINT                  (base64; unix seconds) */
#pragma once
#include "base/buf.h"

enum scram_hash { SCRAM_SHA_1, SCRAM_SHA_256, SCRAM_HASHES };
#define SCRAM_OCTETS_MAX       32u /* of a hash */
#define SCRAM_SALT_MAX	       64u
#define SCRAM_SALT_OCTETS      16u
#define SCRAM_ITERATIONS       16384u /* RFC 5802 5.1, 7677 4: at least 4096 */
#define SCRAM_ITERATIONS_LEAST 4096u
#define SCRAM_ITERATIONS_MOST  10000000u

struct scram_keys {
	uint32_t iterations;
	uint8_t salt[SCRAM_SALT_MAX];
	uint32_t salt_len;
	uint8_t stored[SCRAM_OCTETS_MAX], server[SCRAM_OCTETS_MAX];
};
size_t scram_octets(enum scram_hash h);
const char *scram_name(enum scram_hash h); /* "SCRAM-SHA-256" */

/* SASLprep (RFC 4013), unassigned code points allowed as in queries; what it refuses (or what is
 * not UTF-8) is taken as it is, so that no password that once was set stops working. */
MUST_CHECK int secret_prepare(struct span password, struct buf *out);

/* For new passwords: yescrypt. -EINVAL: crypt(3) cannot. Slow on purpose, like the next. */
MUST_CHECK int secret_hash(struct span password, struct buf *out);
/* Does the password have this hash? Never true for an empty or unusable hash. Both forms, prepared
 * and as it came, are tried. */
bool secret_matches(struct span password, struct span hash);
/* What a hash is called where keys are kept apart from it: its SHA-256 in base64. */
MUST_CHECK int secret_name(struct span hash, struct buf *out);
/* A hash that nothing matches and that costs what secret_hash's cost: for users who do not exist.
 */
struct span secret_decoy(void);

/* Slow: PBKDF2. A fresh salt. */
MUST_CHECK int scram_keys_make(enum scram_hash h, struct span password, struct scram_keys *ret);
/* With k's salt and iterations. */
MUST_CHECK int scram_keys_derive(enum scram_hash h, struct span password, struct scram_keys *k);
void scram_keys_format(enum scram_hash h, const struct scram_keys *k, struct buf *out);
/* text with its "{SCRAM-...}"; -ENOENT: something else, -EBADMSG. */
MUST_CHECK int scram_keys_parse(
	struct span text, enum scram_hash *ret_hash, struct scram_keys *ret);

/* A new app password: 100 random bits, "abcd-efgh-..." and its fingerprint (a fast hash, which is
 * enough for what nobody can guess). */
#define APP_PASSWORD_LETTERS 20u
MUST_CHECK int app_password_make(struct buf *password, struct buf *fingerprint);
/* Hyphens, blanks and case do not count. False at once for what does not look like one. */
bool app_password_matches(struct span password, struct span fingerprint);
bool app_label_ok(struct span label); /* 1 to 32 letters, digits, "-", "_", "." */
