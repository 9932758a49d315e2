/* The roles' names, as they stand in logs and on the re-executed command line. */
#include "ipc/frames.h"

const char *role_name(enum role r)
{
	static const char *const names[ROLE_COUNT] = {"supervisor", "receiver", "resolver",
		"dispatcher", "deliverer", "mailbox", "directory", "keys", "control", "reporter",
		"cli"};
	return (unsigned)r < ROLE_COUNT ? names[r] : "unknown";
}
