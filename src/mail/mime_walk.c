/* Lines end in CRLF and in nothing else: in a binary part a CR or LF is an octet (RFC 2045 2.9).
 * Within a body only the beginning of a line is kept back, as long as it may be a boundary, and the
 * CRLF before it, which belongs to the boundary if there is one (RFC 2046 5.1.1). Fields are kept
 * whole. A boundary of an outer multipart ends all that is inside it. What is composite and too
 * deep, and a field beyond its ceiling, is an error: nobody means them. */
#include "mail/mime_walk.h"
#include "mail/octet.h"
#include <stdlib.h>

/* "--", a boundary, "--" and some white space. */
#define BOUNDARY_LINE_MAX 160u
#define LEVEL_LEN	  70u /* where a level keeps its boundary's length, behind its octets */
#define LEVEL_DIGEST	  71u

void walk_init(struct mime_walk *w, const struct mime_events *events, void *arg)
{
	*w = (struct mime_walk){.events = events, .arg = arg, .line = BUF_INIT(MIME_FIELD_MAX)};
	w->boundaries = calloc(MIME_DEPTH_MAX, sizeof(*w->boundaries));
	w->error = w->boundaries ? 0 : -ENOMEM;
	w->entities = 1;
}

void walk_done(struct mime_walk *w)
{
	free(w->boundaries);
	buf_done(&w->line);
}

static void put_body(struct mime_walk *w, struct span s)
{
	if (s.len == 0)
		return;
	if (w->state == WALK_BODY)
		w->events->body(w->arg, &w->entity, s);
	else
		w->events->between(w->arg, s, false);
}

static void put_pending(struct mime_walk *w)
{
	if (w->pending_crlf)
		put_body(w, SPAN_LIT("\r\n"));
	w->pending_crlf = false;
}

/* ---- boundaries ---- */

/* The level that a line (without its end) delimits, or -1. RFC 2046 5.1.1: white space may follow.
 */
static int boundary_level(const struct mime_walk *w, struct span line, bool *ret_close)
{
	if (line.len < 3 || line.ptr[0] != '-' || line.ptr[1] != '-')
		return -1;
	while (line.len > 2 && is_wsp(octet_at(line, line.len - 1)))
		line.len--;
	struct span rest = span_from(line, 2);
	for (unsigned i = w->depth; i-- > 0;) {
		struct span b = span_make(w->boundaries[i], (uint8_t)w->boundaries[i][LEVEL_LEN]);
		while (b.len > 0 && b.ptr[b.len - 1] == ' ')
			b.len--;
		bool close = rest.len == b.len + 2 && rest.ptr[b.len] == '-' &&
			     rest.ptr[b.len + 1] == '-';
		if (!span_equal(span_head(rest, b.len), b) || !(close || rest.len == b.len))
			continue;
		*ret_close = close;
		return (int)i;
	}
	return -1;
}

static void entity_begin(struct mime_walk *w, bool part)
{
	/* RFC 2046 5.1.5: in a digest a part without a type is a message. */
	bool digest = part && w->depth > 0 && w->boundaries[w->depth - 1][LEVEL_DIGEST];

	if (w->entities >= MIME_ENTITIES_MAX) {
		w->error = -E2BIG;
		return;
	}
	w->entity = (struct mime_entity){.number = w->entities++, .in_digest = digest};
	w->state = WALK_HEADER;
}

/* line includes its end, unless it is the message's last. */
static void at_boundary(struct mime_walk *w, unsigned level, bool close, struct span line)
{
	if (w->state == WALK_BODY)
		w->events->body_end(w->arg, &w->entity);
	if (w->pending_crlf)
		w->events->between(w->arg, SPAN_LIT("\r\n"), true);
	w->pending_crlf = false;
	w->events->between(w->arg, line, true);
	w->depth = close ? level : level + 1;
	if (close)
		w->state = WALK_BETWEEN;
	else
		entity_begin(w, true);
}

/* ---- headers ---- */

