/* Owned octets that grow to a ceiling.
 *
 * Invariants: len <= max and len <= cap; once `error` is set the content stays as it was, so that
 * a builder may append freely and look once at the end. The allocation may be one octet larger
 * than the ceiling: that one is for the NUL which vsnprintf insists on writing.
 * What is appended must not point into the same buf: growing moves it. */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Small enough for a reply line, large enough that most never grow twice. */
#define BUF_FIRST_CAP 128

void buf_done(struct buf *b)
{
	if (!b)
		return;
	free(b->ptr);
	*b = BUF_INIT(b->max);
}

/* Room for len octets plus `extra` (0 or 1) that is not counted against the ceiling. */
static bool buf_room(struct buf *b, size_t len, size_t extra)
{
	if (b->error)
		return false;
	if (len > b->max - b->len || b->len + len > SIZE_MAX - extra) {
		b->error = -EMSGSIZE;
		return false;
	}
	size_t need = b->len + len + extra;
	if (need <= b->cap)
		return true;
	size_t cap = MAX(b->cap, (size_t)BUF_FIRST_CAP / 2);
	cap = cap > SIZE_MAX / 2 ? SIZE_MAX : cap * 2;
	/* Never above the ceiling for nothing, never below the need. */
	cap = MAX(MIN(cap, b->max), need);
	char *p = realloc(b->ptr, cap);
	if (!p) {
		b->error = -ENOMEM;
		return false;
	}
	b->ptr = p;
	b->cap = cap;
	return true;
}

void *buf_reserve_grow(struct buf *b, size_t len)
{
	/* An empty reservation still gives a pointer, so that NULL always means an error. */
	if (!buf_room(b, len, len || b->cap ? 0 : 1))
		return NULL;
	return b->ptr + b->len;
}

void buf_append_grow(struct buf *b, const void *ptr, size_t len)
{
	if (len == 0 || !buf_room(b, len, 0))
		return;
	memcpy(b->ptr + b->len, ptr, len);
	b->len += len;
}

void buf_u64_padded(struct buf *b, uint64_t v, unsigned digits)
{
	char text[20];
	size_t at = sizeof(text), most = at - digits;

	assert(digits <= sizeof(text));
	do
		text[--at] = (char)('0' + v % 10);
	while (v /= 10);
	while (at > most)
		text[--at] = '0';
	buf_append(b, text + at, sizeof(text) - at);
}

void buf_u64(struct buf *b, uint64_t v)
{
	buf_u64_padded(b, v, 1);
}

int buf_read_fd(struct buf *b, int fd)
{
	for (off_t at = 0;;) {
		char *room = buf_reserve(b, BUF_READ_STEP);
		if (!room)
			return b->error;
		ssize_t n = pread(fd, room, BUF_READ_STEP, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		b->len += (size_t)n;
		at += n;
	}
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;

	if (b->error)
		return;
	va_copy(again, ap);
	size_t space = b->cap - b->len;
	int n = vsnprintf(space ? b->ptr + b->len : NULL, space, fmt, ap);
	/* Only an impossible wide character or a length beyond INT_MAX: neither fits any ceiling.
	 */
	if (n < 0)
		b->error = -EMSGSIZE;
	else if (buf_room(b, (size_t)n, 1)) {
		if ((size_t)n >= space)
			n = vsnprintf(b->ptr + b->len, b->cap - b->len, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void buf_consume(struct buf *b, size_t len)
{
	assert(len <= b->len);
	if (len && len < b->len)
		memmove(b->ptr, b->ptr + len, b->len - len);
	b->len -= len;
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->error = 0;
}

void buf_escaped(struct buf *b, struct span s, size_t max_in)
{
	static const char hex[] = "0123456789abcdef";
	struct span head = span_head(s, max_in);

	for (size_t i = 0; i < head.len; i++) {
		unsigned char c = (unsigned char)head.ptr[i];
		if (c >= ' ' && c <= '~' && c != '\\' && c != '"')
			buf_char(b, (char)c);
		else
			buf_append(b, (char[]){'\\', 'x', hex[c >> 4], hex[c & 15]}, 4);
	}
	if (head.len < s.len)
		buf_str(b, "...");
}
