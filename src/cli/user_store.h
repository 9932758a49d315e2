/* The users of one domain, wherever its configuration keeps them: for the command line. */
#pragma once
#include "cli/cli.h"
#include "route/users_file.h"

/* All of them; problems are printed. */
MUST_CHECK int user_store_load(const struct config_domain *d, struct users_file **ret);
/* When the login was last used (label: of an app password, or "-"), unix seconds; 0: not known. */
uint64_t user_store_last_use(const struct config *c, struct span login, struct span label);
/* As users_file_edit; other errors than -EEXIST and -ENOENT are printed. */
MUST_CHECK int user_store_edit(
	const struct config_domain *d, enum users_edit how, struct span name, struct span rest);
