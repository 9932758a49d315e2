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
	bool odd;	    /* a field was not understood, and is ignored */
};
/* Borrows from rest. */
void credentials_parse(struct span rest, struct credentials *ret);
/* Can the user log in at all? */
bool credentials_can_log_in(const struct credentials *c);
/* The app password, or NULL. */
const struct app_password *credentials_app(const struct credentials *c, struct span password);
