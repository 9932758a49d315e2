/* The pool: results, order of the two worlds, cancellation, what is left at the end. */
#include "harness.h"
#include "fiber/offload.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static int pool_setup(void **state)
{
	int r = loop_setup(state);
	return r < 0 ? r : offload_init(3);
}

static int pool_teardown(void **state)
{
	offload_done();
	return loop_teardown(state);
}

static pthread_t loop_thread;

static int work_square(void *arg)
{
	assert(!pthread_equal(pthread_self(), loop_thread));
	sigset_t blocked;
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	assert(sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGHUP));
	usleep(500);
	return *(int *)arg * *(int *)arg;
}

static int called;

static void caller(void *arg)
{
	int n = *(int *)arg;
	assert_int_equal(offload_call(work_square, &n), n * n);
	called++;
}

static void offload_call__returns_the_result(void **state)
{
	(void)state;
	int n[40];
	called = 0;
	loop_thread = pthread_self();
	for (int i = 0; i < (int)ARRAY_LEN(n); i++) {
		n[i] = i;
		spawn(caller, &n[i]);
	}
	run_to_end();
	assert_int_equal(called, ARRAY_LEN(n));
}

static int work_slow(void *arg)
{
	usleep(5000);
	return (*(int *)arg)++;
}

static void caller_cancelled(void *arg)
{
	int n = 7;
	assert_int_equal(offload_call(work_slow, &n), 7);
	assert_int_equal(n, 8); /* the work had ended before we went on */
	assert_true(fiber_cancelled());
	*(int *)arg = fiber_yield();
}

static void cancel_soon(void *arg)
{
	assert_int_equal(fiber_sleep(1000), 0);
	fiber_cancel(arg);
}

static void offload_call__is_not_cut_by_cancel(void **state)
{
	(void)state;
	int r = 0;
	spawn(cancel_soon, spawn(caller_cancelled, &r));
	run_to_end();
	assert_int_equal(r, -ECANCELED);
}

static unsigned jobs_done;

static int job_work(struct offload_job *j)
{
	(void)j;
	return 42;
}

static void job_done(struct offload_job *j)
{
	assert_int_equal(j->result, 42);
	assert_null(fiber_self());
	free(j);
	if (++jobs_done == 1000)
		loop_exit();
}

static void submit(void)
{
	struct offload_job *j = calloc(1, sizeof *j);
	assert_non_null(j);
	j->work = job_work;
	j->done = job_done;
	offload_submit(j);
}

static void offload_submit__many_jobs_each_done_once(void **state)
{
	(void)state;
	jobs_done = 0;
	for (unsigned i = 0; i < 1000; i++)
		submit();
	assert_int_equal(jobs_done, 0); /* done is for the loop */
	assert_int_equal(loop_run(), 0);
	assert_int_equal(jobs_done, 1000);
}

static void offload_done__runs_what_was_submitted(void **state)
{
	(void)state;
	jobs_done = 0;
	for (unsigned i = 0; i < 100; i++)
		submit();
	offload_done();
	assert_int_equal(jobs_done, 100);
	assert_int_equal(offload_init(1), 0);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, pool_setup, pool_teardown)
	const struct CMUnitTest tests[] = {
		T(offload_call__returns_the_result),
		T(offload_call__is_not_cut_by_cancel),
		T(offload_submit__many_jobs_each_done_once),
		T(offload_done__runs_what_was_submitted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
