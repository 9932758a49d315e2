/* The resolver role: answers every process's DNS questions from one validating cache. */
#pragma once
#include "process/role.h"

extern const struct role_ops resolver_role;
