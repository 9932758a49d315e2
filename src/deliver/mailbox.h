/* The mailbox role: jobs to Maildirs, with the mail store's rights and no network. */
#pragma once
#include "process/role.h"

extern const struct role_ops mailbox_role;
