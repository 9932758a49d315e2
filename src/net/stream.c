/* A buffered octet stream on a socket, for one fiber (or one that reads and one that writes).
 *
 * Reading: one buffer, from 4 KiB up to 64 KiB (or the caller's longest line) as the peer fills
 * it. Writing: likewise; what was written leaves only when the reader would wait for input, when
 * 64 KiB have gathered, or at stream_flush. So the replies to a pipelined group of commands
 * (RFC 2920) leave together, without a word about it in the session.
 *
 * A system call is tried first and the fd waited for only after EAGAIN. After a short read of TCP
 * even that try is spared: whatever comes later makes a new edge (epoll(7)).
 *
 * Each wait is bounded by the timeout of its direction, and reading also by the absolute read
 * deadline. A peer that never lets us wait is bounded by STREAM_BURST reads or writes, after which
 * others run. After STREAM_IDLE_USEC of silence the empty buffers are given back: an idle
 * connection keeps only its fiber's stack.
 *
 * Errors stick per direction: after one, every later call says the same. TLS (tls.c) is another
 * struct transport: it may hold octets that the socket has given up already, so it is asked before
 * each wait, and knows itself when asking the socket is of no use. */
#include "net/stream_internal.h"
#include "fiber/sanitizer.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_MIN	 4096u /* a small message comes by one call */
#define OUTPUT_MIN	 512u  /* most replies; of thousands that only said EHLO it is what stays */
#define BUFFER_MAX	 65536u
#define STREAM_BURST	 16u
#define STREAM_IDLE_USEC (2 * USEC_PER_SEC)
#define TIMEOUT_DEFAULT	 (300 * USEC_PER_SEC)
/* Ended streams that wait, with their first buffers, for the next connection. The sanitizer shall
 * see a use after the end. */
#if FIBER_ASAN
#define STREAMS_KEPT 0u
#else
#define STREAMS_KEPT 32u
#endif

/* ---- plain sockets ---- */

ssize_t stream_plain_read(struct stream *s, void *ptr, size_t len)
{
	ssize_t n;
	do {
		/* Cleared first: an edge after this belongs to octets that this call may miss. */
		s->watch.ready &= ~(uint32_t)EPOLLIN;
		n = recv(s->watch.fd, ptr, len, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		s->drained |= errno == EAGAIN; /* what comes later makes a new edge */
		return -errno;
	}
	/* With a hang-up seen no further edge comes for the end behind these octets. */
	s->drained = s->short_is_last && (size_t)n < len && !(s->watch.ready & EPOLLRDHUP);
	return n;
}

ssize_t stream_plain_write(struct stream *s, const void *ptr, size_t len)
{
	/* The end's is TCP's: a unix socket keeps nothing back. */
	bool end = s->finishing && s->short_is_last;
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (end || s->more_follows ? MSG_MORE : 0);
	ssize_t n;
	do {
		s->watch.ready &= ~(uint32_t)EPOLLOUT;
		n = send(s->watch.fd, ptr, len, flags);
	} while (n < 0 && errno == EINTR);
	s->corked |= end && n > 0;
	return n < 0 ? -errno : n;
}

static const struct transport transport_plain = {
	.read = stream_plain_read, .write = stream_plain_write, .raw = true};

/* ---- birth, end, settings ---- */

int stream_new(int fd, struct stream **ret_stream)
{
	int family = AF_UNIX;
	socklen_t len = sizeof family;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) < 0)
		family = AF_UNIX;
	return stream_new_known(fd, family != AF_UNIX, ret_stream);
}

static struct stream *kept; /* linked by `next` */
static unsigned n_kept;

/* All zero but for storage that an ended one has left. */
static struct stream *stream_take(void)
{
	struct stream *s = kept;
	if (!s)
		return calloc(1, sizeof *s);
	kept = s->next;
	n_kept--;
	struct half in = {.ptr = s->in.ptr, .cap = s->in.cap};
	struct half out = {.ptr = s->out.ptr, .cap = s->out.cap};
	*s = (struct stream){.in = in, .out = out};
	return s;
}

