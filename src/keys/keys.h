/* The keys role: the one process that holds private keys. It signs for the others. */
#pragma once
#include "process/role.h"

extern const struct role_ops keys_role;
