/* The one form of a line, so that what was live and what was kept can be laid side by side. Its
 * begin has a fixed width: "HH:MM:SS.mmm K ". */
#include "ipc/trace.h"

#include "base/clock.h"

#define DAY_USEC (24 * 3600 * USEC_PER_SEC)

static void put_number(struct buf *out, unsigned n, unsigned digits)
{
	char text[4];
	for (unsigned i = digits; i-- > 0; n /= 10)
		text[i] = (char)('0' + n % 10);
	buf_append(out, text, digits);
}

void trace_line(uint64_t wall_usec, char kind, struct span text, struct buf *out)
{
	unsigned msec = (unsigned)(wall_usec % DAY_USEC / USEC_PER_MSEC);
	put_number(out, msec / 3600000, 2);
	buf_char(out, ':');
	put_number(out, msec / 60000 % 60, 2);
	buf_char(out, ':');
	put_number(out, msec / 1000 % 60, 2);
	buf_char(out, '.');
	put_number(out, msec % 1000, 3);
	buf_char(out, ' ');
	buf_char(out, kind);
	buf_char(out, ' ');
	size_t at = out->len;
	buf_put(out, span_head(text, TRACE_TEXT_MAX));
	for (; !out->error && at < out->len; at++)
		if (out->ptr[at] == '\n' || out->ptr[at] == '\r')
			out->ptr[at] = ' ';
	buf_str(out, text.len > TRACE_TEXT_MAX ? "...\n" : "\n");
}
