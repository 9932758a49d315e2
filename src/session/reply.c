/* One place through which every reply goes: counted, with its enhanced code (RFC 2034 4: all 2xx,
 * 4xx and 5xx but the greeting and the answers to HELO and EHLO), lines folded by mail/reply. */
#include "session/reply.h"
#include "base/stats.h"
#include "mail/reply.h"

int reply_send(struct session *s, struct verdict v)
{
	if (v.code >= 500)
		STATS_ADD(replies_5xx_total, 1);
	else if (v.code >= 400)
		STATS_ADD(replies_4xx_total, 1);
	buf_reset(&s->reply);
	reply_format(&s->reply, v.code, v.enhanced, span_str(v.text));
	if (s->reply.error < 0)
		return s->reply.error;
	return stream_write(s->io, buf_span(&s->reply));
}

struct verdict reply_text(
	struct session *s, uint16_t code, const char *enhanced, const char *fmt, ...)
{
	va_list ap;

	buf_reset(&s->text);
	va_start(ap, fmt);
	buf_vprintf(&s->text, fmt, ap);
	va_end(ap);
	buf_char(&s->text, '\0');
	return VERDICT(code, enhanced, s->text.error < 0 ? "" : s->text.ptr);
}
