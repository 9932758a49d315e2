/* Asks the directory whether an address receives mail (ipc/lookup.h). One channel for all sessions
 * of a process; a restarted directory gets the open questions again, once. */
#pragma once
#include "ipc/lookup.h"

struct lookup_client;
MUST_CHECK int lookup_client_new(struct lookup_client **ret_client);
void lookup_client_free(struct lookup_client *c); /* no question may be open; NULL allowed */
/* A channel to a directory; takes over fd, replaces an older one. */
MUST_CHECK int lookup_client_attach(struct lookup_client *c, int fd);
/* address: canonical local@domain, borrowed until the return. 0 with an answer in *ret_status;
 * -ETIMEDOUT, -ECANCELED, -ENOMEM: none (a temporary failure for the client). */
SUSPENDS MUST_CHECK int lookup_ask(
	struct lookup_client *c, struct span address, enum lookup_status *ret_status);