static void flush_field(struct mime_walk *w)
{
	struct span whole = buf_span(&w->line);
	size_t colon = span_index(whole, ':');
	struct span name = SPAN_NULL;

	if (whole.len == 0)
		return;
	if (colon < whole.len) {
		name = span_trim(span_head(whole, colon));
		mime_field_read(&w->entity, name, span_from(whole, colon + 1));
	}
	w->events->field(w->arg, &w->entity, name, whole);
	buf_reset(&w->line);
	w->line_from = 0;
}

static void push_level(struct mime_walk *w)
{
	if (w->depth >= MIME_DEPTH_MAX) {
		w->error = -E2BIG;
		return;
	}
	char *level = w->boundaries[w->depth++];
	memcpy(level, w->entity.boundary, sizeof(w->entity.boundary));
	level[LEVEL_LEN] = (char)w->entity.boundary_len;
	level[LEVEL_DIGEST] = w->entity.digest;
}

static void header_end(struct mime_walk *w, struct span blank)
{
	mime_entity_decide(&w->entity);
	w->events->header_end(w->arg, &w->entity, blank);
	if (w->entity.kind != MIME_COMPOSITE) {
		w->state = WALK_BODY;
	} else if (w->entity.multipart) {
		push_level(w);
		w->state = WALK_BETWEEN;
	} else {
		entity_begin(w, false); /* a message within: its header follows */
	}
}

/* It ends without an empty line; so does that of a message within, which has none at all. */
static void header_close(struct mime_walk *w)
{
	header_end(w, SPAN_NULL);
	if (w->state == WALK_HEADER)
		header_end(w, SPAN_NULL);
}

static bool is_field_line(struct span line, bool first)
{
	size_t colon = span_index(line, ':');

	/* An mbox file's line, which some leave in front of a message. */
	if (first && span_starts_nocase(line, SPAN_LIT("From ")))
		return true;
	if (colon == 0 || colon == line.len)
		return false;
	for (size_t i = 0; i < colon; i++) {
		uint8_t c = octet_at(line, i);
		/* NUL and 8-bit octets are no better than the question marks they would become:
		 * whether a line is a field must not depend on that. */
		if (c > 0 && c <= 32 && !(is_wsp(c) && i + 1 == colon))
			return false;
	}
	return true;
}

static void body_line(struct mime_walk *w, struct span line);

/* The last line in w->line is whole; line includes its end. */
static void header_line(struct mime_walk *w)
{
	struct span all = buf_span(&w->line), line = span_from(all, w->line_from);
	struct span text = line.len >= 2 ? span_head(line, line.len - 2) : line;
	bool close, first = w->entity.number == 0 && w->line_from == 0;
	int level = boundary_level(w, text, &close);

	if (text.len > 0 && is_wsp(octet_at(text, 0)) && w->line_from > 0) {
		w->line_from = w->line.len; /* folded */
		return;
	}
	bool field = text.len > 0 && level < 0 && is_field_line(text, first);
	/* What came before this line is a field of its own. */
	struct buf rest = BUF_INIT(MIME_FIELD_MAX);
	buf_put(&rest, line);
	w->line.len = w->line_from;
	flush_field(w);
	if (rest.error)
		w->error = rest.error;
	if (field) {
		buf_put(&w->line, buf_span(&rest));
		w->line_from = w->line.len;
	} else if (level >= 0) {
		header_close(w);
		at_boundary(w, (unsigned)level, close, buf_span(&rest));
	} else if (text.len == 0) {
		header_end(w, buf_span(&rest));
	} else {
		header_close(w); /* no header, or no longer one */
		body_line(w, buf_span(&rest));
	}
	buf_done(&rest);
}

/* ---- bodies ---- */

/* A whole line with its CRLF, of which the beginning was not given away. */
static void body_line(struct mime_walk *w, struct span line)
{
	struct span text = span_head(line, line.len - 2);
	bool close;
	int level = boundary_level(w, text, &close);

	if (level >= 0) {
		at_boundary(w, (unsigned)level, close, line);
		return;
	}
	put_pending(w);
	put_body(w, text);
	w->pending_crlf = true;
}