/* Only the sizes that each begins with: one large message must not pin its memory. */
static void half_leave(struct half *h, size_t most)
{
	if (h->cap <= most)
		return;
	free(TAKE(h->ptr));
	h->cap = 0;
}

static void stream_leave(struct stream *s)
{
	bool keep = n_kept < STREAMS_KEPT;
	half_leave(&s->in, keep ? INPUT_MIN : 0);
	half_leave(&s->out, keep ? OUTPUT_MIN : 0);
	if (!keep) {
		free(s);
		return;
	}
	s->next = kept;
	kept = s;
	n_kept++;
}

int stream_new_known(int fd, bool tcp, struct stream **ret_stream)
{
	struct stream *s = stream_take();
	if (!s) {
		fd_close(fd);
		return -ENOMEM;
	}
	int r = watch_init(&s->watch, fd, NULL);
	if (r < 0) {
		fd_close(fd);
		stream_leave(s);
		return r;
	}
	s->short_is_last = tcp;
	/* What is there by now makes an edge of its own: epoll_ctl(2) looks when it adds. */
	s->drained = true;
	s->transport = &transport_plain;
	s->in.timeout_usec = s->out.timeout_usec = TIMEOUT_DEFAULT;
	s->read_deadline_usec = USEC_INFINITY;
	*ret_stream = s;
	return 0;
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	if (s->transport->close)
		s->transport->close(s);
	/* Not left to close(), which would forget what waits if the peer has sent what nobody read
	 * (RFC 9293 3.10.4: such an end is a reset). */
	if (s->corked)
		(void)shutdown(s->watch.fd, SHUT_WR);
	watch_done_and_close(&s->watch); /* no other process has a stream's fd */
	stream_leave(s);
}

void stream_freep(struct stream **s)
{
	stream_free(TAKE(*s));
}

int stream_fd(const struct stream *s)
{
	return s->watch.fd;
}

void stream_set_timeout(struct stream *s, uint64_t read_usec, uint64_t write_usec)
{
	s->in.timeout_usec = read_usec;
	s->out.timeout_usec = write_usec;
}

void stream_set_read_deadline(struct stream *s, uint64_t deadline_usec)
{
	s->read_deadline_usec = deadline_usec;
}

void stream_fail(struct stream *s, int error)
{
	s->in.error = s->out.error = error;
	s->in.start = s->in.end = s->scanned = 0;
	s->out.start = s->out.end = 0;
}

uint64_t stream_octets_in(const struct stream *s)
{
	return s->in.octets;
}

uint64_t stream_octets_out(const struct stream *s)
{
	return s->out.octets;
}

/* ---- halves ---- */

static size_t half_len(const struct half *h)
{
	return h->end - h->start;
}

/* Makes room for want octets behind end, or, at the ceiling, for at least one. least: of a new
 * buffer.
 */
static int half_room(struct half *h, size_t want, size_t least, size_t ceiling)
{
	if (h->cap - h->end >= want)
		return 0;
	if (h->start > 0) {
		memmove(h->ptr, h->ptr + h->start, half_len(h));
		h->end -= h->start;
		h->start = 0;
	}
	size_t cap = MAX(h->cap, least);
	while (cap - h->end < want && cap < ceiling)
		cap = MIN(cap * 2, ceiling);
	if (cap > h->cap) {
		char *grown = realloc(h->ptr, cap);
		if (!grown)
			return -ENOMEM;
		h->ptr = grown;
		h->cap = cap;
	}
	return h->end < h->cap ? 0 : -EMSGSIZE;
}

static void half_release(struct half *h)
{
	if (half_len(h) > 0)
		return;
	free(TAKE(h->ptr));
	h->cap = h->start = h->end = 0;
}

static uint64_t deadline_after(uint64_t usec)
{
	uint64_t now = loop_now_usec();
	return usec < USEC_INFINITY - now ? now + usec : USEC_INFINITY;
}

