/* The deliverer role: jobs to next hops by SMTP and LMTP. Network out, segments read-only. */
#pragma once
#include "process/role.h"

extern const struct role_ops deliverer_role;
