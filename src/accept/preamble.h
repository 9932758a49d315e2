/* What a load balancer says before its client's first octet. */
#pragma once
#include "session/session.h"

/* A PROXY header must come, and at once: the origin is then the client's, with a permit of its own.
 * -EPROTO: none came; -EBUSY: over a limit (the client was told); -ETIMEDOUT, -ECANCELED. */
SUSPENDS MUST_CHECK int preamble_read(
	struct stream *io, const struct config *c, struct session_origin *o);
