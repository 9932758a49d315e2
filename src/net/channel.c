/* Channels between processes: frames over a SOCK_SEQPACKET pair, by callbacks on the loop.
 *
 * Outgoing frames gather in one buffer, with a side list of (stream position of the frame's header,
 * fd); at the end of the turn they leave in packets of at most 64 KiB. Fds travel with the packet
 * in which their frame's header begins, so that they are never later than their frame. A packet
 * carries at most CHANNEL_PACKET_FDS; where more would go, it is cut before the frame whose fds no
 * longer fit.
 *
 * Incoming packets are taken several at a time (recvmmsg: when fewer come than were asked for, the
 * pair is empty and the next packet makes a new edge, so that no call is spent to hear EAGAIN), put
 * together again in one buffer and dispatched frame by frame. The peer is
 * untrusted: what it can make us hold is bounded (CHANNEL_FRAME_MAX octets, CHANNEL_UNCLAIMED_MAX
 * fds, CHANNEL_PACKETS_A_TURN packets before others get their turn), and anything malformed closes
 * the channel. A zero-length packet cannot be told from the end and counts as it.
 *
 * on_close runs from the loop only, once, after every whole frame that had arrived. Any callback
 * may free the channel: `depth` keeps the memory until the outermost frame of ours is left. */
#include "net/channel.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAME_HEADER	       8u
#define CHANNEL_PACKET_FDS     64u
#define CHANNEL_UNCLAIMED_MAX  64u
#define CHANNEL_PACKETS_A_TURN 64u
#define BACKLOG_DEFAULT	       (8u * 1024u * 1024u)
#define BUFFER_KEPT	       CHANNEL_PACKET_MAX /* an empty buffer larger than this is freed */
#define RETRY_USEC	       (10 * USEC_PER_MSEC)

struct out_fd {
	uint64_t position;
	int fd;
};

struct channel {
	struct watch watch;
	const struct channel_ops *ops;
	void *arg;
	struct loop_defer turn;
	struct loop_timer retry;
	struct buf out; /* out.ptr + sent is the octet at stream position out_position */
	size_t sent;
	uint64_t out_position;
	struct out_fd *out_fds;
	size_t out_fds_first, out_fds_len, out_fds_cap;
	size_t backlog_max;
	struct buf in;
	int in_fds[CHANNEL_UNCLAIMED_MAX + CHANNEL_PACKET_FDS];
	unsigned in_fds_len;
	int error;	/* of sending, told by on_close after the rest has been read */
	unsigned depth; /* of callbacks being run */
	bool open, sending, read_pending, blocked, wants_output, refused, freed;
};

static void channel_turn(struct loop_defer *d);
static void channel_on_ready(struct watch *w, uint32_t events);
static void channel_on_retry(struct loop_timer *t);

/* ---- birth and end ---- */

int channel_new(int fd, const struct channel_ops *ops, void *arg, struct channel **ret_channel)
{
	struct channel *c = calloc(1, sizeof *c);
	if (!c) {
		fd_close(fd);
		return -ENOMEM;
	}
	int r = watch_init_input(&c->watch, fd, channel_on_ready);
	if (r < 0) {
		fd_close(fd);
		free(c);
		return r;
	}
	c->ops = ops;
	c->arg = arg;
	c->turn.fn = channel_turn;
	c->retry.fn = channel_on_retry;
	c->out = BUF_INIT(SIZE_MAX); /* bounded by backlog_max */
	c->in = BUF_INIT(CHANNEL_FRAME_MAX + FRAME_HEADER + CHANNEL_PACKET_MAX);
	c->backlog_max = BACKLOG_DEFAULT;
	c->open = c->sending = true;
	*ret_channel = c;
	return 0;
}

/* Drops what waits to be sent. */
static void channel_drop_out(struct channel *c)
{
	for (size_t i = c->out_fds_first; i < c->out_fds_len; i++)
		fd_close(c->out_fds[i].fd);
	free(TAKE(c->out_fds));
	c->out_fds_first = c->out_fds_len = c->out_fds_cap = 0;
	buf_done(&c->out);
	c->sent = 0;
}

static void channel_release(struct channel *c)
{
	c->open = c->sending = false;
	loop_defer_cancel(&c->turn);
	loop_timer_cancel(&c->retry);
	watch_done(&c->watch);
	c->watch.fd = fd_close(c->watch.fd);
	channel_drop_out(c);
	for (unsigned i = 0; i < c->in_fds_len; i++)
		fd_close(c->in_fds[i]);
	c->in_fds_len = 0;
}

static void channel_enter(struct channel *c)
{
	c->depth++;
}

