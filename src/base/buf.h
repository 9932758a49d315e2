/* struct buf owns octets, grows up to a ceiling given at birth, and its error sticks: append
 * freely, check `error` (0, -ENOMEM, -EMSGSIZE) once. After an error appends do nothing. */
#pragma once
#include "base/span.h"
#include <stdarg.h>

struct buf {
	char *ptr;
	size_t len;
	size_t cap;
	size_t max;
	int error;
};

#define BUF_INIT(max_octets) ((struct buf){.max = (max_octets)})

void buf_done(struct buf *b); /* frees; leaves an empty buf with the same ceiling; NULL allowed */
/* The rare cases of the two below, which are inline, because everything that is written goes
 * through them a few octets at a time. */
void buf_append_grow(struct buf *b, const void *ptr, size_t len);
void *buf_reserve_grow(struct buf *b, size_t len);
/* There, without growing? */
static inline bool buf_has_room(const struct buf *b, size_t len)
{
	return len > 0 && len <= (b->cap < b->max ? b->cap : b->max) - b->len && !b->error;
}
static inline void buf_append(struct buf *b, const void *ptr, size_t len)
{
	if (!buf_has_room(b, len)) {
		buf_append_grow(b, ptr, len);
		return;
	}
	memcpy(b->ptr + b->len, ptr, len);
	b->len += len;
}
/* Space for len more octets at b->ptr + b->len, or NULL (error set); the caller then adds to len.
 */
static inline void *buf_reserve(struct buf *b, size_t len)
{
	return buf_has_room(b, len) ? b->ptr + b->len : buf_reserve_grow(b, len);
}
static inline void buf_put(struct buf *b, struct span s)
{
	buf_append(b, s.ptr, s.len);
}
static inline void buf_str(struct buf *b, const char *s)
{
	buf_append(b, s, strlen(s));
}
static inline void buf_char(struct buf *b, char c)
{
	buf_append(b, &c, 1);
}
void buf_u64(struct buf *b, uint64_t v); /* decimal */
/* Decimal, with zeros before it up to so many digits (at most 20). */
void buf_u64_padded(struct buf *b, uint64_t v, unsigned digits);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) PRINTF(2, 0);
/* Appends a regular file from its beginning to its end, wherever the fd stands. Blocks. The ceiling
 * must leave room for BUF_READ_STEP behind the last octet. Negative errno, -EMSGSIZE, -ENOMEM. */
#define BUF_READ_STEP 65536u
MUST_CHECK int buf_read_fd(struct buf *b, int fd);
/* Drops the first len octets. */
void buf_consume(struct buf *b, size_t len);
void buf_reset(struct buf *b); /* len = 0, error = 0, memory kept */
/* Peer octets made safe for a log or a reply: printable ASCII as is, all else (and \ and ") as
 * \xHH; at most max_in input octets, then "...". UTF-8 is escaped too. */
void buf_escaped(struct buf *b, struct span s, size_t max_in);
static inline struct span buf_span(const struct buf *b)
{
	return (struct span){b->ptr, b->len};
}
