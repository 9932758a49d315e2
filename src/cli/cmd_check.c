/* check: the configuration, and what it needs on this machine. Errors: exit 78; warnings: 0. */
#include "cli/cli.h"
#include "config/check.h"
#include <stdio.h>

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
	bool bad = r < 0 || errors.len > 0;
	if (!bad)
		(void)printf("%s: ok\n", c->path ? c->path : "evaluation mode");
	buf_done(&warnings);
	buf_done(&errors);
	config_free(c);
	return bad ? EX_CONFIG_ : EX_OK_;
}
