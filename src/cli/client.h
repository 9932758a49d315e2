/* Asking the running server over data/control. */
#pragma once
#include "ipc/admin.h"

struct client_ops {
	void (*row)(void *arg, struct span payload); /* whole FRAME_ADMIN_ROW payload */
	void (*line)(void *arg, uint32_t lost, struct span line); /* of a trace; may be NULL */
	void *arg;
};
/* Runs one request on a loop of its own. 0 with *ret_error (0 or an errno value) and count from
 * the answer's end; text is printed on an error. -ECONNREFUSED, -ENOENT: no server runs. */
MUST_CHECK int client_ask(const char *data, struct admin_request *r, const struct client_ops *ops,
	uint32_t *ret_error, uint64_t *ret_count);
/* Says that no server answers, and why; the exit status for it. */
int client_unanswered(const char *data, int error);
/* Connects to a unix socket inside the data folder. The fd, or a negative errno. */
MUST_CHECK int client_connect(const char *data, const char *name, int type);
