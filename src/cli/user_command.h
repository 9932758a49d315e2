/* Inner to `postrider user`: one command, and what its files share. */
#pragma once
#include "cli/cli.h"
#include "sasl/credentials.h"

#define REST_MAX 65536u /* what stands behind a user's name */

struct user_command {
	struct config *config;
	const struct config_domain *domain;
	struct buf local;
	const char *name;     /* NAME@DOMAIN as given */
	const char *words[4]; /* what else stands there */
	unsigned n_words;
	bool password_stdin, no_scram, reversible, json;
};
/* What stands behind the user's name now; false: there is no such user, and how to exit. */
bool user_find_rest(struct user_command *u, struct buf *rest, int *ret_status);
/* The exit status for the result of an edit; says what -EEXIST and -ENOENT mean. */
int user_edited(struct user_command *u, int r);
/* "2026-11-22", or "never". */
void user_format_date(uint64_t seconds, char out[static 32]);
void user_last_use(const struct user_command *u, struct span name, const char *domain,
	struct span label, char out[static 32]);

/* {SEALED} behind the rest: the password for CRAM-MD5. An exit status. */
int user_seal(struct user_command *u, struct span password, struct buf *rest);
/* Is it what is sealed? NULL: yes; else why not. */
const char *user_sealed_differs(
	struct user_command *u, struct span password, const struct credentials *c);

/* app add|list|remove NAME@DOMAIN [LABEL]; cert add|remove NAME@DOMAIN FINGERPRINT */
int user_app(struct user_command *u, const char *verb);
int user_cert(struct user_command *u, const char *verb);
/* keys [DOMAIN]: the learned ones into the sources. */
int user_keys(struct user_command *u);
/* limit NAME@DOMAIN [LIMIT=VALUE...] */
int user_limit_command(struct user_command *u);
