/* The job runner and the deliverer role against a fake dispatcher. */
#include "support.h"
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "deliver/jobs.h"
#include "ipc/frames.h"
#include "net/channel.h"

/* ---- a dispatcher that writes down what it hears ---- */

struct dispatcher {
	struct channel *channel;
	struct buf heard; /* "outcome 1 0:delivered:250:2.0.0 " ... one a line */
	unsigned closed;
};

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
	buf_str(&d->heard, f->type == FRAME_INFLIGHT  ? "inflight"
			   : f->type == FRAME_JOB_DOT ? "dot"
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

static int dispatcher_new(struct dispatcher *d)
{
	int pair[2];
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	*d = (struct dispatcher){.heard = BUF_INIT(1 << 20)};
	assert_int_equal(channel_new(pair[0], &dispatcher_ops, d, &d->channel), 0);
	return pair[1];
}

static void dispatcher_free(struct dispatcher *d)
{
	channel_free(TAKE(d->channel));
	buf_done(&d->heard);
}

static void tell_u64(struct dispatcher *d, enum frame_type type, uint64_t value)
{
	struct buf b = BUF_INIT(64);
	wire_put_u64(&b, value);
	assert_int_equal(channel_send(d->channel, (uint16_t)type, buf_span(&b), NULL, 0), 0);
	buf_done(&b);
}

static void ask(struct dispatcher *d)
{
	assert_int_equal(channel_send(d->channel, FRAME_INFLIGHT_ASK, SPAN_NULL, NULL, 0), 0);
}

static void open_segment(struct dispatcher *d, struct span message, struct stored *layout)
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

static void hand_out(struct dispatcher *d, const struct stored *s, uint64_t job)
{
	struct wanted_job w = {.job = job, .via = JOB_DISCARD, .rcpts = {"a@b.org"}};
	struct buf b = BUF_INIT(65536);
	encode_job(&w, s, &b);
	assert_int_equal(channel_send(d->channel, FRAME_JOB, buf_span(&b), NULL, 0), 0);
	buf_done(&b);
}

/* Waits until exactly this was heard, and forgets it. */
static void expect_heard(struct dispatcher *d, const char *want)
{
	for (int i = 0; i < 300 && d->heard.len < strlen(want); i++)
		(void)fiber_sleep(5 * USEC_PER_MSEC);
	(void)fiber_sleep(20 * USEC_PER_MSEC);
	if (!span_equal(buf_span(&d->heard), span_str(want)))
		print_error("want %s\ngot %.*s\n", want, SPAN_FMT(buf_span(&d->heard)));
	assert_true(span_equal(buf_span(&d->heard), span_str(want)));
	buf_reset(&d->heard);
}

/* ---- deliveries that do as they are told ---- */

struct work {
	struct jobs *jobs;
	unsigned begun, drained;
	bool hold, dot;
	struct cond go;
};

static void work_deliver(void *arg, struct delivery *d)
{
	struct work *w = arg;
	int r = 0;
	w->begun++;
	if (w->dot)
		assert_int_equal(jobs_mark_dot(d), 0);
	while (w->hold && r >= 0)
		r = cond_wait(&w->go, USEC_INFINITY);
	if (r < 0)
		delivery_set_all(
			d, delivery_result(d, OUTCOME_DEFERRED, 0, "4.3.2", "shutting down"));
	else
		delivery_set_all(d, delivery_result(d, OUTCOME_DELIVERED, 250, "2.0.0", "ok"));
}

static void work_drained(void *arg)
{
	struct work *w = arg;
	w->drained++;
}

static const struct jobs_ops work_ops = {.deliver = work_deliver, .drained = work_drained};

static void work_new(struct work *w, unsigned running_max)
{
	*w = (struct work){0};
	cond_init(&w->go);
	assert_int_equal(jobs_new(&work_ops, w, running_max, &w->jobs), 0);
}

#define MESSAGE SPAN_LIT("A: b\r\n\r\nx\r\n")

static void outcomes(void *arg)
{
	(void)arg;
	struct work w;
	struct dispatcher first, second;
	struct stored s;
	work_new(&w, 10);
	jobs_set_dispatcher(w.jobs, dispatcher_new(&first));
	ask(&first);
	expect_heard(&first, "inflight\n");
	open_segment(&first, MESSAGE, &s);
	hand_out(&first, &s, 1);
	expect_heard(&first, "outcome 1 0:delivered:250:2.0.0 \n");
	/* Twice the same job: run once, told again. */
	hand_out(&first, &s, 1);
	expect_heard(&first, "outcome 1 0:delivered:250:2.0.0 \n");
	assert_int_equal(w.begun, 1);
	hand_out(&first, &s, 2);
	expect_heard(&first, "outcome 2 0:delivered:250:2.0.0 \n");
	tell_u64(&first, FRAME_OUTCOME_KEPT, 1);
	/* One runs, past its dot, while the dispatcher dies. */
	w.hold = w.dot = true;
	hand_out(&first, &s, 3);
	expect_heard(&first, "dot 3\n");
	dispatcher_free(&first);
	(void)fiber_sleep(20 * USEC_PER_MSEC);
	jobs_set_dispatcher(w.jobs, dispatcher_new(&second));
	(void)fiber_sleep(20 * USEC_PER_MSEC);
	assert_int_equal(second.heard.len, 0); /* not before it asks */
	ask(&second);
	expect_heard(&second, "outcome 2 0:delivered:250:2.0.0 \ninflight 3\ndot 3\n");
	w.hold = false;
	cond_broadcast(&w.go);
	expect_heard(&second, "outcome 3 0:delivered:250:2.0.0 \n");
	/* A new dispatcher opens its segments anew. */
	hand_out(&second, &s, 4);
	expect_heard(&second, "outcome 4 0:deferred:0:4.3.0 \n");
	store_done(&s);
	dispatcher_free(&second);
	(void)fiber_sleep(20 * USEC_PER_MSEC);
	jobs_free(w.jobs);
}

static void jobs__outcomes_are_kept(void **state)
{
	(void)state;
	run_on_loop(outcomes, NULL);
}

static void cancels(void *arg)
{
	(void)arg;
	struct work w;
	struct dispatcher d;
	struct stored s;
	work_new(&w, 1);
	w.hold = true;
	jobs_set_dispatcher(w.jobs, dispatcher_new(&d));
	open_segment(&d, MESSAGE, &s);
	hand_out(&d, &s, 1);
	hand_out(&d, &s, 2);
	hand_out(&d, &s, 3);
	(void)fiber_sleep(20 * USEC_PER_MSEC);
	assert_int_equal(w.begun, 1);
	assert_int_equal(jobs_running(w.jobs), 1);
	tell_u64(&d, FRAME_SEGMENT_FORGET, 7); /* running and waiting jobs hold theirs */
	tell_u64(&d, FRAME_JOB_CANCEL, 2);
	tell_u64(&d, FRAME_JOB_CANCEL, 1); /* has begun */
	expect_heard(&d, "outcome 2 0:not-tried:0:4.3.2 \n");
	w.hold = false;
	cond_broadcast(&w.go);
	expect_heard(&d, "outcome 1 0:delivered:250:2.0.0 \noutcome 3 0:delivered:250:2.0.0 \n");
	/* A frame that does not decode ends the channel, not the process. */
	assert_int_equal(channel_send(d.channel, FRAME_JOB, SPAN_LIT("garbage"), NULL, 0), 0);
	for (int i = 0; i < 100 && !d.closed; i++)
		(void)fiber_sleep(5 * USEC_PER_MSEC);
	assert_int_equal(d.closed, 1);
	store_done(&s);
	dispatcher_free(&d);
	jobs_free(w.jobs);
}

static void jobs__cancel_and_bounds(void **state)
{
	(void)state;
	run_on_loop(cancels, NULL);
}

static void drains(void *arg)
{
	(void)arg;
	struct work w;
	struct dispatcher d;
	struct stored s;
	work_new(&w, 2);
	w.hold = true;
	jobs_set_dispatcher(w.jobs, dispatcher_new(&d));
	open_segment(&d, MESSAGE, &s);
	hand_out(&d, &s, 1);
	hand_out(&d, &s, 2);
	hand_out(&d, &s, 3);
	(void)fiber_sleep(20 * USEC_PER_MSEC);
	jobs_drain(w.jobs, 100 * USEC_PER_MSEC);
	/* What waits goes back at once, what comes too; what runs has its grace. */
	hand_out(&d, &s, 4);
	expect_heard(&d, "outcome 3 0:not-tried:0:4.3.2 \noutcome 4 0:not-tried:0:4.3.2 \n");
	assert_int_equal(jobs_running(w.jobs), 2);
	expect_heard(&d, "outcome 1 0:deferred:0:4.3.2 \noutcome 2 0:deferred:0:4.3.2 \n");
	assert_int_equal(w.drained, 0);
	for (uint64_t job = 1; job <= 4; job++)
		tell_u64(&d, FRAME_OUTCOME_KEPT, job);
	for (int i = 0; i < 100 && !w.drained; i++)
		(void)fiber_sleep(5 * USEC_PER_MSEC);
	assert_int_equal(w.drained, 1);
	store_done(&s);
	dispatcher_free(&d);
	jobs_free(w.jobs);
}

static void jobs__drain(void **state)
{
	(void)state;
	run_on_loop(drains, NULL);
}

static void drains_idle(void *arg)
{
	(void)arg;
	struct work w;
	work_new(&w, 2);
	jobs_drain(w.jobs, USEC_PER_SEC);
	(void)fiber_sleep(20 * USEC_PER_MSEC);
	assert_int_equal(w.drained, 1);
	jobs_free(w.jobs);
}

static void jobs__drain_with_nothing_to_do(void **state)
{
	(void)state;
	run_on_loop(drains_idle, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jobs__outcomes_are_kept),
		cmocka_unit_test(jobs__cancel_and_bounds),
		cmocka_unit_test(jobs__drain),
		cmocka_unit_test(jobs__drain_with_nothing_to_do),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
