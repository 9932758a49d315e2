/* check: the configuration, and what it needs on this machine. Errors: exit 78; warnings: 0. */
#include "cli/user_store.h"
#include "config/check.h"
#include <stdio.h>

/* Do the users databases have our schema? What is wrong is printed. */
static bool databases_are_sound(const struct config *c)
{
	bool sound = true;

	for (size_t i = 0; i < c->n_domains; i++) {
		struct users_file *users = NULL;
		if (c->domains[i].users != USERS_SQLITE)
			continue;
		if (user_store_load(&c->domains[i], &users) < 0)
			sound = false;
		else
			users_file_free(users);
	}
	return sound;
}

int cmd_check(struct cli *cli)
{
	int status = EX_OK_;
	struct config *c = cli_config(cli, &status);
	struct buf warnings = BUF_INIT(1 << 18), errors = BUF_INIT(1 << 18);

	if (!c)
		return status;
	int r = config_check_environment(c, &warnings, &errors);
	for (size_t i = 0; i < c->n_unsupported; i++)
		(void)printf("note: %s\n", c->unsupported[i]);
	if (warnings.len)
		(void)fwrite(warnings.ptr, 1, warnings.len, stdout);
	if (errors.len)
		(void)fwrite(errors.ptr, 1, errors.len, stderr);
	bool bad = r < 0 || errors.len > 0 || !databases_are_sound(c);
	if (!bad)
		(void)printf("%s: ok\n", c->path ? c->path : "evaluation mode");
	buf_done(&warnings);
	buf_done(&errors);
	config_free(c);
	return bad ? EX_CONFIG_ : EX_OK_;
}
