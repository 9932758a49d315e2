/* `queue list` and `queue show` while no server runs: the spool read in place, changing nothing. */
#pragma once
#include "config/config.h"
#include "ipc/admin.h"

MUST_CHECK int offline_list(const struct config *c, const struct admin_request *r,
	void (*each)(void *arg, const struct queue_row *row), void *arg, uint64_t *ret_count);
