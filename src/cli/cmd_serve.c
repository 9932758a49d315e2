/* serve and reload. */
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/demo.h"
#include "process/supervise.h"
#include <string.h>

/* What is wrong with the folder, the supervisor says. */
static void prepare_evaluation(void)
{
	struct config *c = NULL;

	if (config_evaluation(".", &c) == 0)
		(void)!demo_account(c);
	config_free(c);
}

int cmd_serve(struct cli *cli)
{
	if (cli->argc != 1) {
		cli_error("serve takes no arguments but -c FILE");
		return EX_USAGE_;
	}
	const char *path = config_choose_path(cli->config_path);
	if (!path)
		prepare_evaluation();
	return supervise(path);
}

int cmd_reload(struct cli *cli)
{
	int status = EX_OK_;
	struct config *c = cli_config(cli, &status);
	struct admin_request r = {.verb = ADMIN_RELOAD};
	struct client_ops ops = {0};
	uint32_t error = 0;
	uint64_t count = 0;

	if (!c)
		return status;
	int e = client_ask(c->data, &r, &ops, &error, &count);
	status = e < 0 ? client_unanswered(c->data, e) : error ? EX_CONFIG_ : EX_OK_;
	config_free(c);
	return status;
}
