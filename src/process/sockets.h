/* The supervisor's sockets, as resources to be handed down. */
#pragma once
#include "process/resources.h"

/* All that the listeners name; `old` (may be NULL): sockets with the same address are taken over.
 * Errors go to `errors`; the last one is returned. */
MUST_CHECK int sockets_open_listeners(
	struct resources *r, struct resources *old, const struct config *c, struct buf *errors);
/* A unix socket `name` in the data folder, of that type and mode. */
MUST_CHECK int sockets_open_unix(struct resources *r, struct resources *old, const struct config *c,
	int data_fd, const char *name, int type, mode_t mode, struct buf *errors);
