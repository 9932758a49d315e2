/* The supervisor: `postrider serve`. Reads the configuration, binds sockets, opens folders, starts
 * the roles from this same program, restarts what dies, reloads (SIGHUP), drains (SIGTERM). It
 * parses nothing that comes from outside the machine's configuration. */
#pragma once
#include "config/config.h"
#include "ipc/frames.h"

#define SUPERVISE_FD	 3			/* in a role: the channel to the supervisor */
#define SUPERVISE_LOCK	 4			/* in a role: the data folder's lock, only held */
#define STATS_ROLE_SLOTS (ROLE_SPARE_INDEX + 1) /* processes of one role at most */

/* Prefixes of the names of fds that a reload gives anew; the lists of a new configuration replace
 * the old ones. */
static const char *const supervise_renewed[] = {"listener:", "users:", "aliases:", "senders:",
	"maildir:", "trust_anchor:", "ca:", "credentials:", "certificate:", "key:", "ocsp:",
	"client-ca:", "shown-certificate:", "shown-key:"};

/* path: NULL for the evaluation mode. Returns the exit status (sysexits.h). */
int supervise(const char *path);
/* log_init by the configuration's log {} block. index -1: none. */
void supervise_log_init(const struct config *c, enum role role, int index);
