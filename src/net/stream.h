/* A buffered octet stream on a socket, for a fiber. The stream flushes what was written only when
 * its input is drained (before it would wait for reading), so PIPELINING costs no code in the
 * session. TLS comes in below this interface (net/tls.h). One reader and one writer fiber at most.
 *
 * A line's span points into the read buffer and is valid until the next read call. */
#pragma once
#include "base/buf.h"
#include "fiber/fiber.h"

struct stream;
/* Takes over fd (non-blocking, connected), also on error. -ENOMEM and epoll's errors. */
MUST_CHECK int stream_new(int fd, struct stream **ret_stream);
/* The same, for a caller who knows what kind of socket it is. */
MUST_CHECK int stream_new_known(int fd, bool tcp, struct stream **ret_stream);
void stream_free(struct stream *s); /* closes the fd; unflushed output is dropped; NULL allowed */
void stream_freep(struct stream **s);
int stream_fd(const struct stream *s);
/* Deadline for each single wait from now on: now + usec at each wait. Default 300 s. */
void stream_set_timeout(struct stream *s, uint64_t read_usec, uint64_t write_usec);
/* Absolute deadline over all reads until cleared with USEC_INFINITY (minimum data rates). */
void stream_set_read_deadline(struct stream *s, uint64_t deadline_usec);
/* Raw bytes seen: octets read and written since birth. */
uint64_t stream_octets_in(const struct stream *s);
uint64_t stream_octets_out(const struct stream *s);

/* Reads up to LF; ret_line has the line without its end. ret_crlf tells CRLF from a bare LF (may
 * be NULL). A bare CR is data here. max: longest line without its end.
 * -EMSGSIZE: too long: the line has been consumed up to its LF (bounded memory), the stream
 * stays usable. -ECONNRESET: end of file or reset (half a line is dropped). -ETIMEDOUT,
 * -ECANCELED, other negative errno. Flushes output first if it must wait. */
SUSPENDS MUST_CHECK int stream_read_line(
	struct stream *s, size_t max, struct span *ret_line, bool *ret_crlf);
/* At least one octet, at most what is buffered; the caller consumes what it used. */
SUSPENDS MUST_CHECK int stream_peek(struct stream *s, struct span *ret_octets);
void stream_consume(struct stream *s, size_t len);
/* What is buffered now, without waiting (may be empty): for "did the peer talk before us?". */
struct span stream_buffered(const struct stream *s);
/* Non-blocking: tries to read what the kernel has into the buffer. 0 or a negative errno
 * (-EAGAIN: nothing there, -ECONNRESET: end). */
MUST_CHECK int stream_fill_now(struct stream *s);

/* Appends to the write buffer; writes through (suspends) when it exceeds 64 KiB. */
SUSPENDS MUST_CHECK int stream_write(struct stream *s, struct span octets);
SUSPENDS MUST_CHECK int stream_printf(struct stream *s, const char *fmt, ...) PRINTF(2, 3);
SUSPENDS MUST_CHECK int stream_flush(struct stream *s);
/* Flushes for the last time: stream_free has to come soon, and until then what was written may
 * wait, to leave in one segment with the end of the connection and what the transport says at its
 * end (TLS: close_notify). */
SUSPENDS MUST_CHECK int stream_finish(struct stream *s);
