/* A dispatcher for tests: hands out jobs and writes down what it hears. */
#pragma once
#include "support.h"

#include "ipc/frames.h"
#include "net/channel.h"

struct dispatcher {
	struct channel *channel;
	struct buf
		heard; /* "outcome 1 0:delivered:250:2.0.0 ", "inflight 3", "dot 3": one a line */
	unsigned closed;
};
int dispatcher_new(struct dispatcher *d); /* the other end, for the role */
void dispatcher_free(struct dispatcher *d);
void tell_u64(struct dispatcher *d, enum frame_type type, uint64_t value);
void ask_inflight(struct dispatcher *d);
/* Stores the message and sends its segment; layout is for hand_out and the caller's store_done. */
void open_segment(struct dispatcher *d, struct span message, struct stored *layout);
void hand_out(struct dispatcher *d, const struct stored *s, const struct wanted_job *w);
/* Waits until exactly this was heard, and forgets it. */
SUSPENDS void expect_heard(struct dispatcher *d, const char *want);
