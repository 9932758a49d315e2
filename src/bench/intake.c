/* The header is kept until its empty line, the body only summed: memory does not grow with the
 * message. A header that never ends is cut off at its limit, and then has no token. */
#include "bench/intake.h"

#include "base/crc32c.h"

void intake_init(struct intake *in)
{
	*in = (struct intake){.head = BUF_INIT(INTAKE_HEAD_MAX)};
}

void intake_reset(struct intake *in)
{
	buf_reset(&in->head);
	in->in_body = false;
	in->octets = 0;
	in->crc = 0;
}

void intake_done(struct intake *in)
{
	buf_done(&in->head);
}

static void body_feed(struct intake *in, struct span octets)
{
	in->octets += octets.len;
	in->crc = crc32c(in->crc, octets.ptr, octets.len);
}

void intake_feed(struct intake *in, struct span octets)
{
	if (in->in_body) {
		body_feed(in, octets);
		return;
	}
	/* The empty line may straddle two pieces. */
	size_t from = in->head.len > 3 ? in->head.len - 3 : 0;
	size_t before = in->head.len;
	buf_append(&in->head, octets.ptr, MIN(octets.len, (size_t)INTAKE_HEAD_MAX - before));
	const char *end = in->head.len > from
				  ? memmem(in->head.ptr + from, in->head.len - from, "\r\n\r\n", 4)
				  : NULL;
	if (!end)
		return;
	in->head.len = (size_t)(end - in->head.ptr) + 2;
	in->in_body = true;
	body_feed(in, span_from(octets, in->head.len + 2 - before));
}

/* The value of the token's field, folded lines included; ptr NULL: not there. */
static struct span token_value(struct span head)
{
	while (head.len > 0) {
		size_t line = span_index(head, '\n') + 1;
		if (span_starts_nocase(head, SPAN_LIT(TOKEN_FIELD))) {
			while (line < head.len && (head.ptr[line] == ' ' || head.ptr[line] == '\t'))
				line += span_index(span_from(head, line), '\n') + 1;
			return span_from(span_head(head, line), sizeof(TOKEN_FIELD) - 1);
		}
		head = span_from(head, line);
	}
	return SPAN_NULL;
}

int intake_end(const struct intake *in, struct token *ret_token)
{
	struct span value = token_value(buf_span(&in->head));
	int r = value.ptr ? token_parse(value, ret_token) : -EBADMSG;

	if (r < 0)
		return r;
	return in->in_body && in->octets == ret_token->octets && in->crc == ret_token->crc;
}
