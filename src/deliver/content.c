/* A message that the peer cannot take as it is (8-bit without 8BITMIME, binary without BINARYMIME)
 * is read twice and converted the second time (mail/mime.h).
 *
 * What leaves is lines (RFC 5321 2.3.8): a CR or LF that stands alone becomes CRLF, and an open
 * last line is ended. The receivers refuse such messages or have mended them already; what comes by
 * other ways must not leave either, because a bare CR or LF can end the data for one server and not
 * for the next. Only BINARYMIME (RFC 3030 3) goes octet for octet, by BDAT, where nothing but the
 * count ends it. */
#include "deliver/content.h"
#include <stdlib.h>

#include "fiber/fiber.h"
#include "mail/lines.h"

#define YIELD_CHUNKS 8u
#define READ_MIN     4096u /* less room than this is not worth a read of its own */
#define LINE_END     2u	   /* a last line that is open is ended in the same room */

void content_init(struct content *c, const struct delivery *d, struct mime *mime, bool raw)
{
	*c = (struct content){
		.raw = raw, .mime = mime, .converted = BUF_INIT(8 * BODY_CHUNK + MIME_FIELD_MAX)};
	body_init(&c->body, d);
}

void content_done(struct content *c)
{
	free(c->chunk);
	c->chunk = NULL;
	buf_done(&c->converted);
}

static size_t find(struct span in, size_t from, size_t to, char o)
{
	return from + span_index(span_head(span_from(in, from), to - from), o);
}

/* Most messages have nothing but whole lines. Others are searched for line ends. A CR at the end of
 * a slice waits for the next octet. in is not empty. */
static void put_lines(struct content *c, struct span in, struct buf *out)
{
	if (!c->after_cr && lines_look(in).whole) {
		buf_put(out, in);
		return;
	}
	size_t from = 0, i = 0, cr = find(in, 0, in.len, '\r');

	if (c->after_cr && in.ptr[0] == '\n')
		i = 1;
	else if (c->after_cr)
		buf_char(out, '\n');
	while (i < in.len) {
		if (cr < i)
			cr = find(in, i, in.len, '\r');
		size_t lf = find(in, i, cr, '\n');
		if (lf < cr) { /* no CR before it */
			buf_put(out, span_head(span_from(in, from), lf - from));
			buf_char(out, '\r');
			from = lf;
			i = lf + 1;
		} else if (cr + 1 >= in.len) {
			break;
		} else if (in.ptr[cr + 1] == '\n') {
			i = cr + 2;
		} else {
			buf_put(out, span_head(span_from(in, from), cr + 1 - from));
			buf_char(out, '\n');
			from = i = cr + 1;
		}
	}
	buf_put(out, span_from(in, from));
	c->after_cr = in.ptr[in.len - 1] == '\r';
}

static void put_end(struct content *c, struct buf *out, bool open)
{
	if (c->raw)
		return;
	if (c->after_cr)
		buf_char(out, '\n');
	else if (open)
		buf_str(out, "\r\n");
}

/* Aside, because what leaves is longer. */
static int take_aside(struct content *c, struct span in, struct span *ret)
{
	if (!c->chunk)
		c->chunk = malloc(BODY_CHUNK);
	if (!c->chunk)
		return -ENOMEM;
	assert(in.len <= BODY_CHUNK);
	memcpy(c->chunk, in.ptr, in.len);
	*ret = span_make(c->chunk, in.len);
	return 0;
}

static void put(struct content *c, struct span in, struct buf *out)
{
	if (c->raw) {
		buf_put(out, in);
	} else if (in.len > 0) {
		put_lines(c, in, out);
		c->open = in.ptr[in.len - 1] != '\n';
	}
}

/* n octets were read to the end of out, where nearly all of them may stay as they are. */
static int put_in_place(struct content *c, size_t n, struct buf *out)
{
	struct span in = span_make(out->ptr + out->len, n);
	if (c->raw || n == 0 || (!c->after_cr && lines_look(in).whole)) {
		out->len += n;
		c->open = n > 0 ? in.ptr[n - 1] != '\n' : c->open;
		return 0;
	}
	int r = take_aside(c, in, &in);
	if (r >= 0)
		put(c, in, out);
	return r;
}

static void convert(struct content *c, struct span in, struct buf *out)
{
	buf_reset(&c->converted);
	if (in.len > 0)
		mime_convert(c->mime, in, &c->converted);
	else
		mime_convert_end(c->mime, &c->converted);
	put(c, buf_span(&c->converted), out);
	if (c->converted.error && !out->error)
		out->error = c->converted.error;
}

/* How much is read next: into the room that out has, or into as much as is left. */
static size_t step(const struct content *c, const struct buf *out)
{
	size_t room = out->cap - out->len;
	return room >= READ_MIN + LINE_END ? MIN(room - LINE_END, (size_t)BODY_CHUNK)
					   : body_left(&c->body, BODY_CHUNK);
}

SUSPENDS static ssize_t read_converted(struct content *c, struct buf *out)
{
	if (!c->chunk)
		c->chunk = malloc(BODY_CHUNK);
	ssize_t n = c->chunk ? body_read_fiber(&c->body, c->chunk, BODY_CHUNK) : -ENOMEM;
	if (n >= 0)
		convert(c, span_make(c->chunk, (size_t)n), out);
	return n;
}

SUSPENDS static ssize_t read_in_place(struct content *c, struct buf *out)
{
	size_t len = step(c, out);
	char *room = buf_reserve(out, len + LINE_END);
	ssize_t n = room ? body_read_fiber(&c->body, room, len) : out->error;
	int r = n >= 0 ? put_in_place(c, (size_t)n, out) : 0;
	return r < 0 ? r : n;
}

int content_read(struct content *c, struct buf *out)
{
	if (c->ended)
		return 0;
	ssize_t n = c->mime ? read_converted(c, out) : read_in_place(c, out);
	if (n < 0)
		return (int)n;
	if (n == 0 || body_left(&c->body, 1) == 0) {
		if (n > 0 && c->mime)
			convert(c, SPAN_NULL, out);
		c->ended = true;
		put_end(c, out, c->open);
	}
	if (out->error)
		return out->error;
	return c->ended ? 0 : 1;
}

int content_scan(
	const struct delivery *d, enum mime_target target, bool binary, struct mime **ret_mime)
{
	CLEANUP(freep) char *chunk = malloc(BODY_CHUNK);
	struct body body;
	struct mime *m;
	unsigned chunks = 0;
	int r = chunk ? mime_new(target, binary, &m) : -ENOMEM;
	if (r < 0)
		return r;
	body_init(&body, d);
	ssize_t n;
	while (r >= 0 && (n = body_read_fiber(&body, chunk, BODY_CHUNK)) != 0) {
		r = n < 0 ? (int)n : 0;
		if (n > 0)
			mime_scan(m, span_make(chunk, (size_t)n));
		if (r >= 0 && ++chunks % YIELD_CHUNKS == 0)
			r = fiber_yield();
	}
	if (r >= 0)
		r = mime_scan_end(m);
	if (r == 1)
		*ret_mime = m;
	else
		mime_free(m);
	return r;
}
