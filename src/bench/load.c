/* A run: its fibers, its progress, its end.
 *
 * The sink, when it is ours, is a child process made before anything else, so that it has its own
 * core and its own loop. When the last message has its answer, the sink is asked until all that was
 * accepted has arrived, or until nothing has moved for --settle: only then is anything "lost".
 *
 * SIGINT ends the sending; what was sent is still accounted for. */
#include "bench/load.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/bench.h"
#include "mail/date.h"
#include "net/tls.h"

#define POLL_USEC     (50 * USEC_PER_MSEC)
#define PROGRESS_USEC USEC_PER_SEC
#define WINDOW_USEC   (10 * USEC_PER_MSEC) /* between two questions to the sink */
#define SPAWN_BATCH   256u

void load_count_reply(struct load *l, const char *where, int code, struct span text)
{
	size_t i = 0;

	while (i < l->n_replies && (l->replies[i].code != code || l->replies[i].where != where))
		i++;
	if (i == REPLIES_MAX)
		i--; /* the last kind stands for the rest */
	struct reply_count *c = &l->replies[i];
	if (i == l->n_replies) {
		*c = (struct reply_count){.where = where, .code = code};
		struct buf sample = BUF_INIT(REPLY_SAMPLE_MAX - 1);
		buf_escaped(&sample, text, REPLY_SAMPLE_MAX / 5);
		memcpy(c->sample, sample.ptr ? sample.ptr : "", sample.len);
		buf_done(&sample);
		l->n_replies++;
	}
	c->count++;
}

uint64_t load_random(struct load *l)
{
	l->random ^= l->random << 13;
	l->random ^= l->random >> 7;
	l->random ^= l->random << 17;
	return l->random;
}

void load_time(struct load *l, enum stage s, uint64_t since_usec)
{
	uint64_t now = clock_monotonic_usec();

	histogram_add(&l->stages[s], now > since_usec ? now - since_usec : 0);
}

/* Until less than --window messages are on their way through the server. A server that takes more
 * than it delivers is then measured at what it delivers, and is soon empty at the end. False: the
 * run's time is over, or nothing arrived for --settle. */
SUSPENDS static bool window_wait(struct load *l)
{
	const struct load_options *o = l->o;
	uint64_t end = o->duration_usec ? l->begun_usec + o->duration_usec : USEC_INFINITY;
	uint64_t seen = l->arrived_pairs, moved = clock_monotonic_usec();

	while (l->accepted_pairs >= l->arrived_pairs + o->window * o->recipients) {
		if (l->stopping || cond_wait(&l->room, MIN(end, moved + o->settle_usec)) < 0)
			return false;
		if (l->arrived_pairs != seen) {
			seen = l->arrived_pairs;
			moved = clock_monotonic_usec();
		}
	}
	return true;
}

bool load_time_is_over(const struct load *l)
{
	uint64_t duration = l->o->duration_usec;
	return duration && clock_monotonic_usec() - l->begun_usec >= duration;
}

bool load_next_message(struct load *l, uint64_t *ret_n)
{
	const struct load_options *o = l->o;

	if (o->window && !window_wait(l))
		return false;
	if (l->stopping || l->next_message >= o->messages)
		return false;
	if (load_time_is_over(l))
		return false;
	uint64_t n = l->next_message++;
	if (o->rate) {
		/* The open loop: message n is due at n / rate, whatever the server does. */
		uint64_t due = l->begun_usec + n * USEC_PER_SEC / o->rate;
		if (due > loop_now_usec() && fiber_sleep_until(due) < 0)
			return false;
	}
	*ret_n = n;
	return true;
}

/* ---- progress ---- */

