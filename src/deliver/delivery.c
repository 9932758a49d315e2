/* The payload of a job frame is only valid during the frame's callback, so it is copied first and
 * decoded from the copy: all spans then live in the arena. Every recipient has a result from the
 * start (deferred), so that no way out of a transfer can forget one: in doubt the mail stays in
 * the queue. */
#include "deliver/delivery.h"

#include "deliver/jobs.h"
#include "deliver/transcript.h"
#include "fiber/fiber.h"

#define TIMEOUT_MAX (24 * 3600 * USEC_PER_SEC) /* sums of timeouts cannot overflow */

/* 0 is a dispatcher that says nothing: the defaults of the configuration (RFC 5321 4.5.3.2). */
static uint64_t timeout_bounded(uint64_t usec, uint64_t if_none)
{
	return usec == 0 ? if_none : MIN(usec, TIMEOUT_MAX);
}

int delivery_init(struct delivery *d, struct span payload, struct segments *segments)
{
	*d = (struct delivery){
		.arena = arena_new(DELIVERY_ARENA_MAX), .transcript = BUF_INIT(SIZE_MAX)};
	if (!d->arena)
		return -ENOMEM;
	struct span copy = arena_span(d->arena, payload);
	int r = copy.ptr ? job_decode(copy, d->arena, &d->job) : -ENOMEM;
	if (r >= 0 && (d->job.n_rcpts == 0 || d->job.n_rcpts > DELIVERY_RCPTS_MAX))
		r = -EBADMSG;
	if (r < 0)
		goto fail;
	d->job.connect_timeout = timeout_bounded(d->job.connect_timeout, 30 * USEC_PER_SEC);
	d->job.command_timeout = timeout_bounded(d->job.command_timeout, 300 * USEC_PER_SEC);
	d->job.data_timeout = timeout_bounded(d->job.data_timeout, 600 * USEC_PER_SEC);
	struct outcome_rcpt *rcpts = arena_alloc(d->arena, d->job.n_rcpts * sizeof(*rcpts));
	d->segments = arena_alloc(d->arena, (d->job.n_ranges + 1) * sizeof(struct segment *));
	if (!rcpts || !d->segments) {
		r = -ENOMEM;
		goto fail;
	}
	for (uint32_t i = 0; i < d->job.n_ranges; i++)
		d->segments[i] = segments_get(segments, d->job.ranges[i].segment);
	for (uint32_t i = 0; i < d->job.n_rcpts; i++)
		rcpts[i].index = d->job.rcpts[i].index;
	d->outcome.job = d->job.job;
	d->outcome.message = d->job.message;
	d->outcome.rcpts = rcpts;
	d->outcome.n_rcpts = d->job.n_rcpts;
	delivery_set_all(d,
		delivery_result_text(d, OUTCOME_DEFERRED, 0, "4.3.0", SPAN_LIT("not attempted")));
	return 0;
fail:
	arena_free(TAKE(d->arena));
	d->segments = NULL;
	return r;
}

void delivery_done(struct delivery *d)
{
	if (!d->arena)
		return;
	buf_done(&d->transcript);
	for (uint32_t i = 0; i < d->job.n_ranges; i++)
		segment_release(d->segments[i]);
	arena_free(TAKE(d->arena));
}

bool delivery_readable(const struct delivery *d)
{
	for (uint32_t i = 0; i < d->job.n_ranges; i++)
		if (!d->segments[i])
			return false;
	return true;
}

struct outcome_rcpt delivery_result_text(struct delivery *d, enum outcome_class result,
	uint16_t code, const char *enhanced, struct span text)
{
	size_t share = RESULT_TEXTS_MAX / d->job.n_rcpts;
	/* At the arena's ceiling the text is lost, never the result. */
	struct span kept = arena_span(d->arena, span_head(text, MIN(share, RESULT_TEXT_MAX)));
	struct span status = arena_span(d->arena, span_str(enhanced));
	return (struct outcome_rcpt){
		.result = result,
		.code = code,
		.enhanced = status.ptr ? status : SPAN_LIT("4.3.0"),
		.text = kept.ptr ? kept : SPAN_NULL,
	};
}

struct outcome_rcpt delivery_result(struct delivery *d, enum outcome_class result, uint16_t code,
	const char *enhanced, const char *fmt, ...)
{
	struct buf text = BUF_INIT(4 * RESULT_TEXT_MAX);
	va_list ap;
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	struct outcome_rcpt r = delivery_result_text(d, result, code, enhanced, buf_span(&text));
	buf_done(&text);
	return r;
}

void delivery_set(struct delivery *d, uint32_t position, struct outcome_rcpt result)
{
	assert(position < d->outcome.n_rcpts);
	result.index = d->outcome.rcpts[position].index;
	d->outcome.rcpts[position] = result;
}

void delivery_set_all(struct delivery *d, struct outcome_rcpt result)
{
	for (uint32_t i = 0; i < d->outcome.n_rcpts; i++)
		delivery_set(d, i, result);
}

/* ---- what is told of failures ---- */

/* The last lines explain most: what is over the bound goes at the front, line by line. */
static void bound_transcript(struct delivery *d)
{
	struct buf *b = &d->transcript;
	if (b->len <= TRANSCRIPTS_MAX)
		return;
	size_t over = b->len - TRANSCRIPTS_MAX;
	buf_consume(b, over);
	buf_consume(b, MIN(span_index(buf_span(b), '\n') + 1, b->len));
}

void delivery_keep(struct delivery *d, const struct transcript *t)
{
	d->told = true;
	transcript_write(t, &d->transcript);
	bound_transcript(d);
}

void delivery_fact(struct delivery *d, const char *fmt, ...)
{
	struct buf text = BUF_INIT(4 * RESULT_TEXT_MAX);
	va_list ap;
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	trace_line(loop_wall_usec(), TRANSCRIPT_FACT, buf_span(&text), &d->transcript);
	bound_transcript(d);
	if (d->job.traced)
		jobs_tell(d, TRANSCRIPT_FACT, buf_span(&text));
	buf_done(&text);
}
