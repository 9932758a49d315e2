/* What every role process shares: it is re-executed by the supervisor (`postrider --role NAME
 * INDEX`), talks to it over fd 3, gets configuration, fds and peers as frames (ipc/frames.h),
 * confines itself (confine.h) and runs its loop. A role implements struct role_ops; main.c maps
 * role names to them.
 *
 * Order: FRAME_CONFIG, FRAME_FD..., FRAME_PEER..., FRAME_START -> confine -> ops->start -> READY.
 * Peers restarted later arrive by ops->peer again; the old channel has closed or will. */
#pragma once
#include "config/config.h"
#include "ipc/frames.h"
#include "net/channel.h"

struct role_process;
struct role_ops {
	enum role role;
	/* Loads the libraries that only this role calls (base/library.h), before it is confined.
	 * NULL: there are none. */
	int (*load)(const char **ret_why);
	/* Configuration, fds and first peers are there. 0, or a negative errno after role_failed.
	 */
	int (*start)(struct role_process *p);
	/* A channel fd to that peer; the callee takes it over. May come before start. */
	void (*peer)(struct role_process *p, enum role peer, unsigned index, int fd);
	void (*peer_gone)(struct role_process *p, enum role peer, unsigned index,
		bool abnormal); /* optional */
	/* A new configuration is in force (role_config), new fds replace old ones of the same name.
	 * NULL: nothing to do. */
	void (*reload)(struct role_process *p, const struct config *old);
	/* Take nothing new; when the last work has ended call role_finished. */
	void (*drain)(struct role_process *p, uint64_t grace_usec);
	/* Any other frame of the supervisor's (answers to role_send_supervisor); NULL: an error. */
	int (*supervisor_frame)(struct role_process *p, struct frame *f);
	unsigned offload_threads;
};
/* The role's own state. */
void role_set_state(struct role_process *p, void *state);
void *role_state(const struct role_process *p);
const struct config *role_config(const struct role_process *p);
unsigned role_index(const struct role_process *p);
/* Borrowed fd by name ("spool"), -1: not given. The name's prefix and a cursor for lists:
 * role_next_fd(p, "listener:", &cursor, &name) returns -1 at the end. */
int role_fd(const struct role_process *p, const char *name);
int role_next_fd(
	const struct role_process *p, const char *prefix, size_t *cursor, const char **ret_name);
/* Tells the supervisor why this role cannot work (it is logged with a remedy there). */
void role_failed(struct role_process *p, const char *fmt, ...) PRINTF(2, 3);
/* Ends the loop: the process exits with 0. */
void role_finished(struct role_process *p);
/* A frame to the supervisor (control passes reload and status requests on). */
MUST_CHECK int role_send_supervisor(struct role_process *p, uint16_t type, struct span payload);
/* The whole life of a role process; returns the exit status. */
int role_main(const struct role_ops *ops, unsigned index);
