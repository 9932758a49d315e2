/* What the supervisor does for TLS: reads and judges the files, makes a certificate where there is
 * none, hands out copies in memory (receivers get certificates, the keys process keys), watches for
 * new ones, and changes the keys of session tickets. */
#pragma once
#include "net/tickets.h"
#include "process/resources.h"

/* Adds "certificate:<i>", "key:<i>", "ocsp:<i>", "client-ca" to the resources. -EINVAL: bad or
 * unreadable files (errors has lines, with the remedy); nothing usable was added then. Warnings go
 * to the log. data_fd: the data folder. */
MUST_CHECK int tls_supply_open(
	struct resources *r, const struct config *c, int data_fd, struct buf *errors);
/* Looks whether files have changed, and takes new ones in when they are good: true. Files that are
 * bad change nothing; errors has why, once. Call it every half second: files are taken when they
 * have been the same twice, because nobody replaces a certificate and its key at once. */
bool tls_supply_refresh(struct resources *r, const struct config *c, struct buf *errors);

/* "tickets": the shared page, readable by whom it is given to. */
MUST_CHECK int tls_supply_tickets(struct resources *r, struct ticket_page **ret_page);