/* Others run after a burst of calls that never had to wait. */
static SUSPENDS int half_count_burst(struct half *h)
{
	if (++h->burst < STREAM_BURST)
		return 0;
	h->burst = 0;
	return fiber_yield();
}

/* ---- writing ---- */

static SUSPENDS int wait_writable(struct stream *s)
{
	s->out.burst = 0;
	return fiber_wait_writable(&s->watch, deadline_after(s->out.timeout_usec));
}

/* The reader's fiber may be sending on behalf of the writer's: wait until it has. */
static SUSPENDS int write_turn(struct stream *s)
{
	int r = 0;
	while (s->writing && r >= 0)
		r = cond_wait(&s->written, deadline_after(s->out.timeout_usec));
	return r < 0 ? r : s->out.error;
}

static void write_begin(struct stream *s)
{
	assert(!s->writing);
	s->writing = true;
}

static void write_end(struct stream *s)
{
	s->writing = false;
	cond_broadcast(&s->written);
}

static SUSPENDS int write_through(struct stream *s, struct span octets)
{
	write_begin(s);
	while (octets.len > 0 && !s->out.error) {
		ssize_t n = s->transport->write(s, octets.ptr, octets.len);
		int r;
		if (n >= 0) {
			s->out.octets += (uint64_t)n;
			octets = span_from(octets, (size_t)n);
			r = octets.len > 0 ? half_count_burst(&s->out) : 0;
		} else if (n == -EAGAIN) {
			r = wait_writable(s);
		} else {
			r = (int)n;
		}
		if (r < 0)
			s->out.error = r;
	}
	write_end(s);
	return s->out.error;
}

/* What the transport holds back. Nobody else writes meanwhile. */
static SUSPENDS int push(struct stream *s, enum push why)
{
	int r = s->transport->push ? s->transport->push(s, why) : 0;

	if (r == -EAGAIN) {
		write_begin(s);
		do {
			r = wait_writable(s);
			if (r >= 0)
				r = s->transport->push(s, why);
		} while (r == -EAGAIN);
		write_end(s);
	}
	return r < 0 ? s->out.error = r : 0;
}

int stream_flush(struct stream *s)
{
	int r = write_turn(s);
	if (r < 0)
		return r;
	if (half_len(&s->out) == 0)
		return push(s, PUSH_WAITING);
	r = write_through(s, span_make(s->out.ptr + s->out.start, half_len(&s->out)));
	s->out.start = s->out.end = 0;
	return r;
}

int stream_finish(struct stream *s)
{
	s->finishing = true;
	int r = stream_flush(s);
	return r < 0 ? r : push(s, PUSH_END);
}

int stream_write(struct stream *s, struct span octets)
{
	int r = write_turn(s);
	if (r < 0)
		return r;
	if (half_len(&s->out) + octets.len > BUFFER_MAX) {
		s->more_follows = octets.len > BUFFER_MAX; /* no segment of its own */
		r = stream_flush(s);
		s->more_follows = false;
		if (r < 0)
			return r;
		if (octets.len > BUFFER_MAX)
			return write_through(s, octets);
	}
	if (octets.len == 0)
		return 0;
	r = half_room(&s->out, octets.len, OUTPUT_MIN, BUFFER_MAX);
	if (r < 0)
		return s->out.error = r;
	memcpy(s->out.ptr + s->out.end, octets.ptr, octets.len);
	s->out.end += octets.len;
	return 0;
}

int stream_printf(struct stream *s, const char *fmt, ...)
{
	struct buf text = BUF_INIT(BUFFER_MAX);
	va_list ap;
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	int r = text.error ? text.error : stream_write(s, buf_span(&text));
	buf_done(&text);
	return r;
}

/* ---- reading ---- */