static bool may_be_boundary(const struct mime_walk *w)
{
	const struct buf *b = &w->line;

	return w->depth > 0 && b->len < BOUNDARY_LINE_MAX && (b->len < 1 || b->ptr[0] == '-') &&
	       (b->len < 2 || b->ptr[1] == '-');
}

/* What is known not to begin a boundary goes by at once; a CR waits for its LF. */
static void give_away(struct mime_walk *w)
{
	struct span s = buf_span(&w->line);
	bool cr = s.len > 0 && s.ptr[s.len - 1] == '\r';

	put_pending(w);
	put_body(w, span_head(s, s.len - cr));
	w->line.len = 0;
	if (cr)
		buf_char(&w->line, '\r');
	w->in_line = true;
}

static void line_end(struct mime_walk *w)
{
	if (w->state == WALK_HEADER) {
		header_line(w);
		return;
	}
	struct span line = buf_span(&w->line);
	if (w->in_line) {
		put_body(w, span_head(line, line.len - 2));
		w->pending_crlf = true;
	} else {
		body_line(w, line);
	}
	w->in_line = false;
	w->line.len = 0;
}

void walk_feed(struct mime_walk *w, struct span in)
{
	while (in.len > 0 && !w->error) {
		size_t n = span_index(in, '\n');
		bool lf = n < in.len;
		struct span part = span_head(in, n + lf);
		in = span_from(in, n + lf);
		bool header = w->state == WALK_HEADER;
		/* Long lines of bodies come by in slices. */
		while (!header && part.len > BOUNDARY_LINE_MAX) {
			buf_put(&w->line, span_head(part, BOUNDARY_LINE_MAX));
			part = span_from(part, BOUNDARY_LINE_MAX);
			give_away(w);
		}
		buf_put(&w->line, part);
		if (w->line.error) {
			w->error = w->line.error == -EMSGSIZE ? -E2BIG : w->line.error;
			return;
		}
		size_t len = w->line.len;
		bool crlf = lf && len >= 2 && w->line.ptr[len - 2] == '\r';
		if (crlf && !(header && len - w->line_from < 2))
			line_end(w);
		else if (!header && !may_be_boundary(w))
			give_away(w);
	}
}

/* The message ends within a header: its last line has no end. */
static void header_last_line(struct mime_walk *w)
{
	struct span line = span_from(buf_span(&w->line), w->line_from);
	bool first = w->entity.number == 0 && w->line_from == 0;
	bool folded = line.len > 0 && is_wsp(octet_at(line, 0)) && w->line_from > 0;
	struct buf rest = BUF_INIT(MIME_FIELD_MAX);

	if (!folded) {
		buf_put(&rest, line);
		w->line.len = w->line_from;
	}
	flush_field(w);
	if (is_field_line(buf_span(&rest), first)) {
		buf_put(&w->line, buf_span(&rest));
		flush_field(w);
		buf_reset(&rest);
	}
	header_close(w);
	put_body(w, buf_span(&rest));
	buf_done(&rest);
}

void walk_end(struct mime_walk *w)
{
	struct span rest = span_from(buf_span(&w->line), w->line_from);
	bool close;
	int level = w->in_line ? -1 : boundary_level(w, rest, &close);

	if (w->error)
		return;
	if (w->state == WALK_HEADER) {
		header_last_line(w);
	} else if (level >= 0) {
		w->line.len = 0;
		/* The last line of all, without an end. */
		if (w->state == WALK_BODY)
			w->events->body_end(w->arg, &w->entity);
		w->state = WALK_BETWEEN;
		if (w->pending_crlf)
			w->events->between(w->arg, SPAN_LIT("\r\n"), true);
		w->pending_crlf = false;
		w->events->between(w->arg, rest, true);
	} else {
		put_pending(w);
		put_body(w, buf_span(&w->line));
	}
	put_pending(w);
	if (w->state == WALK_BODY)
		w->events->body_end(w->arg, &w->entity);
}
