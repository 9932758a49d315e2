/* DNS questions of a client on the control socket (`postrider dns`), passed on to the resolver:
 * FRAME_RESOLVE in, FRAME_RESOLVE_ANSWER out, as ipc/resolve_client.h speaks. */
#pragma once
#include "ipc/resolve_client.h"
#include "net/channel.h"

#define QUESTIONS_MAX 256u /* open ones of one client */

struct questions {
	struct list open;
	unsigned n;
	struct resolve_client *resolver;
	struct channel *channel; /* the client's */
};
void questions_init(struct questions *q, struct resolve_client *resolver, struct channel *channel);
void questions_done(struct questions *q); /* the client goes */
/* One FRAME_RESOLVE. A negative errno: close the client. */
MUST_CHECK int questions_frame(struct questions *q, struct span payload);
