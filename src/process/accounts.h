/* Which uid each role runs with. Ordinary user: all 0 (nobody changes anything). Root: `user` for
 * the dispatcher (it owns data/spool), `mail_user` for the mailbox, and a fixed high uid of its own
 * for every other role, so that one broken role cannot signal, trace or read another. */
#pragma once
#include "config/config.h"
#include "ipc/frames.h"
#include <sys/types.h>

struct accounts {
	uid_t uid[ROLE_COUNT];
	gid_t gid[ROLE_COUNT];
};
/* -ENOENT: an account that the configuration names does not exist; *ret_what says which. */
MUST_CHECK int accounts_find(const struct config *c, struct accounts *ret, const char **ret_what);
