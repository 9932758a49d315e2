/* The directory role: which addresses exist, what aliases make of them, the next hop. It alone
 * holds the tables (and, with AUTH, the password hashes); it answers yes, no or a list. */
#pragma once
#include "process/role.h"

extern const struct role_ops directory_role;
