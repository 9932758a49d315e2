/* The reporter role: counts what deliverers tell of TLS, and sends it to the domains that ask for
 * it (RFC 8460). Network out, a folder of its own, no mail. */
#pragma once
#include "process/role.h"

extern const struct role_ops reporter_role;
