/* The job runner against a fake dispatcher. */
#include "dispatcher.h"

#include "deliver/jobs.h"

static void hand(struct dispatcher *d, const struct stored *s, uint64_t job)
{
	struct wanted_job w = {.job = job, .via = JOB_DISCARD, .rcpts = {"a@b.org"}};
	hand_out(d, s, &w);
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
	ask_inflight(&first);
	expect_heard(&first, "inflight\n");
	open_segment(&first, MESSAGE, &s);
	hand(&first, &s, 1);
	expect_heard(&first, "outcome 1 0:delivered:250:2.0.0 \n");
	/* Twice the same job: run once, told again. */
	hand(&first, &s, 1);
	expect_heard(&first, "outcome 1 0:delivered:250:2.0.0 \n");
	assert_int_equal(w.begun, 1);
	hand(&first, &s, 2);
	expect_heard(&first, "outcome 2 0:delivered:250:2.0.0 \n");
	tell_u64(&first, FRAME_OUTCOME_KEPT, 1);
	/* One runs, past its dot, while the dispatcher dies. */
	w.hold = w.dot = true;
	hand(&first, &s, 3);
	expect_heard(&first, "dot 3\n");
	dispatcher_free(&first);
	(void)fiber_sleep(20 * USEC_PER_MSEC);
	jobs_set_dispatcher(w.jobs, dispatcher_new(&second));
	(void)fiber_sleep(20 * USEC_PER_MSEC);
	assert_int_equal(second.heard.len, 0); /* not before it asks */
	ask_inflight(&second);
	expect_heard(&second, "outcome 2 0:delivered:250:2.0.0 \ninflight 3\ndot 3\n");
	w.hold = false;
	cond_broadcast(&w.go);
	expect_heard(&second, "outcome 3 0:delivered:250:2.0.0 \n");
	/* A new dispatcher opens its segments anew. */
	hand(&second, &s, 4);
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

/* What is told before a dot leaves: all dots of a turn, before any delivery goes on. */
static void dots(void *arg)
{
	(void)arg;
	struct work w;
	struct dispatcher d;
	struct stored s;
	work_new(&w, 10);
	w.dot = true;
	jobs_set_dispatcher(w.jobs, dispatcher_new(&d));
	open_segment(&d, MESSAGE, &s);
	for (uint64_t job = 1; job <= 3; job++)
		hand(&d, &s, job);
	expect_heard(&d, "dot 1\ndot 2\ndot 3\n"
			 "outcome 1 0:delivered:250:2.0.0 \n"
			 "outcome 2 0:delivered:250:2.0.0 \n"
			 "outcome 3 0:delivered:250:2.0.0 \n");
	hand(&d, &s, 4); /* alone it waits for nobody */
	expect_heard(&d, "dot 4\noutcome 4 0:delivered:250:2.0.0 \n");
	store_done(&s);
	dispatcher_free(&d);
	(void)fiber_sleep(20 * USEC_PER_MSEC);
	jobs_free(w.jobs);
}

static void jobs__dots_of_a_turn_are_told_together(void **state)
{
	(void)state;
	run_on_loop(dots, NULL);
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
	hand(&d, &s, 1);
	hand(&d, &s, 2);
	hand(&d, &s, 3);
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
	hand(&d, &s, 1);
	hand(&d, &s, 2);
	hand(&d, &s, 3);
	(void)fiber_sleep(20 * USEC_PER_MSEC);
	jobs_drain(w.jobs, 100 * USEC_PER_MSEC);
	/* What waits goes back at once, what comes too; what runs has its grace. */
	hand(&d, &s, 4);
	expect_heard(
		&d, "no more\noutcome 3 0:not-tried:0:4.3.2 \noutcome 4 0:not-tried:0:4.3.2 \n");
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
		cmocka_unit_test(jobs__dots_of_a_turn_are_told_together),
		cmocka_unit_test(jobs__cancel_and_bounds),
		cmocka_unit_test(jobs__drain),
		cmocka_unit_test(jobs__drain_with_nothing_to_do),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