/* One read into the buffer, if there is room. 0, -EAGAIN, -ECONNRESET at the end, others. */
static int read_once(struct stream *s, size_t ceiling)
{
	struct half *in = &s->in;
	if (in->error)
		return in->error;
	if (in->start == in->end)
		in->start = in->end = 0;
	/* A full buffer doubles: the peer sends faster than we read. */
	int r = half_room(in, in->end == in->cap ? in->cap + 1 : 1, INPUT_MIN, ceiling);
	if (r < 0)
		return r;
	ssize_t n = s->transport->read(s, in->ptr + in->end, in->cap - in->end);
	if (n == -EAGAIN)
		return -EAGAIN;
	if (n <= 0)
		return in->error = n < 0 ? (int)n : -ECONNRESET;
	in->end += (size_t)n;
	in->octets += (uint64_t)n;
	return 0;
}

static SUSPENDS int wait_readable(struct stream *s)
{
	s->in.burst = 0;
	uint64_t deadline = MIN(deadline_after(s->in.timeout_usec), s->read_deadline_usec);
	uint64_t idle = deadline_after(STREAM_IDLE_USEC);
	if (idle < deadline) {
		int r = fiber_wait_readable(&s->watch, idle);
		if (r != -ETIMEDOUT)
			return r;
		half_release(&s->in);
		half_release(&s->out);
		r = s->writing ? 0 : push(s, PUSH_IDLE);
		if (r < 0)
			return r;
	}
	return fiber_wait_readable(&s->watch, deadline);
}

/* At least one octet more in the buffer. Flushes before it waits. -EMSGSIZE: no room. */
static SUSPENDS int fill(struct stream *s, size_t ceiling)
{
	for (;;) {
		int r = -EAGAIN;
		if (!s->drained || s->in.error || !s->transport->raw)
			r = read_once(s, ceiling);
		if (r == 0)
			r = half_count_burst(&s->in);
		if (r != -EAGAIN)
			return r;
		r = s->writing ? 0 : stream_flush(s);
		if (r < 0)
			return r;
		r = s->read_needs_write ? wait_writable(s) : wait_readable(s);
		if (r < 0)
			return r;
		s->drained = false;
	}
}

int stream_fill_now(struct stream *s)
{
	if (half_len(&s->in) >= BUFFER_MAX)
		return 0;
	s->drained = false; /* asked of the kernel: an edge may not have been told yet */
	return read_once(s, BUFFER_MAX);
}

struct span stream_buffered(const struct stream *s)
{
	return span_make(s->in.ptr ? s->in.ptr + s->in.start : NULL, half_len(&s->in));
}

int stream_peek(struct stream *s, struct span *ret_octets)
{
	if (half_len(&s->in) == 0) {
		int r = fill(s, BUFFER_MAX);
		if (r < 0)
			return r;
	}
	*ret_octets = stream_buffered(s);
	return 0;
}

void stream_consume(struct stream *s, size_t len)
{
	assert(len <= half_len(&s->in));
	s->in.start += len;
	s->scanned = 0;
}

/* Takes the line that ends at the LF at index lf off the buffer. */
static int line_take(struct stream *s, size_t lf, size_t max, struct span *ret_line, bool *ret_crlf)
{
	struct span line = span_head(stream_buffered(s), lf);
	bool crlf = lf > 0 && line.ptr[lf - 1] == '\r';
	if (crlf)
		line.len--;
	bool too_long = s->discarding || line.len > max;
	s->discarding = false;
	stream_consume(s, lf + 1);
	if (too_long)
		return -EMSGSIZE;
	*ret_line = line;
	if (ret_crlf)
		*ret_crlf = crlf;
	return 0;
}

int stream_read_line(struct stream *s, size_t max, struct span *ret_line, bool *ret_crlf)
{
	for (;;) {
		struct span have = stream_buffered(s);
		size_t lf = s->scanned + span_index(span_from(have, s->scanned), '\n');
		if (lf < have.len)
			return line_take(s, lf, max, ret_line, ret_crlf);
		/* One more than max may still be the CR of a line that fits. */
		if (s->discarding || have.len > max + 1) {
			s->discarding = true;
			stream_consume(s, have.len);
		} else {
			s->scanned = have.len;
		}
		int r = fill(s, MAX((size_t)BUFFER_MAX, max + 2));
		if (r < 0)
			return r;
	}
}