static void channel_leave(struct channel *c)
{
	if (--c->depth > 0 || !c->freed)
		return;
	buf_done(&c->in);
	free(c);
}

void channel_free(struct channel *c)
{
	if (!c)
		return;
	assert(!c->freed);
	channel_enter(c);
	channel_release(c);
	c->freed = true;
	channel_leave(c);
}

void channel_freep(struct channel **c)
{
	channel_free(TAKE(*c));
}

/* Only inside channel_enter. */
static void channel_close(struct channel *c, int error)
{
	if (!c->open)
		return;
	channel_release(c);
	if (c->ops->on_close)
		c->ops->on_close(c->arg, error);
}

/* ---- sending ---- */

size_t channel_backlog(const struct channel *c)
{
	return c->out.len - c->sent;
}

void channel_set_backlog_max(struct channel *c, size_t octets)
{
	c->backlog_max = octets;
}

bool channel_is_open(const struct channel *c)
{
	return c->sending;
}

static int out_fds_add(struct channel *c, const int *fds, unsigned n_fds)
{
	if (c->out_fds_first == c->out_fds_len)
		c->out_fds_first = c->out_fds_len = 0;
	if (c->out_fds_len + n_fds > c->out_fds_cap) {
		size_t cap = MAX(c->out_fds_cap * 2, (size_t)16);
		struct out_fd *grown = reallocarray(c->out_fds, cap, sizeof *grown);
		if (!grown)
			return -ENOMEM;
		c->out_fds = grown;
		c->out_fds_cap = cap;
	}
	uint64_t position = c->out_position + channel_backlog(c);
	for (unsigned i = 0; i < n_fds; i++) {
		int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
		if (fd < 0) {
			int r = -errno;
			while (i-- > 0)
				fd_close(c->out_fds[--c->out_fds_len].fd);
			return r;
		}
		c->out_fds[c->out_fds_len++] = (struct out_fd){position, fd};
	}
	return 0;
}

int channel_send(
	struct channel *c, uint16_t type, struct span payload, const int *fds, unsigned n_fds)
{
	assert(n_fds <= CHANNEL_FDS_MAX);
	if (!c->sending)
		return -EPIPE;
	if (payload.len > CHANNEL_FRAME_MAX)
		return -EMSGSIZE;
	/* A frame larger than the bound goes when nothing else waits. */
	size_t backlog = channel_backlog(c);
	if (backlog > 0 && backlog + FRAME_HEADER + payload.len > c->backlog_max) {
		c->refused = true;
		return -ENOBUFS;
	}
	if (!buf_reserve(&c->out, FRAME_HEADER + payload.len)) {
		c->out.error = 0; /* what was queued before is whole */
		return -ENOMEM;
	}
	int r = n_fds ? out_fds_add(c, fds, n_fds) : 0;
	if (r < 0)
		return r;
	uint32_t len = (uint32_t)payload.len;
	unsigned char header[FRAME_HEADER] = {
		(unsigned char)len,
		(unsigned char)(len >> 8),
		(unsigned char)(len >> 16),
		(unsigned char)(len >> 24),
		(unsigned char)type,
		(unsigned char)(type >> 8),
		(unsigned char)n_fds,
		0,
	};
	buf_append(&c->out, header, sizeof header);
	buf_put(&c->out, payload);
	if (!c->blocked)
		loop_defer(&c->turn);
	return 0;
}

/* How many octets and fds the next packet takes. */
static size_t packet_cut(const struct channel *c, size_t *ret_n_fds)
{
	size_t len = MIN(channel_backlog(c), (size_t)CHANNEL_PACKET_MAX);
	size_t n = 0;
	while (c->out_fds_first + n < c->out_fds_len) {
		const struct out_fd *o = &c->out_fds[c->out_fds_first + n];
		if (o->position >= c->out_position + len)
			break;
		if (n == CHANNEL_PACKET_FDS) {
			/* All fds of this frame stay with its header. */
			len = (size_t)(o->position - c->out_position);
			while (c->out_fds[c->out_fds_first + n - 1].position == o->position)
				n--;
			break;
		}
		n++;
	}
	*ret_n_fds = n;
	return len;
}

