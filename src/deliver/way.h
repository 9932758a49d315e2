/* What the configuration says about the way of a job: the settings of its `route` or `relay` block,
 * with the files that they name. The files are read at start and at each reload; a job keeps what
 * it began with. */
#pragma once
#include "config/config.h"
#include "deliver/roots.h"
#include "ipc/job.h"
#include "net/certificate.h"
#include "net/remote_key.h"
#include "process/role.h"
#include <openssl/x509.h>

#define WAY_FILE_MAX (8u << 20) /* a file of roots */
#define WAY_LINE_MAX 1024u	/* of credentials */

/* A certificate of ours for next hops, whose key is in the keys process; shared by reference. */
struct shown {
	unsigned refs;
	struct certificate *certificate;
	EVP_PKEY *key;
};
struct ways; /* the files' contents */
/* signer: of the keys process, outlives all; NULL: there is none, and certificates are no use. */
MUST_CHECK int ways_new(const struct remote_signer *signer, struct ways **ret_ways);
void ways_free(struct ways *w); /* NULL allowed; wipes the passwords */
/* Reads the fds "ca:*", "credentials:*" and "shown-certificate:*" anew. What cannot be used is
 * logged (roots-unusable, credentials-unusable, shown-certificate-unusable); the jobs that need it
 * are deferred. */
void ways_load(struct ways *w, const struct role_process *p);
struct roots *ways_roots(const struct ways *w); /* the default ones, borrowed; NULL: none */
/* name: "" for the default roots; now: parsed at once (roots.h). */
MUST_CHECK int ways_add_roots(struct ways *w, const char *name, int fd, bool now);
/* One file's text, as ways_load does: for tests too. */
MUST_CHECK int ways_add_credentials(struct ways *w, const char *name, struct span text);
MUST_CHECK int ways_add_certificate(struct ways *w, const char *name, struct span pem);

struct way_source {
	struct address address; /* to connect from; len 0: the system chooses */
	const char *helo;	/* the name for EHLO */
	unsigned weight;
};
struct way {
	const char *name; /* "relay", a route's title, or "" */
	enum tls_level tls;
	const char *const *names; /* that a certificate may have */
	size_t n_names;
	const char *const *fingerprints;
	size_t n_fingerprints;
	struct roots *roots; /* a reference of the way's: way_done; NULL: there are none */
	bool own_roots;
	struct way_source from_v4, from_v6;
	struct way_source *pool; /* all of the route's, for another try (way_switch_source) */
	size_t n_pool;
	bool wants_certificate; /* to be shown */
	struct shown *shown;	/* NULL with wants_certificate: it could not be used; way_done */
	bool wants_auth;
	const char *user, *password; /* NULL with wants_auth: the file could not be used */
};
/* All in the arena but the roots. random chooses among sources. -ENOMEM. */
MUST_CHECK int way_find(const struct ways *w, const struct config *c, const struct job *job,
	uint64_t random, struct arena *a, struct way *ret);
/* That address of ours is refused: another of the pool's and of its family takes its place. false:
 * there is none. */
bool way_switch_source(struct way *way, const struct address *refused, uint64_t random);
/* The name for EHLO on a connection from that address. */
const char *way_helo(const struct way *way, const struct address *local);
void way_done(struct way *way);
