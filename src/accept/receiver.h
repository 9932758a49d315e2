/* The receiver role: what strangers talk to. No access to the queue, to keys or password hashes; a
 * write-only fd to its open segments. */
#pragma once
#include "process/role.h"

extern const struct role_ops receiver_role;
