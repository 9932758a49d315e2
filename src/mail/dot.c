/* Dot transparency and the end of data, RFC 5321 4.5.2, 4.1.1.4, 2.3.8.
 *
 *   mail-data = *( line ) "." CRLF         ; the CRLF before the dot ends a line, or the command
 * DATA line      = [ "." ] *octet CRLF        ; a leading dot is doubled on the wire
 *
 * The one invariant: data ends at <CRLF>.<CRLF> and nowhere else, where a line begins only behind
 * a genuine CRLF (or at the start). Two servers that disagree about this let a sender smuggle one
 * message inside another; so LF.LF, LF.CRLF, CRLF.LF, CR.CR and the like are never an end, in
 * either mode. What they are instead:
 *
 *   strict   bare CR and bare LF are data (and reported: the message is refused for them)
 *   lenient  a bare LF becomes CRLF in the body and begins a line, so that a doubled dot behind it
 * is undone; a line that is one dot, with a bare LF before or behind it, is kept as text. A bare CR
 * stays a bare CR.
 *
 * The encoder is the inverse for what has proper line ends, and makes anything else proper: a lone
 * CR or LF becomes CRLF. So whatever was accepted leaves safely, whatever the mode was.
 *
 * Speed: one pass (lines.h) tells what a slice has. Where CR and LF only come together, only lines
 * that begin with a dot are stopped at, and runs that need no change are appended whole. Else both
 * next places (CR, LF) are remembered, so that each octet is scanned once for each. */
#include "mail/dot.h"

#include "mail/lines.h"

/* Where the next CR and LF are, at or behind `at`; len when there is none. */
struct breaks {
	struct span in;
	size_t cr, lf;
};

static size_t octet_find(struct span in, size_t from, char c)
{
	const char *p = from < in.len ? memchr(in.ptr + from, c, in.len - from) : NULL;
	return p ? (size_t)(p - in.ptr) : in.len;
}

static struct breaks breaks_init(struct span in)
{
	return (struct breaks){in, octet_find(in, 0, '\r'), octet_find(in, 0, '\n')};
}

/* The first CR or LF at or behind `at`. */
static inline size_t breaks_next(struct breaks *b, size_t at)
{
	if (b->cr < at)
		b->cr = octet_find(b->in, at, '\r');
	if (b->lf < at)
		b->lf = octet_find(b->in, at, '\n');
	return MIN(b->cr, b->lf);
}

/* Where the decoder is. In the states DOT and behind, the dot and CR named are held: seen, not yet
 * appended. */
enum decoder_state {
	AT_LINE,    /* behind CRLF, or at the start */
	IN_LINE,    /* anywhere else */
	BEHIND_CR,  /* the CR is already appended */
	DOT,	    /* CRLF "." */
	DOT_CR,	    /* CRLF "." CR */
	AT_LF_LINE, /* lenient: behind a bare LF */
	LF_DOT,	    /* lenient: LF "." */
	LF_DOT_CR,  /* lenient: LF "." CR */
};

void dot_decoder_init(struct dot_decoder *d, bool lenient)
{
	*d = (struct dot_decoder){.state = AT_LINE, .lenient = lenient};
}

static void line_grow(struct dot_decoder *d, size_t octets)
{
	size_t room = UINT32_MAX - d->line;
	d->line += (uint32_t)MIN(octets, room);
}

static void line_end(struct dot_decoder *d)
{
	d->longest_line = MAX(d->longest_line, d->line);
	d->line = 0;
}

/* One slice on its way: octets [run, at) are to be appended as they are. */
struct decoding {
	struct breaks breaks;
	struct buf *out;
	size_t run, at;
};

static void run_flush(struct decoding *g)
{
	if (g->at > g->run)
		buf_append(g->out, g->breaks.in.ptr + g->run, g->at - g->run);
	g->run = g->at;
}

/* The octet at `at` is held or replaced: it leaves the run. */
static void run_skip(struct decoding *g)
{
	run_flush(g);
	g->run = ++g->at;
}

static void decode_in_line(struct dot_decoder *d, struct decoding *g)
{
	size_t next = breaks_next(&g->breaks, g->at);
	line_grow(d, next - g->at);
	g->at = next;
	if (next == g->breaks.in.len)
		return;
	if (g->breaks.in.ptr[next] == '\r') {
		g->at++;
		d->state = BEHIND_CR;
		return;
	}
	d->bare_newline = true;
	if (d->lenient) {
		run_skip(g);
		buf_str(g->out, "\r\n");
		line_end(d);
		d->state = AT_LF_LINE;
	} else {
		g->at++;
		line_grow(d, 1);
	}
}

/* Behind a held dot (and CR): c decides what they were. Returns true at the end of data. */
static bool decode_held(struct dot_decoder *d, struct decoding *g, char c)
{
	bool with_cr = d->state == DOT_CR || d->state == LF_DOT_CR;
	bool behind_lf = d->state == LF_DOT || d->state == LF_DOT_CR;

	if (!with_cr && c == '\r') {
		run_skip(g);
		d->state = behind_lf ? LF_DOT_CR : DOT_CR;
		return false;
	}
	if (with_cr && c == '\n') {
		run_skip(g);
		d->state = AT_LINE;
		if (!behind_lf)
			return true;
		buf_str(g->out, ".\r\n");
		line_grow(d, 1);
		line_end(d);
		return false;
	}
	if (with_cr) {
		buf_char(g->out, '\r'); /* bare; the dot before it was a doubled one */
		d->bare_newline = true;
		line_grow(d, 1);
	} else if (c == '\n' && d->lenient) {
		buf_char(g->out, '.'); /* a line of one dot, with a bare LF: text */
		line_grow(d, 1);
	}
	d->state = IN_LINE;
	return false;
}

