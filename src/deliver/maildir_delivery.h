/* A job of JOB_MAILDIR from beginning to end. */
#pragma once
#include "deliver/delivery.h"

struct maildir_store { /* a folder handed over by the supervisor: "/var/mail" */
	char *prefix;
	int fd;
};
/* stores and hostname are only used before the first suspension. */
SUSPENDS void maildir_deliver(struct delivery *d, const struct maildir_store *stores,
	size_t n_stores, const char *hostname);
