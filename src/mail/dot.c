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
 * Speed: octets are looked at by memchr only, and runs that need no change are appended whole. Both
 * next places (CR, LF) are remembered, so that each octet is scanned once for each. Where one pass
 * told that CR and LF only come together, lines are passed over by their LF alone. */
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

static bool has_high_octet(struct span in)
{
	size_t i = 0;
	uint64_t all = 0;
	for (; in.len - i >= 4 * sizeof(uint64_t); i += 4 * sizeof(uint64_t)) {
		uint64_t w[4];
		memcpy(w, in.ptr + i, sizeof(w));
		all |= w[0] | w[1] | w[2] | w[3];
	}
	for (; i < in.len; i++)
		all |= (uint8_t)in.ptr[i];
	return (all & UINT64_C(0x8080808080808080)) != 0;
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

/* Whole lines up to one that begins with a dot; the slice has no bare CR or LF. */
static void decode_whole(struct dot_decoder *d, struct decoding *g)
{
	struct span in = g->breaks.in;

	while (g->at < in.len && !(d->state == AT_LINE && in.ptr[g->at] == '.')) {
		size_t lf = octet_find(in, g->at, '\n');
		if (lf == in.len) {
			line_grow(d, lf - g->at);
			d->state = IN_LINE;
			g->at = lf;
			return;
		}
		line_grow(d, lf - 1 - g->at);
		line_end(d);
		d->state = AT_LINE;
		g->at = lf + 1;
	}
}

size_t dot_decode(struct dot_decoder *d, struct span in, struct buf *out, bool *ret_end)
{
	struct decoding g = {.breaks = breaks_init(in), .out = out};
	bool end = false, whole = lines_are_whole(in);

	while (g.at < in.len && !end) {
		if (whole && (d->state == AT_LINE || d->state == IN_LINE))
			decode_whole(d, &g);
		if (g.at < in.len)
			end = decode_step(d, &g);
	}
	run_flush(&g);
	d->longest_line = MAX(d->longest_line, d->line);
	/* Only what belongs to this message: behind the end, pipelined commands may follow. */
	struct span used = span_head(in, g.at);
	if (!d->has_nul)
		d->has_nul = octet_find(used, 0, '\0') < used.len;
	if (!d->has_8bit)
		d->has_8bit = has_high_octet(used);
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
		size_t lf = octet_find(in, g->at, '\n');
		e->state = lf == in.len ? IN_LINE : AT_LINE;
		g->at = MIN(lf + 1, in.len);
	}
}

/* In BEHIND_CR the CR has been emitted; if no LF follows, one is added before anything else. */
void dot_encode(struct dot_encoder *e, struct span in, struct buf *out)
{
	struct decoding g = {.breaks = {.in = in}, .out = out};

	if (e->state != BEHIND_CR && lines_are_whole(in)) {
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

/* State behind `in` if it passes unchanged, else -1. */
static int transparent_state(const struct dot_encoder *e, struct span in)
{
	struct breaks b = breaks_init(in);
	uint8_t state = e->state;
	size_t at = 0;

	while (at < in.len) {
		char c = in.ptr[at];
		if (state == BEHIND_CR) {
			if (c != '\n')
				return -1;
			at++;
			state = AT_LINE;
			continue;
		}
		if (state == AT_LINE && c == '.')
			return -1;
		state = IN_LINE;
		at = breaks_next(&b, at);
		if (at == in.len)
			break;
		if (in.ptr[at] == '\n')
			return -1;
		at++;
		state = BEHIND_CR;
	}
	return state;
}

bool dot_is_transparent(const struct dot_encoder *e, struct span in)
{
	return transparent_state(e, in) >= 0;
}

void dot_encoder_passed(struct dot_encoder *e, struct span in)
{
	int state = transparent_state(e, in);
	assert(state >= 0);
	e->state = (uint8_t)state;
}
