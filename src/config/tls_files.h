/* The files that tls {} names, read and judged as a whole: by `check`, and by the supervisor before
 * it gives them to anybody. */
#pragma once
#include "config/config.h"

#define TLS_SELF_MADE_CERTIFICATE "tls/self-made.pem" /* in data/, where tls {} names none */
#define TLS_SELF_MADE_KEY	  "tls/self-made.key"

struct tls_file {
	char *path;
	struct buf octets;
};
struct tls_files {
	struct tls_file *certificates, *keys, *ocsp;
	size_t n_certificates, n_keys, n_ocsp;
	struct tls_file client_ca; /* path NULL: none */
	const char *at;		   /* borrowed: where the configuration names them */
	bool shown;		   /* by us as a client */
};
/* Does any listener need them? */
bool tls_is_wanted(const struct config *c);
/* Reads what the configuration names. What cannot be read is told in errors, one line each with its
 * remedy, and -EINVAL returned; -ENOMEM. */
MUST_CHECK int tls_files_read(
	const struct config *c, struct tls_files **ret_files, struct buf *errors);
/* A block that has a certificate to show to its next hop: all borrowed from the configuration. */
struct tls_shown {
	const struct config_outbound *out;
	const char *name, *at; /* "relay" or the route's title; "FILE:LINE" */
};
/* Each in turn; cursor begins with 0. false: there is no other. */
bool tls_shown_next(const struct config *c, size_t *cursor, struct tls_shown *ret_shown);
/* As tls_files_read, of one block. */
MUST_CHECK int tls_shown_read(
	const struct tls_shown *s, struct tls_files **ret_files, struct buf *errors);
void tls_files_free(struct tls_files *f); /* clears the keys; NULL allowed */
void tls_files_freep(struct tls_files **f);
/* Certificates that are not valid now, keys that fit none, certificates without a key, and the
 * like: -EINVAL. What will trouble clients or soon: warnings. */
MUST_CHECK int tls_files_judge(struct tls_files *f, const struct config *c, int64_t now_sec,
	struct buf *warnings, struct buf *errors);
