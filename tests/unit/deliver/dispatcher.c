#include "dispatcher.h"
#include <sys/socket.h>
#include <unistd.h>

static int heard_frame(void *arg, struct frame *f)
{
	struct dispatcher *d = arg;
	struct wire w = wire_reader(f->payload);
	if (f->type == FRAME_OUTCOME) {
		struct arena *a = arena_new(1 << 20);
		struct outcome o;
		assert_int_equal(outcome_decode(f->payload, a, &o), 0);
		char *text = outcome_text(&o);
		buf_printf(&d->heard, "outcome %ju %s\n", (uintmax_t)o.job, text);
		free(text);
		arena_free(a);
		return 0;
	}
	buf_str(&d->heard, f->type == FRAME_INFLIGHT	   ? "inflight"
			   : f->type == FRAME_JOB_DOT	   ? "dot"
			   : f->type == FRAME_NO_MORE_JOBS ? "no more"
							   : "something else");
	while (w.rest.len > 0 && !w.error)
		buf_printf(&d->heard, " %ju", (uintmax_t)wire_get_u64(&w));
	buf_str(&d->heard, "\n");
	return 0;
}

static void heard_close(void *arg, int error)
{
	struct dispatcher *d = arg;
	(void)error;
	d->closed++;
}

static const struct channel_ops dispatcher_ops = {.on_frame = heard_frame, .on_close = heard_close};

int dispatcher_new(struct dispatcher *d)
{
	int pair[2];
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	*d = (struct dispatcher){.heard = BUF_INIT(1 << 20)};
	assert_int_equal(channel_new(pair[0], &dispatcher_ops, d, &d->channel), 0);
	return pair[1];
}

void dispatcher_free(struct dispatcher *d)
{
	channel_free(TAKE(d->channel));
	buf_done(&d->heard);
}

void tell_u64(struct dispatcher *d, enum frame_type type, uint64_t value)
{
	struct buf b = BUF_INIT(64);
	wire_put_u64(&b, value);
	assert_int_equal(channel_send(d->channel, (uint16_t)type, buf_span(&b), NULL, 0), 0);
	buf_done(&b);
}

void ask_inflight(struct dispatcher *d)
{
	assert_int_equal(channel_send(d->channel, FRAME_INFLIGHT_ASK, SPAN_NULL, NULL, 0), 0);
}

void open_segment(struct dispatcher *d, struct span message, struct stored *layout)
{
	store_message(layout, message);
	struct segment *segment = segments_get(&layout->segments, 7);
	struct buf b = BUF_INIT(64);
	wire_put_u64(&b, 7);
	assert_int_equal(
		channel_send(d->channel, FRAME_SEGMENT_OPEN, buf_span(&b), &segment->fd, 1), 0);
	buf_done(&b);
	segment_release(segment);
}

void hand_out(struct dispatcher *d, const struct stored *s, const struct wanted_job *w)
{
	struct buf b = BUF_INIT(65536);
	encode_job(w, s, &b);
	assert_int_equal(channel_send(d->channel, FRAME_JOB, buf_span(&b), NULL, 0), 0);
	buf_done(&b);
}

void expect_heard(struct dispatcher *d, const char *want)
{
	for (int i = 0; i < 300 && d->heard.len < strlen(want); i++)
		(void)fiber_sleep(5 * USEC_PER_MSEC);
	(void)fiber_sleep(20 * USEC_PER_MSEC);
	if (!span_equal(buf_span(&d->heard), span_str(want)))
		print_error("want %s\ngot %.*s\n", want, SPAN_FMT(buf_span(&d->heard)));
	assert_true(span_equal(buf_span(&d->heard), span_str(want)));
	buf_reset(&d->heard);
}
