/* Who can log in: names to users, certificates to names, and what the sources can do. Made anew
 * with the tables; borrows from them. */
#pragma once
#include "route/route.h"
#include "sasl/credentials.h"

#define LOGIN_MAX 320u /* "local@domain" */

struct logins;
struct learned;
/* Both outlive it. */
MUST_CHECK int logins_new(
	const struct route *route, const struct learned *learned, struct logins **ret_logins);
void logins_free(struct logins *l); /* NULL allowed */
/* The set of enum mechanism that the listeners may offer: the configuration's, or PLAIN, LOGIN,
 * those of SCRAM for which every user has keys, and EXTERNAL if a certificate is known. */
uint32_t logins_offer(const struct logins *l);

enum login_state {
	LOGIN_FOUND,
	LOGIN_NOBODY,
	LOGIN_UNKNOWN, /* the table cannot be read: no answer now */
};
/* name: as the client spells it, "local@domain" or "local" (then of this host's own domain).
 * ret_login: its canonical form, also of nobody; ret_rest: as in users_file_hash, borrowed. */
enum login_state logins_find(
	const struct logins *l, struct span name, struct buf *ret_login, struct span *ret_rest);
/* The user's SCRAM keys, of the source or learned; NULL: none. */
const struct scram_keys *logins_scram(
	const struct logins *l, struct span login, const struct credentials *c, enum scram_hash h);
/* The login that a certificate stands for: by fingerprint, else by subject; ptr NULL: none. */
struct span logins_by_certificate(
	const struct logins *l, struct span fingerprint, struct span subject);
const char *logins_hostname(const struct logins *l);
/* Some user's hash: what an attempt for nobody is measured against, so that it costs the same. */
struct span logins_decoy(const struct logins *l);