static void progress_line(struct load *l, uint64_t before, const struct watch_counts *counts)
{
	double seconds = (double)(clock_monotonic_usec() - l->begun_usec) / 1e6;

	if (l->o->idle_usec) {
		(void)fprintf(stderr, "%7.1f s  %ju open, %ju failed, %ju ended by the server\n",
			seconds, (uintmax_t)l->open, (uintmax_t)l->connections_failed,
			(uintmax_t)l->closed_early);
		return;
	}
	(void)fprintf(stderr, "%7.1f s  %ju accepted (%ju/s), %ju refused", seconds,
		(uintmax_t)l->accepted_messages, (uintmax_t)(l->accepted_messages - before),
		(uintmax_t)l->refused_pairs);
	if (l->o->sink.len)
		(void)fprintf(stderr, ", %ju of %ju at the sink", (uintmax_t)counts->pairs,
			(uintmax_t)l->accepted_pairs);
	(void)fputc('\n', stderr);
}

struct progress {
	struct load *l;
	struct watcher *watcher;
	struct watch_counts counts;
	struct fiber *fiber;
	bool ended;
};

static void progress_fiber(void *arg)
{
	struct progress *p = arg;
	struct load *l = p->l;
	uint64_t before = 0, due = loop_now_usec() + PROGRESS_USEC;

	while (fiber_sleep(l->o->window ? WINDOW_USEC : PROGRESS_USEC) >= 0) {
		if (p->watcher && watcher_counts(p->watcher, &p->counts) == -ECANCELED)
			break;
		l->arrived_pairs = p->counts.pairs;
		cond_broadcast(&l->room);
		if (loop_now_usec() < due)
			continue;
		due += PROGRESS_USEC;
		if (!l->o->quiet)
			progress_line(l, before, &p->counts);
		before = l->accepted_messages;
	}
	p->fiber = NULL;
	p->ended = true;
	cond_broadcast(&p->l->finished);
}

/* ---- the run ---- */

/* Until all that was accepted has arrived, or nothing moves for --settle. */
SUSPENDS static int settle(struct load *l, struct watcher *w, struct watch_counts *counts)
{
	uint64_t moved = loop_now_usec(), seen = 0;

	for (;;) {
		int r = watcher_counts(w, counts);
		if (r < 0)
			return r;
		if (counts->pairs + counts->doubled != seen) {
			seen = counts->pairs + counts->doubled;
			moved = loop_now_usec();
		}
		if (counts->pairs >= l->accepted_pairs || l->stopping ||
			loop_now_usec() - moved > l->o->settle_usec)
			return 0;
		r = fiber_sleep(POLL_USEC);
		if (r < 0)
			return r;
	}
}

struct whole_run {
	struct load *l;
	struct watcher *watcher;
	struct watch_counts counts;
	uint8_t *marks; /* NULL: not compared */
	int result;
};

SUSPENDS static int start_workers(struct load *l)
{
	int r = 0;

	for (uint64_t i = 0; i < l->o->connections && r >= 0 && !l->stopping; i++) {
		l->workers++;
		r = fiber_spawn(l->o->idle_usec ? client_idle : client_worker, l, NULL);
		if (r < 0)
			l->workers--;
		else if (i % SPAWN_BATCH == SPAWN_BATCH - 1)
			r = fiber_yield();
	}
	return r;
}

SUSPENDS static int compare(struct whole_run *run)
{
	struct load *l = run->l;
	int r = settle(l, run->watcher, &run->counts);

	if (r < 0)
		return r;
	uint8_t *marks = calloc(l->o->messages, l->o->recipients);
	if (!marks)
		return -ENOMEM;
	r = watcher_marks(run->watcher, marks);
	if (r < 0)
		free(marks);
	else
		run->marks = marks;
	return r;
}

static void run_fiber(void *arg)
{
	struct whole_run *run = arg;
	struct load *l = run->l;
	struct progress p = {.l = l, .watcher = run->watcher};
	bool has_progress = fiber_spawn(progress_fiber, &p, &p.fiber) >= 0;

	l->begun_usec = l->ended_usec = clock_monotonic_usec();
	l->begun_wall_usec = clock_wall_usec();
	run->result = start_workers(l);
	while (l->workers > 0)
		if (cond_wait(&l->finished, USEC_INFINITY) < 0)
			break;
	if (has_progress && p.fiber)
		fiber_cancel(p.fiber);
	while (has_progress && !p.ended)
		if (cond_wait(&l->finished, USEC_INFINITY) < 0)
			break;
	if (run->result >= 0 && run->watcher && !l->o->idle_usec)
		run->result = compare(run);
	loop_stop();
}