static int packet_send(struct channel *c)
{
	union {
		struct cmsghdr align;
		char octets[CMSG_SPACE(CHANNEL_PACKET_FDS * sizeof(int))];
	} control;
	size_t n_fds, len = packet_cut(c, &n_fds);
	struct iovec iov = {c->out.ptr + c->sent, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	if (n_fds > 0) {
		memset(&control, 0, sizeof control);
		msg.msg_control = control.octets;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *h = CMSG_FIRSTHDR(&msg);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		for (size_t i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(h) + i * sizeof(int), &c->out_fds[c->out_fds_first + i].fd,
				sizeof(int));
	}
	if (sendmsg(c->watch.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	for (; n_fds > 0; n_fds--)
		fd_close(c->out_fds[c->out_fds_first++].fd);
	c->sent += len;
	c->out_position += len;
	return 0;
}

/* Sends what waits until the pair is full. Calls nobody back. */
static void channel_push(struct channel *c)
{
	c->blocked = false;
	if (c->wants_output) /* else its edges come for nothing: no harm */
		c->wants_output = watch_want_output(&c->watch, false) < 0;
	while (c->sending && channel_backlog(c) > 0) {
		c->watch.ready &= ~(uint32_t)EPOLLOUT;
		int r = packet_send(c);
		if (r >= 0 || r == -EINTR)
			continue;
		if (r == -EAGAIN) {
			c->blocked = true; /* an edge will say when */
			r = watch_want_output(&c->watch, true);
			c->wants_output = r >= 0;
			if (r >= 0)
				break;
		}
		if (r == -ENOBUFS || r == -ENOMEM || r == -ETOOMANYREFS) {
			/* The kernel's want, not the peer's; no edge tells its end. */
			c->blocked = true;
			r = loop_timer_set(&c->retry, loop_now_usec() + RETRY_USEC);
			if (r >= 0)
				break;
		}
		c->sending = false;
		c->error = r;
		c->read_pending = true;
		channel_drop_out(c);
		loop_defer(&c->turn);
	}
	if (channel_backlog(c) == 0) {
		c->sent = 0;
		buf_reset(&c->out);
		if (c->out.cap > BUFFER_KEPT)
			buf_done(&c->out);
	} else if (c->sent > c->out.len / 2) {
		buf_consume(&c->out, c->sent);
		c->sent = 0;
	}
}

void channel_flush(struct channel *c)
{
	if (!c->sending || c->blocked)
		return;
	channel_push(c);
	if (c->refused)
		loop_defer(&c->turn); /* on_drained comes from the loop */
}

/* ---- receiving ---- */

/* Keeps the fds of a packet; false when the peer sent what does not belong here. */
static bool packet_take_fds(struct channel *c, struct msghdr *msg)
{
	bool good = !(msg->msg_flags & MSG_CTRUNC);
	for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof fd);
			if (c->in_fds_len < ARRAY_LEN(c->in_fds)) {
				c->in_fds[c->in_fds_len++] = fd;
			} else {
				fd_close(fd);
				good = false;
			}
		}
	}
	return good;
}

/* Packets taken from a pair by one call. One for the process: nothing suspends between taking and
 * dispatching, and channels are read by the loop only. */
#define CHANNEL_BATCH 8u
static struct batch {
	struct mmsghdr messages[CHANNEL_BATCH];
	struct iovec iov[CHANNEL_BATCH];
	union {
		struct cmsghdr align;
		char octets[CMSG_SPACE(CHANNEL_PACKET_FDS * sizeof(int))];
	} control[CHANNEL_BATCH];
	char octets[CHANNEL_BATCH][CHANNEL_PACKET_MAX];
	bool in_use;
} batch;

