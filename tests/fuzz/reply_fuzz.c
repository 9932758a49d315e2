/* Replies: any lines are bounded; what a reply keeps can be sent again and is read as the same
 * code. */
#include "fuzz.h"
#include "mail/reply.h"

static void check_sendable(const struct reply *r)
{
	struct buf out = BUF_INIT(FUZZ_BUF);
	struct reply again;
	int got = 0;

	reply_format(&out, r->code, r->enhanced.class ? "5.0.0" : "", buf_span(&r->text));
	assert(out.error == 0);
	reply_init(&again);
	struct span rest = buf_span(&out);
	while (rest.len > 0) {
		size_t lf = span_index(rest, '\n');
		assert(got == 0 && lf > 0 && lf < 512 && rest.ptr[lf - 1] == '\r');
		struct span line = span_head(rest, lf - 1);
		assert(span_index(line, '\r') == line.len);
		got = reply_feed_line(&again, line);
		rest = span_from(rest, lf + 1);
	}
	assert(got == 1 && again.code == r->code);
	reply_done(&again);
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = span_make(data, size);
	struct reply r;
	int got = 0;

	reply_init(&r);
	while (rest.len > 0 && got == 0) {
		size_t lf = span_index(rest, '\n');
		got = reply_feed_line(&r, span_head(rest, lf));
		rest = span_from(rest, lf + 1);
		assert(r.text.len <= REPLY_TEXT_KEEP && r.text.error == 0);
		assert(r.lines <= REPLY_LINES_MAX && (r.code != 0) == (got == 1));
	}
	if (got == 1)
		check_sendable(&r);
	reply_done(&r);
	return 0;
}
