/* What stands behind a user's name in a users source: HASH[:SCRAM keys...][:app passwords...]
 * [:client certificates...][:sealed secret] (secret.h and seal.h have the text forms of the
 * former). An empty hash receives mail and cannot log in by a password. */
#pragma once
#include "sasl/secret.h"

#define APP_PASSWORDS_MAX 32u
#define CERTIFICATES_MAX  16u

struct app_password {
	struct span label, fingerprint;
	uint64_t created; /* unix seconds */
	struct span text; /* the whole field */
};
/* {LIMITS}NAME=NUMBER,...: what the user may hand in, where it is not what the configuration says.
 * The names are those of the configuration's auth {} block, and so is what 0 means. */
#define LIMIT_UNSET UINT64_MAX
struct user_limits {
	uint64_t message_size, recipients, messages_per_hour, recipients_per_hour;
};
#define USER_LIMITS_NONE ((struct user_limits){LIMIT_UNSET, LIMIT_UNSET, LIMIT_UNSET, LIMIT_UNSET})
struct credentials {
	struct span hash;
	bool has_scram[SCRAM_HASHES];
	struct scram_keys scram[SCRAM_HASHES];
	struct app_password apps[APP_PASSWORDS_MAX];
	size_t n_apps;
	/* {CERT}BASE64: SHA-256 of a certificate (32 octets), or its subject as RFC 2253 text. */
	struct span certificates[CERTIFICATES_MAX];
	size_t n_certificates;
	struct span sealed; /* {SEALED}...: for CRAM-MD5; empty: none */
	struct user_limits limits;
	bool odd; /* a field was not understood, and is ignored */
};
/* Borrows from rest. */
void credentials_parse(struct span rest, struct credentials *ret);
/* Only the limits, without a look at the rest. */
struct user_limits credentials_limits(struct span rest);
/* The limit of that name, or NULL. */
uint64_t *user_limit(struct user_limits *l, struct span name);
/* The field's text; nothing where no limit is set. */
void user_limits_format(const struct user_limits *l, struct buf *out);
/* Can the user log in at all? */
bool credentials_can_log_in(const struct credentials *c);
/* The app password, or NULL. */
const struct app_password *credentials_app(const struct credentials *c, struct span password);
