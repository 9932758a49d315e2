/* argv to a subcommand or a role. Roles are started by the supervisor only: `postrider --role NAME
 * INDEX` with its channel on fd 3. */
#include "accept/receiver.h"
#include "cli/cli.h"
#include "control/control.h"
#include "deliver/deliverer.h"
#include "deliver/mailbox.h"
#include "directory/directory.h"
#include "keys/keys.h"
#include "queue/dispatcher.h"
#include "resolver/resolver.h"
#include "tlsrpt/reporter.h"
#include <stdio.h>
#include <string.h>

static const struct role_ops *const roles[] = {&receiver_role, &dispatcher_role, &deliverer_role,
	&mailbox_role, &directory_role, &resolver_role, &keys_role, &control_role, &reporter_role};

static int run_role(const char *name, const char *index_text)
{
	uint64_t index;

	if (span_to_u64(span_str(index_text), UINT16_MAX, &index) < 0)
		return 64;
	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		if (strcmp(role_name(roles[i]->role), name) == 0)
			return role_main(roles[i], (unsigned)index);
	return 64;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "--role") == 0)
		return run_role(argv[2], argv[3]);
	return cli_main(argc, argv);
}
