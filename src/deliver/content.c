/* What leaves is lines (RFC 5321 2.3.8): a CR or LF that stands alone becomes CRLF, and an open
 * last line is ended. The receivers refuse such messages or have mended them already; what comes by
 * other ways must not leave either, because a bare CR or LF can end the data for one server and not
 * for the next. Only BINARYMIME (RFC 3030 3) goes octet for octet, by BDAT, where nothing but the
 * count ends it. */
#include "deliver/content.h"
#include <stdlib.h>

int content_init(struct content *c, const struct delivery *d, bool raw)
{
	*c = (struct content){.raw = raw, .chunk = malloc(BODY_CHUNK)};
	body_init(&c->body, d);
	return c->chunk ? 0 : -ENOMEM;
}

void content_done(struct content *c)
{
	free(c->chunk);
	c->chunk = NULL;
}

/* A CR at the end of a slice waits for the next octet. */
static void put_lines(struct content *c, struct span in, struct buf *out)
{
	size_t from = 0;

	for (size_t i = 0; i < in.len; i++) {
		char o = in.ptr[i];
		if (o == '\n' && !c->after_cr) {
			buf_put(out, span_head(span_from(in, from), i - from));
			buf_char(out, '\r');
			from = i;
		} else if (o != '\n' && c->after_cr) {
			buf_put(out, span_head(span_from(in, from), i - from));
			buf_char(out, '\n');
			from = i;
		}
		c->after_cr = o == '\r';
	}
	buf_put(out, span_from(in, from));
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

int content_read(struct content *c, struct buf *out)
{
	if (c->ended)
		return 0;
	ssize_t n = body_read_fiber(&c->body, c->chunk, BODY_CHUNK);
	if (n < 0)
		return (int)n;
	if (n == 0) {
		c->ended = true;
		put_end(c, out, c->open);
	} else if (c->raw) {
		buf_append(out, c->chunk, (size_t)n);
	} else {
		put_lines(c, span_make(c->chunk, (size_t)n), out);
		c->open = c->chunk[n - 1] != '\n';
	}
	if (out->error)
		return out->error;
	return c->ended ? 0 : 1;
}
