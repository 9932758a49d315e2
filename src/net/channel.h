/* A channel: one SOCK_SEQPACKET pair between two processes, used by callbacks on the loop, never
 * blocking. Frames: u32 payload length, u16 type, u16 number of fds, payload. Frames gather
 * during a turn and leave together at its end in packets of at most 64 KiB; a frame may straddle
 * packets (the packets are one octet stream; fds queue in order beside it), so a frame may be
 * larger than a packet, up to CHANNEL_FRAME_MAX. The peer is untrusted: a malformed stream or too
 * many unclaimed fds close the channel. */
#pragma once
#include "base/buf.h"
#include "fiber/fiber.h"

#define CHANNEL_PACKET_MAX (64u * 1024u)
#define CHANNEL_FRAME_MAX  (4u * 1024u * 1024u)
#define CHANNEL_FDS_MAX	   8 /* fds with one frame */

struct channel;
struct frame {
	uint16_t type;
	struct span payload; /* valid during the call */
	int fds[CHANNEL_FDS_MAX];
	unsigned n_fds; /* set an entry to -1 to keep the fd; the rest is closed after the call */
};
struct channel_ops {
	/* One whole frame. Returning a negative errno closes the channel (protocol error). */
	int (*on_frame)(void *arg, struct frame *f);
	/* The peer is gone, or an error: called once, from the loop, not from channel_send. The
	 * channel stays allocated until channel_free. */
	void (*on_close)(void *arg, int error);
	/* Optional: the backlog fell below half of its bound after channel_send said -ENOBUFS. */
	void (*on_drained)(void *arg);
};
/* Takes over fd, also on error. ops and arg outlive the channel. */
MUST_CHECK int channel_new(
	int fd, const struct channel_ops *ops, void *arg, struct channel **ret_channel);
void channel_free(struct channel *c); /* NULL allowed; may be called inside a callback */
void channel_freep(struct channel **c);
/* Queues a frame. fds are duplicated (the caller keeps its own). 0; -ENOBUFS when more than
 * backlog_max octets wait (nothing queued; default bound 8 MiB); -EPIPE when closed. */
MUST_CHECK int channel_send(
	struct channel *c, uint16_t type, struct span payload, const int *fds, unsigned n_fds);
size_t channel_backlog(const struct channel *c);
void channel_set_backlog_max(struct channel *c, size_t octets);
/* Sends what waits now instead of at the turn's end. */
void channel_flush(struct channel *c);
bool channel_is_open(const struct channel *c);
