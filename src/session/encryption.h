/* TLS in a session: from the handshake to what is known of the other side. */
#pragma once
#include "session/state.h"

/* Can this session begin TLS (it has not, and there are certificates)? */
bool encryption_is_possible(const struct session *s);
/* The handshake. Logs what came of it. After an error the session cannot go on. */
SUSPENDS MUST_CHECK int encryption_start(struct session *s);
