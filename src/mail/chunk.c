/* Chunks, RFC 3030 2:
 *
 *   bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ] CR LF
 *   chunk-size = 1*DIGIT            end-marker = "LAST"
 *
 * The octets behind the command are the message itself. Section 3 allows any octets in a message
 * declared as BODY=BINARYMIME; in every other one lines end in CRLF (RFC 5321 2.3.8), so a bare CR
 * or LF is reported as the dot decoder reports it: otherwise a message refused by DATA would come
 * in by BDAT, and the next hop would read ends of lines, and of data, where we saw none.
 *
 * Speed: one pass tells whether a chunk has whole lines only (lines.h): then it is appended whole.
 * Others are looked at by memchr. */
#include "mail/chunk.h"
#include "mail/lines.h"

void chunk_decoder_init(struct chunk_decoder *d, bool lenient, bool binary)
{
	*d = (struct chunk_decoder){.lenient = lenient, .binary = binary};
}

static void line_grow(struct chunk_decoder *d, size_t octets)
{
	size_t room = UINT32_MAX - d->line;
	d->line += (uint32_t)MIN(octets, room);
	d->longest_line = MAX(d->longest_line, d->line);
}

/* Octets without CR and LF, which follow on a CR perhaps: that one was bare then. */
static void text_run(struct chunk_decoder *d, struct span run)
{
	if (run.len == 0)
		return;
	if (d->behind_cr) {
		d->bare_newline = true;
		line_grow(d, 1);
	}
	d->behind_cr = false;
	line_grow(d, run.len);
}

/* One CR or LF. Returns whether it must leave as CRLF. */
static bool line_break(struct chunk_decoder *d, char c)
{
	bool behind_cr = d->behind_cr;

	d->behind_cr = c == '\r';
	if (c == '\r') {
		d->bare_newline |= behind_cr;
		return false;
	}
	d->line = 0;
	if (behind_cr)
		return false;
	d->bare_newline = true;
	return d->lenient;
}

static void decode_text(struct chunk_decoder *d, struct span in, struct buf *out)
{
	size_t run = 0, at = 0;

	while (at < in.len) {
		struct span rest = span_from(in, at);
		size_t lf = span_index(rest, '\n');
		size_t next = span_index(span_head(rest, lf), '\r');
		text_run(d, span_head(rest, next));
		at += next;
		if (at == in.len)
			break;
		if (line_break(d, in.ptr[at])) {
			buf_put(out, span_from(span_head(in, at), run));
			buf_str(out, "\r\n");
			run = at + 1;
		}
		at++;
	}
	buf_put(out, span_from(in, run));
}

/* All its lines are whole, and so they stay. */
static void decode_whole(struct chunk_decoder *d, struct span in, struct buf *out)
{
	uint32_t longest = lines_measure(in, d->line_enough, &d->line);

	d->longest_line = MAX(d->longest_line, longest);
	buf_put(out, in);
}

void chunk_decode(struct chunk_decoder *d, struct span in, struct buf *out)
{
	struct lines_seen seen = lines_look(in);

	if (d->binary)
		buf_put(out, in);
	else if (seen.whole && !d->behind_cr)
		decode_whole(d, in, out);
	else
		decode_text(d, in, out);
	d->has_8bit |= seen.high;
}

void chunk_decode_end(struct chunk_decoder *d)
{
	d->bare_newline |= d->behind_cr;
	d->behind_cr = false;
}
