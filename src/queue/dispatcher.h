/* The dispatcher role: owner of the spool folder and of the queue. Receivers bring commits, the
 * directory says where mail goes, deliverers and the mailbox take it there. No network. */
#pragma once
#include "process/role.h"

extern const struct role_ops dispatcher_role;