/* How many packets, or a negative errno. */
static int batch_receive(struct channel *c)
{
	for (unsigned i = 0; i < CHANNEL_BATCH; i++) {
		batch.iov[i] = (struct iovec){batch.octets[i], CHANNEL_PACKET_MAX};
		batch.messages[i].msg_hdr = (struct msghdr){
			.msg_iov = &batch.iov[i],
			.msg_iovlen = 1,
			.msg_control = batch.control[i].octets,
			.msg_controllen = sizeof batch.control[i].octets,
		};
	}
	int n = recvmmsg(
		c->watch.fd, batch.messages, CHANNEL_BATCH, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
	return n < 0 ? -errno : n;
}

/* Appends packet i to c->in: its length, 0 at the end, or a negative errno. */
static ssize_t batch_take(struct channel *c, unsigned i)
{
	struct mmsghdr *m = &batch.messages[i];

	if (!packet_take_fds(c, &m->msg_hdr) || (m->msg_hdr.msg_flags & MSG_TRUNC))
		return -EPROTO;
	buf_append(&c->in, batch.octets[i], m->msg_len);
	return c->in.error ? c->in.error : (ssize_t)m->msg_len;
}

static uint32_t get_le(const char *ptr, unsigned octets)
{
	uint32_t v = 0;
	while (octets-- > 0)
		v = v << 8 | (unsigned char)ptr[octets];
	return v;
}

static int frame_dispatch(struct channel *c, uint16_t type, struct span payload, unsigned n_fds)
{
	struct frame f = {.type = type, .payload = payload, .n_fds = n_fds};
	for (unsigned i = 0; i < CHANNEL_FDS_MAX; i++)
		f.fds[i] = i < n_fds ? c->in_fds[i] : -1;
	c->in_fds_len -= n_fds;
	memmove(c->in_fds, c->in_fds + n_fds, c->in_fds_len * sizeof c->in_fds[0]);
	int r = c->ops->on_frame(c->arg, &f);
	for (unsigned i = 0; i < n_fds; i++)
		fd_close(f.fds[i]);
	return r;
}

/* Every whole frame of c->in. 0, or a negative errno that closes the channel. */
static int frames_dispatch(struct channel *c)
{
	size_t at = 0;
	int r = 0;
	while (r >= 0 && c->open && c->in.len - at >= FRAME_HEADER) {
		const char *header = c->in.ptr + at;
		uint32_t len = get_le(header, 4);
		unsigned n_fds = get_le(header + 6, 2);
		if (len > CHANNEL_FRAME_MAX || n_fds > CHANNEL_FDS_MAX || n_fds > c->in_fds_len)
			return -EPROTO;
		if (c->in.len - at - FRAME_HEADER < len)
			break;
		at += FRAME_HEADER + len;
		r = frame_dispatch(c, (uint16_t)get_le(header + 4, 2),
			span_make(header + FRAME_HEADER, len), n_fds);
	}
	if (r < 0)
		return r;
	buf_consume(&c->in, at);
	if (c->in.len == 0 && c->in.cap > 2 * BUFFER_KEPT)
		buf_done(&c->in);
	return c->in_fds_len > CHANNEL_UNCLAIMED_MAX ? -EPROTO : 0;
}

/* The fds of a packet that nobody will read. */
static void batch_drop(unsigned i)
{
	struct msghdr *msg = &batch.messages[i].msg_hdr;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
		size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t k = 0; h->cmsg_type == SCM_RIGHTS && k < n; k++) {
			int fd;
			memcpy(&fd, CMSG_DATA(h) + k * sizeof(int), sizeof fd);
			fd_close(fd);
		}
	}
}

static void batch_dispatch(struct channel *c, unsigned n)
{
	assert(!batch.in_use);
	batch.in_use = true;
	for (unsigned i = 0; i < n; i++) {
		if (!c->open) {
			batch_drop(i);
			continue;
		}
		ssize_t len = batch_take(c, i);
		int r = len > 0 ? frames_dispatch(c) : (int)len;
		if (len == 0 || r < 0)
			channel_close(c, len == 0 && c->in.len > 0 ? -EPROTO : r);
	}
	batch.in_use = false;
}

static void channel_read(struct channel *c)
{
	int n = CHANNEL_BATCH;

	c->read_pending = false;
	for (unsigned i = 0; c->open && n == CHANNEL_BATCH; i += CHANNEL_BATCH) {
		if (i >= CHANNEL_PACKETS_A_TURN) {
			c->read_pending = true; /* others first; on in the next turn */
			loop_defer(&c->turn);
			return;
		}
		n = batch_receive(c);
		if (n == -EINTR)
			n = CHANNEL_BATCH;
		else if (n > 0)
			batch_dispatch(c, (unsigned)n);
		else if (n != -EAGAIN)
			channel_close(c, n);
	}
	if (c->open && c->error)
		channel_close(c, c->error);
}

/* ---- the loop's calls ---- */

static void channel_work(struct channel *c, bool push)
{
	channel_enter(c);
	if (c->open && c->read_pending)
		channel_read(c);
	if (push && c->sending)
		channel_push(c);
	if (c->sending && c->refused && channel_backlog(c) < c->backlog_max / 2) {
		c->refused = false;
		if (c->ops->on_drained)
			c->ops->on_drained(c->arg);
	}
	channel_leave(c);
}

static void channel_turn(struct loop_defer *d)
{
	struct channel *c = CONTAINER_OF(d, struct channel, turn);
	channel_work(c, !c->blocked);
}

static void channel_on_ready(struct watch *w, uint32_t events)
{
	struct channel *c = CONTAINER_OF(w, struct channel, watch);
	if (events & EPOLLIN)
		c->read_pending = true;
	/* Frames sent in answer to what is read here leave at the turn's end, together. */
	channel_work(c, c->blocked && (events & EPOLLOUT));
}

static void channel_on_retry(struct loop_timer *t)
{
	channel_work(CONTAINER_OF(t, struct channel, retry), true);
}
