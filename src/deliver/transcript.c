/* Entries stand one behind the other: a head of eight octets, then the line. When the room is used
 * up, the oldest entries behind the opening make way, a quarter of the room at a time, so that
 * moving the rest is rare: of a thousand recipients, the last replies are there, and how many lines
 * are not.
 *
 * An ordinary delivery pays for this with one bounded copy a line and no allocation; all else
 * happens when something has failed. Masking secrets is the business of who notes them
 * (auth.c, and smtp_client.c for replies); message text is never noted. */
#include "deliver/transcript.h"

#include "deliver/jobs.h"
#include "fiber/fiber.h"

/* One more than is shown, so that what was longer shows as cut. */
#define TRANSCRIPT_LINE_KEPT ((size_t)TRACE_TEXT_MAX + 1)

struct entry {
	uint32_t msec; /* since the session began */
	uint16_t len;
	uint16_t kind;
};

void transcript_init(struct transcript *t)
{
	t->begun_usec = loop_now_usec();
	t->begun_wall_usec = loop_wall_usec();
	t->used = t->opening = t->lost = 0;
	t->live = NULL;
}

static struct entry entry_at(const struct transcript *t, uint32_t at)
{
	struct entry e;
	memcpy(&e, t->octets + at, sizeof(e));
	return e;
}

static uint32_t entry_next(const struct transcript *t, uint32_t at)
{
	return at + (uint32_t)sizeof(struct entry) + entry_at(t, at).len;
}

static void make_room(struct transcript *t)
{
	uint32_t from = t->opening;
	while (from < t->used && from - t->opening < TRANSCRIPT_OCTETS / 4) {
		from = entry_next(t, from);
		t->lost++;
	}
	memmove(t->octets + t->opening, t->octets + from, t->used - from);
	t->used -= from - t->opening;
}

void transcript_note(struct transcript *t, enum transcript_kind kind, struct span line)
{
	while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
		line.len--;
	struct entry e = {
		.msec = (uint32_t)((loop_now_usec() - t->begun_usec) / USEC_PER_MSEC),
		.len = (uint16_t)MIN(line.len, TRANSCRIPT_LINE_KEPT),
		.kind = (uint16_t)kind,
	};
	if (t->used + sizeof(e) + e.len > sizeof(t->octets))
		make_room(t);
	memcpy(t->octets + t->used, &e, sizeof(e));
	if (e.len > 0)
		memcpy(t->octets + t->used + sizeof(e), line.ptr, e.len);
	t->used += (uint32_t)sizeof(e) + e.len;
	if (t->live)
		jobs_tell(t->live, (char)kind, line);
}

void transcript_notef(struct transcript *t, enum transcript_kind kind, const char *fmt, ...)
{
	struct buf b = BUF_INIT(4 * TRACE_TEXT_MAX);
	va_list ap;
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	transcript_note(t, kind, buf_span(&b));
	buf_done(&b);
}

void transcript_opened(struct transcript *t)
{
	t->opening = 0;
	while (t->opening < t->used && entry_next(t, t->opening) <= TRANSCRIPT_OPENING_MAX)
		t->opening = entry_next(t, t->opening);
}

void transcript_restart(struct transcript *t)
{
	t->used = t->opening;
	t->lost = 0;
}

void transcript_write(const struct transcript *t, struct buf *out)
{
	for (uint32_t at = 0; at < t->used; at = entry_next(t, at)) {
		struct entry e = entry_at(t, at);
		if (at == t->opening && t->lost > 0)
			buf_printf(out, "             * (%u lines left out)\n", t->lost);
		trace_line(t->begun_wall_usec + (uint64_t)e.msec * USEC_PER_MSEC, (char)e.kind,
			span_make(t->octets + at + sizeof(e), e.len), out);
	}
}
