/* Inside of the net room: what a stream is made of, for its transports (plain sockets in stream.c,
 * TLS in tls.c). */
#pragma once
#include "net/stream.h"

/* Why a transport is asked to send what it holds back. */
enum push {
	PUSH_WAITING, /* we are about to wait for the peer */
	PUSH_IDLE,    /* the peer has been silent for a while */
	PUSH_END,     /* nothing will be written any more */
};
/* What carries the octets. read and write do not wait: octets, 0 at the end (read), or a negative
 * errno, -EAGAIN among them. */
struct transport {
	ssize_t (*read)(struct stream *s, void *ptr, size_t len);
	ssize_t (*write)(struct stream *s, const void *ptr, size_t len);
	/* Sends what write left for later, with the last words that the transport has where this is
	 * the end. 0 or a negative errno; NULL: nothing is ever left. */
	int (*push)(struct stream *s, enum push why);
	void (*close)(struct stream *s); /* before the fd goes; may be NULL */
	/* The octets on the socket are ours: what the socket has not, the stream has not either. */
	bool raw;
};

/* Octets [start, end) of ptr wait to be read or sent. */
struct half {
	char *ptr;
	size_t cap, start, end;
	int error;
	unsigned burst;
	uint64_t timeout_usec;
	uint64_t octets;
};

struct tls;
struct stream {
	struct watch watch;
	const struct transport *transport;
	struct tls *tls; /* NULL: plain */
	struct half in, out;
	size_t scanned; /* octets from in.start on that hold no LF */
	uint64_t read_deadline_usec;
	bool drained;	       /* the kernel had no more at the last read: wait before the next */
	bool short_is_last;    /* a short read means drained; not on unix sockets with fds */
	bool discarding;       /* in the middle of a line that is too long */
	bool finishing;	       /* stream_finish: what is sent waits for the end */
	bool corked;	       /* something does */
	bool writing;	       /* a fiber is sending: the out buffer stays as it is */
	bool more_follows;     /* octets that are sent next, at once, wait behind these */
	bool read_needs_write; /* the transport must send before it can read on */
	struct cond written;   /* writing has ended */
	struct stream *next;   /* of those that are kept for later */
};

/* The plain transport, for those that sit on it. */
ssize_t stream_plain_read(struct stream *s, void *ptr, size_t len);
ssize_t stream_plain_write(struct stream *s, const void *ptr, size_t len);
/* Every later call says error; what is buffered in either direction is forgotten. */
void stream_fail(struct stream *s, int error);