/* One step; at least a state changes or an octet is used. Returns true at the end of data. */
static bool decode_step(struct dot_decoder *d, struct decoding *g)
{
	char c = g->breaks.in.ptr[g->at];

	switch ((enum decoder_state)d->state) {
	case IN_LINE:
		decode_in_line(d, g);
		return false;
	case BEHIND_CR:
		if (c == '\n') {
			g->at++;
			line_end(d);
			d->state = AT_LINE;
		} else {
			d->bare_newline = true;
			line_grow(d, 1);
			d->state = IN_LINE;
		}
		return false;
	case AT_LINE:
	case AT_LF_LINE:
		if (c == '.') {
			run_skip(g);
			d->state = d->state == AT_LINE ? DOT : LF_DOT;
		} else {
			d->state = IN_LINE;
		}
		return false;
	case DOT:
	case DOT_CR:
	case LF_DOT:
	case LF_DOT_CR:
		return decode_held(d, g, c);
	}
	assert(false && "decoder state");
	return false;
}

/* Behind octets of whole lines. */
static uint8_t state_behind(struct span in)
{
	return in.ptr[in.len - 1] == '\n' ? AT_LINE : IN_LINE;
}

/* Whole lines up to one that begins with a dot; the slice has no bare CR or LF. */
static void decode_whole(struct dot_decoder *d, struct decoding *g, bool dotted)
{
	struct span in = g->breaks.in;

	if (d->state == AT_LINE && in.ptr[g->at] == '.')
		return;
	size_t to = dotted ? lines_until_dot(in, g->at) : in.len;
	struct span lines = span_from(span_head(in, to), g->at);
	uint32_t longest = lines_measure(lines, d->line_enough, &d->line);
	d->longest_line = MAX(d->longest_line, longest);
	d->state = state_behind(lines);
	g->at = to;
}

size_t dot_decode(struct dot_decoder *d, struct span in, struct buf *out, bool *ret_end)
{
	struct lines_seen seen = lines_look(in);
	struct decoding g = {.breaks = {.in = in}, .out = out};
	bool end = false;

	if (!seen.whole)
		g.breaks = breaks_init(in);
	while (g.at < in.len && !end) {
		if (seen.whole && (d->state == AT_LINE || d->state == IN_LINE))
			decode_whole(d, &g, seen.dotted);
		if (g.at < in.len)
			end = decode_step(d, &g);
	}
	run_flush(&g);
	d->longest_line = MAX(d->longest_line, d->line);
	/* Only what belongs to this message: behind the end, pipelined commands may follow. */
	if (seen.high && !d->has_8bit)
		d->has_8bit = g.at == in.len || lines_look(span_head(in, g.at)).high;
	*ret_end = end;
	return g.at;
}

void dot_encoder_init(struct dot_encoder *e)
{
	e->state = AT_LINE;
}

/* The same for the encoder: all of the slice, dots doubled. */
static void encode_whole(struct dot_encoder *e, struct decoding *g)
{
	struct span in = g->breaks.in;

	while (g->at < in.len) {
		if (e->state == AT_LINE && in.ptr[g->at] == '.') {
			run_flush(g);
			buf_char(g->out, '.');
		}
		g->at = lines_until_dot(in, g->at);
		e->state = state_behind(span_head(in, g->at));
	}
}

bool dot_encode_as_is(struct dot_encoder *e, struct span in)
{
	struct lines_seen seen = lines_look(in);

	if (in.len == 0)
		return true;
	if (!seen.whole || seen.dotted || e->state == BEHIND_CR ||
		(e->state == AT_LINE && in.ptr[0] == '.'))
		return false;
	e->state = state_behind(in);
	return true;
}

/* In BEHIND_CR the CR has been emitted; if no LF follows, one is added before anything else. */
void dot_encode(struct dot_encoder *e, struct span in, struct buf *out)
{
	struct decoding g = {.breaks = {.in = in}, .out = out};

	if (e->state != BEHIND_CR && lines_look(in).whole) {
		encode_whole(e, &g);
		run_flush(&g);
		return;
	}
	g.breaks = breaks_init(in);
	while (g.at < in.len) {
		char c = in.ptr[g.at];
		if (e->state == BEHIND_CR) {
			if (c == '\n') {
				g.at++;
			} else {
				run_flush(&g);
				buf_char(out, '\n');
			}
			e->state = AT_LINE;
			continue;
		}
		if (e->state == AT_LINE && c == '.') {
			run_flush(&g);
			buf_char(out, '.');
		}
		e->state = IN_LINE;
		g.at = breaks_next(&g.breaks, g.at);
		if (g.at == in.len)
			break;
		if (in.ptr[g.at] == '\r') {
			g.at++;
			e->state = BEHIND_CR;
		} else {
			run_skip(&g);
			buf_str(out, "\r\n");
			e->state = AT_LINE;
		}
	}
	run_flush(&g);
}

void dot_encode_end(struct dot_encoder *e, struct buf *out)
{
	if (e->state == IN_LINE)
		buf_char(out, '\r');
	if (e->state != AT_LINE)
		buf_char(out, '\n');
	buf_str(out, ".\r\n");
	e->state = AT_LINE;
}