static struct load *the_load; /* for the turn hook */

static void on_turn(void)
{
	if (bench_interrupted())
		the_load->stopping = true;
}

/* ---- the sink's process ---- */

static int sink_start(const struct load_options *o, pid_t *ret_pid)
{
	int ready[2];
	char octet;

	if (pipe(ready) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		struct sink_options s = {.n_addresses = 1,
			.at = SINK_AT_DOT,
			.pipelining = true,
			.chunking = true,
			/* Without a server between, this is who the sessions talk to. */
			.starttls = o->tls == BENCH_TLS_STARTTLS &&
				    strcmp(o->sink_text, o->target_text) == 0,
			.quiet = true};
		s.addresses[0] = o->sink;
		fd_close(ready[0]);
		_exit(sink_run(&s, ready[1]));
	}
	fd_close(ready[1]);
	int r = pid < 0 ? -errno : 0;
	/* One octet: it listens. End of file: it could not. */
	if (r >= 0 && read(ready[0], &octet, 1) != 1)
		r = -EADDRNOTAVAIL;
	fd_close(ready[0]);
	*ret_pid = pid;
	return r;
}

static void sink_stop(pid_t pid)
{
	if (pid <= 0)
		return;
	(void)kill(pid, SIGTERM);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* ---- together ---- */

static int load_init(struct load *l)
{
	const struct load_options *o = l->o;
	struct buf date = BUF_INIT(sizeof(l->date) - 1);

	if (o->messages * o->recipients > (UINT64_C(200) << 20))
		return -E2BIG;
	random_octets(&l->run_id, sizeof(l->run_id));
	l->random = l->run_id | 1;
	date_format(clock_wall_usec(), &date);
	memcpy(l->date, date.ptr ? date.ptr : "", date.len);
	buf_done(&date);
	cond_init(&l->finished);
	cond_init(&l->room);
	int r = o->tls == BENCH_TLS_NONE ? 0 : tls_context_new(false, &l->tls);
	if (r < 0)
		return r;
	l->fates = calloc(o->messages, o->recipients);
	if (!l->fates)
		return -ENOMEM;
	return payload_pool_new(payload_size_max(&o->sizes), &l->pool);
}

static int run_loop(struct whole_run *run)
{
	int r = loop_init();

	if (r < 0)
		return r;
	the_load = run->l;
	loop_set_turn_hook(on_turn);
	if (run->l->o->sink.len)
		r = watcher_new(run->l, &run->watcher);
	if (r >= 0)
		r = fiber_spawn(run_fiber, run, NULL);
	if (r >= 0)
		r = loop_run();
	watcher_free(run->watcher);
	loop_done();
	return r < 0 ? r : run->result;
}

int load_run(const struct load_options *o)
{
	struct load *l = calloc(1, sizeof(*l));
	struct whole_run run = {.l = l};
	struct account account = {0};
	pid_t sink = -1;
	int status = BENCH_OS, r = -ENOMEM;

	if (!l)
		goto out;
	l->o = o;
	r = load_init(l);
	if (r >= 0 && o->sink.len && !o->sink_is_there)
		r = sink_start(o, &sink);
	if (r == -EADDRNOTAVAIL) {
		status = BENCH_UNAVAILABLE;
		goto out;
	}
	if (r >= 0)
		r = run_loop(&run);
	sink_stop(sink);
	if (r >= 0 || l->connections + l->connections_failed > 0) {
		account_make(l, run.marks, &account);
		status = report_load(l, &account, &run.counts);
	}
out:
	if (r < 0)
		(void)fprintf(stderr, "postrider: bench load: %s\n", strerror(-r));
	if (l) {
		payload_pool_free(l->pool);
		free(l->fates);
		tls_context_freep(&l->tls);
	}
	free(run.marks);
	free(l);
	return r < 0 && status == BENCH_OK ? BENCH_OS : status;
}
