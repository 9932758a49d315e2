/* A small pool of threads for calls that block. Work runs on a thread; done runs on the loop, told
 * by an eventfd that is written once for however many jobs have ended since the loop last looked.
 *
 * A job that was submitted runs, always: offload_done waits for all, and where no thread can be
 * had at all the work runs at once on the caller (slow, never lost). Everything shared is under
 * one mutex; a job belongs to its thread between submit and done. */
#include "fiber/offload.h"
#include "fiber/runtime.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Deep enough for SQLite and libldap. */
#define THREAD_STACK (1024u * 1024u)

static struct {
	bool initialised;
	pthread_mutex_t mutex;
	pthread_cond_t wanted;
	struct list queue; /* to be worked on */
	struct list ended; /* to be told on the loop */
	size_t n_queued;
	unsigned n_idle, n_threads, max_threads;
	bool stopping;
	pthread_t *threads;
	struct watch watch;
	int event_fd;
} pool;

static void *thread_main(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&pool.mutex);
	for (;;) {
		while (list_empty(&pool.queue) && !pool.stopping) {
			pool.n_idle++;
			pthread_cond_wait(&pool.wanted, &pool.mutex);
			pool.n_idle--;
		}
		struct list *n = list_pop_front(&pool.queue);
		if (!n)
			break; /* stopping, and nothing left */
		pool.n_queued--;
		pthread_mutex_unlock(&pool.mutex);

		struct offload_job *j = CONTAINER_OF(n, struct offload_job, node);
		j->result = j->work(j);

		pthread_mutex_lock(&pool.mutex);
		bool first = list_empty(&pool.ended);
		list_push_back(&pool.ended, &j->node);
		if (first) { /* not under the mutex, which whoever wakes wants first */
			pthread_mutex_unlock(&pool.mutex);
			eventfd_write(pool.event_fd, 1);
			pthread_mutex_lock(&pool.mutex);
		}
	}
	pthread_mutex_unlock(&pool.mutex);
	return NULL;
}

static void tell_ended(void)
{
	struct list now;
	list_init(&now);
	pthread_mutex_lock(&pool.mutex);
	for (struct list *n; (n = list_pop_front(&pool.ended));)
		list_push_back(&now, n);
	pthread_mutex_unlock(&pool.mutex);
	for (struct list *n; (n = list_pop_front(&now));) {
		struct offload_job *j = CONTAINER_OF(n, struct offload_job, node);
		j->done(j);
	}
}

static void pool_on_ready(struct watch *w, uint32_t events)
{
	(void)w;
	(void)events;
	/* Each write is an edge of its own: the counter needs no reading (2^64 of them). */
	tell_ended();
}

int offload_init(unsigned max_threads)
{
	assert(!pool.initialised && max_threads > 0);
	pool.threads = calloc(max_threads, sizeof *pool.threads);
	if (!pool.threads)
		return -ENOMEM;
	pool.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = pool.event_fd < 0 ? -errno : 0;
	if (r >= 0)
		r = watch_init_input(&pool.watch, pool.event_fd, pool_on_ready);
	if (r < 0) {
		fd_close(pool.event_fd);
		free(TAKE(pool.threads));
		return r;
	}
	list_init(&pool.queue);
	list_init(&pool.ended);
	pthread_mutex_init(&pool.mutex, NULL);
	pthread_cond_init(&pool.wanted, NULL);
	pool.n_queued = 0;
	pool.n_idle = pool.n_threads = 0;
	pool.max_threads = max_threads;
	pool.stopping = false;
	pool.initialised = true;
	return 0;
}

void offload_done(void)
{
	if (!pool.initialised)
		return;
	pthread_mutex_lock(&pool.mutex);
	pool.stopping = true;
	pthread_cond_broadcast(&pool.wanted);
	pthread_mutex_unlock(&pool.mutex);
	for (unsigned i = 0; i < pool.n_threads; i++)
		pthread_join(pool.threads[i], NULL);
	pool.n_threads = 0;
	/* done may submit again; without threads that work runs at once. */
	while (!list_empty(&pool.ended))
		tell_ended();
	watch_done(&pool.watch);
	pool.event_fd = fd_close(pool.event_fd);
	pthread_cond_destroy(&pool.wanted);
	pthread_mutex_destroy(&pool.mutex);
	free(TAKE(pool.threads));
	pool.initialised = false;
}

/* Signals stay with the loop's thread. Under the mutex. */
static void thread_start(void)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&pool.threads[pool.n_threads], &attr, thread_main, NULL) == 0)
		pool.n_threads++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
}

void offload_submit(struct offload_job *j)
{
	assert(pool.initialised);
	pthread_mutex_lock(&pool.mutex);
	if (pool.n_queued >= pool.n_idle && pool.n_threads < pool.max_threads && !pool.stopping)
		thread_start();
	if (pool.n_threads > 0) {
		list_push_back(&pool.queue, &j->node);
		pool.n_queued++;
		pthread_mutex_unlock(&pool.mutex);
		pthread_cond_signal(&pool.wanted);
		return;
	}
	pthread_mutex_unlock(&pool.mutex);
	j->result = j->work(j);
	pthread_mutex_lock(&pool.mutex);
	list_push_back(&pool.ended, &j->node);
	eventfd_write(pool.event_fd, 1);
	pthread_mutex_unlock(&pool.mutex);
}

/* ---- from a fiber ---- */

struct call {
	struct offload_job job;
	int (*fn)(void *arg);
	void *arg;
	struct fiber *fiber;
};

static int call_work(struct offload_job *j)
{
	struct call *c = CONTAINER_OF(j, struct call, job);
	return c->fn(c->arg);
}

static void call_done(struct offload_job *j)
{
	fiber_wake(CONTAINER_OF(j, struct call, job)->fiber, 0);
}

int offload_call(int (*fn)(void *arg), void *arg)
{
	struct call c = {
		.job = {.work = call_work, .done = call_done},
		.fn = fn,
		.arg = arg,
		.fiber = fiber_self(),
	};
	assert(c.fiber);
	offload_submit(&c.job);
	/* done comes from the loop, never from submit: the fiber is parked by then. */
	int r = fiber_park_uncancellable();
	assert(r == 0);
	(void)r;
	return c.job.result;
}
