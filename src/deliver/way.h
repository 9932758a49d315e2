/* What the configuration says about the way of a job: the settings of its `route` or `relay` block,
 * with the files that they name. The files are read at start and at each reload; a job keeps what
 * it began with. */
#pragma once
#include "config/config.h"
#include "ipc/job.h"
#include "process/role.h"
#include <openssl/x509.h>

#define WAY_FILE_MAX (8u << 20) /* a file of roots */
#define WAY_LINE_MAX 1024u	/* of credentials */

struct ways; /* the files' contents */
MUST_CHECK int ways_new(struct ways **ret_ways);
void ways_free(struct ways *w); /* NULL allowed; wipes the passwords */
/* Reads the fds "ca:*" and "credentials:*" anew. What cannot be used is logged (roots-unusable,
 * credentials-unusable); the jobs that need it are deferred. */
void ways_load(struct ways *w, const struct role_process *p);
struct span ways_roots(const struct ways *w); /* the default ones, PEM; borrowed */
/* One file's text, as ways_load does: for tests too. name: "" for the default roots. */
MUST_CHECK int ways_add_roots(struct ways *w, const char *name, struct span pem);
MUST_CHECK int ways_add_credentials(struct ways *w, const char *name, struct span text);

struct way {
	const char *name; /* "relay", a route's title, or "" */
	enum tls_level tls;
	const char *const *names; /* that a certificate may have */
	size_t n_names;
	const char *const *fingerprints;
	size_t n_fingerprints;
	X509_STORE *roots; /* owned by the way: way_done; NULL: there are none */
	bool own_roots;
	struct address from_v4, from_v6; /* len 0: the system chooses */
	const char *helo;
	bool wants_auth;
	const char *user, *password; /* NULL with wants_auth: the file could not be used */
};
/* All in the arena but the roots. random chooses among sources. -ENOMEM. */
MUST_CHECK int way_find(const struct ways *w, const struct config *c, const struct job *job,
	uint64_t random, struct arena *a, struct way *ret);
void way_done(struct way *way);
