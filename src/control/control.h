/* The control role: the door for the command line (data/control), and later for HTTP. It passes
 * queue requests to the dispatcher, reload and status to the supervisor, and reads the counters'
 * shared pages itself. It holds no mail and no rights but its sockets. */
#pragma once
#include "process/role.h"

extern const struct role_ops control_role;

/* One process's counters in an ADMIN_STATS row: u8 role, u16 index, u16 n, n times u64 in the order
 * of STATS_LIST; as many as there are processes, after the u64 token. */
void control_stats_encode(const void *pages, size_t octets, struct buf *out);
