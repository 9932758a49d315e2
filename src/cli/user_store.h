/* The users of one domain, wherever its configuration keeps them: for the command line. */
#pragma once
#include "cli/cli.h"
#include "route/users_file.h"

/* All of them; problems are printed. */
MUST_CHECK int user_store_load(const struct config_domain *d, struct users_file **ret);
/* As users_file_edit; other errors than -EEXIST and -ENOENT are printed. */
MUST_CHECK int user_store_edit(
	const struct config_domain *d, enum users_edit how, struct span name, struct span rest);
