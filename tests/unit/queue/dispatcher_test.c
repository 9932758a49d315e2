/* The dispatcher as a process, against the promises that it glues together: what was committed is
 * delivered or reported, once, whatever dies; doubles are named before they happen. */
#include "dispatcher_world.h"
#include "queue/dispatcher_limits.h"

#include "base/clock.h"
#include "ipc/spool_frames.h"
#include "queue/dispatcher.h"
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT  "Subject: hello\r\nMessage-ID: <1@x.test>\r\n\r\nbody\r\n"
#define LARGE 100000u

static bool all_kept(const struct world *w)
{
	for (unsigned i = 0; i < w->n_jobs; i++)
		if (!w->jobs[i].kept)
			return false;
	return true;
}

static bool queue_is_empty(struct world *w)
{
	world_admin(w, ADMIN_QUEUE_LIST, 0);
	return w->rows == 0;
}

/* ---- the straight way ---- */

static void straight(struct world *w)
{
	char *big = malloc(400000);
	for (size_t i = 0; i < 400000; i++)
		big[i] = (char)('a' + i % 26);
	world_mail(w, 0, "a@x.test", "u1@box.test", SPAN_LIT(TEXT), true);
	world_mail(w, 1, "a@x.test", "u2@far.test u3@far.test", SPAN_LIT(TEXT), true);
	world_mail(w, 1, "a@x.test", "u4@far.test", span_make(big, 400000), true);
	WAIT_FOR(w->n_jobs == 3 && all_kept(w));
	struct seen_job *j = job_to(w, "u1@box.test", 0);
	assert_int_equal(j->by, ROLE_MAILBOX);
	assert_string_equal(j->octets, TEXT);
	assert_string_equal(j->from, "a@x.test");
	assert_int_equal(job_to(w, "u2@far.test", 0)->n_rcpts, 2);
	assert_int_equal(job_to(w, "u2@far.test", 0)->by, ROLE_DELIVERER);
	j = job_to(w, "u4@far.test", 0);
	assert_int_equal(j->len, 400000);
	assert_memory_equal(j->octets, big, 400000);
	free(big);
	WAIT_FOR(queue_is_empty(w));
	assert_true(world_logged(w, "\"event\":\"delivered\""));
	assert_true(world_logged(w, "\"transfer\":"));
	assert_false(world_logged(w, "possible-duplicate"));
	int status = world_drain(w);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
static void dispatcher__delivers(void **state)
{
	(void)state;
	with_world(straight);
}

static void many(struct world *w)
{
	/* Several times what one segment of 1 MiB holds: sealed, recycled, forgotten. */
	static char body[20000];
	memset(body, 'x', sizeof(body));
	for (unsigned i = 0; i < 300; i++)
		world_mail(w, i % 2, "a@x.test", i % 3 ? "u@far.test" : "u@box.test",
			span_make(body, sizeof(body)), true);
	WAIT_FOR(w->n_jobs == 300 && all_kept(w));
	WAIT_FOR(queue_is_empty(w));
	DIR *d = opendir(w->folder);
	unsigned files = 0;
	while (readdir(d))
		files++;
	(void)closedir(d);
	assert_true(files < 40);
}
static void dispatcher__many_segments(void **state)
{
	(void)state;
	with_world(many);
}

/* ---- reports ---- */

static void refused(struct world *w)
{
	w->deliverer.habit = HABIT_REFUSE;
	uint64_t id = world_mail(w, 0, "sender@box.test", "u@far.test", SPAN_LIT(TEXT), true);
	world_mail(w, 0, "", "v@far.test", SPAN_LIT(TEXT), true);
	WAIT_FOR(job_to(w, "sender@box.test", 0));
	const struct seen_job *j = job_to(w, "sender@box.test", 0);
	assert_string_equal(j->from, "");
	static const char *const wants[] = {"Final-Recipient: rfc822; u@far.test\r\n",
		"Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n",
		"Remote-MTA: dns; mx.far.test\r\n", "Reporting-MTA: dns; mx.world.test\r\n",
		"\r\n\r\nSubject: hello\r\n", "In-Reply-To: <1@x.test>\r\n"};
	for (size_t i = 0; i < ARRAY_LEN(wants); i++)
		if (!strstr(j->octets, wants[i]))
			fail_msg("want %s in:\n%s", wants[i], j->octets);
	assert_null(strstr(j->octets, "body\r\n"));
	WAIT_FOR(queue_is_empty(w));
	assert_int_equal(jobs_of(w, id), 1);
	assert_int_equal(w->n_jobs, 3);
}
static void dispatcher__failure_is_reported(void **state)
{
	(void)state;
	with_world(refused);
}

static void unroutable(struct world *w)
{
	world_mail(w, 0, "sender@box.test", "u@no.test", SPAN_LIT(TEXT), true);
	WAIT_FOR(job_to(w, "sender@box.test", 0));
	assert_non_null(strstr(job_to(w, "sender@box.test", 0)->octets, "Status: 5.1.2\r\n"));
	WAIT_FOR(queue_is_empty(w));
}
static void dispatcher__unroutable_is_reported(void **state)
{
	(void)state;
	with_world(unroutable);
}

static void deferred(struct world *w)
{
	w->deliverer.habit = HABIT_DEFER;
	world_mail(w, 0, "a@x.test", "u@far.test", SPAN_LIT(TEXT), true);
	WAIT_FOR(job_to(w, "u@far.test", 0));
	w->deliverer.habit = HABIT_DELIVER;
	WAIT_FOR(job_to(w, "u@far.test", 1));
	assert_int_equal(job_to(w, "u@far.test", 1)->attempt, 2);
	assert_false(job_to(w, "u@far.test", 1)->suspect);
	WAIT_FOR(queue_is_empty(w));
}
static void dispatcher__deferred_is_tried_again(void **state)
{
	(void)state;
	with_world(deferred);
}

/* ---- deaths ---- */

static void restart_in_flight(struct world *w)
{
	w->deliverer.habit = HABIT_KEEP;
	world_mail(w, 0, "a@x.test", "u1@far.test", SPAN_LIT(TEXT), true);
	world_mail(w, 0, "a@x.test", "u2@far.test", SPAN_LIT(TEXT), true);
	WAIT_FOR(w->n_jobs == 2);
	world_kill(w);
	/* One ends while nobody listens. */
	w->jobs[0].answered = true;
	world_start(w);
	WAIT_FOR(w->deliverer.asked && w->jobs[0].kept);
	job_answer(w, &w->jobs[1], HABIT_DELIVER);
	WAIT_FOR(all_kept(w));
	WAIT_FOR(queue_is_empty(w));
	assert_int_equal(w->n_jobs, 2);
	assert_false(world_logged(w, "possible-duplicate"));
	/* And it still takes mail, into segments of its own. */
	w->deliverer.habit = HABIT_DELIVER;
	world_mail(w, 0, "a@x.test", "u3@far.test", SPAN_LIT(TEXT), true);
	WAIT_FOR(job_to(w, "u3@far.test", 0));
}
static void dispatcher__restart_asks_deliverers(void **state)
{
	(void)state;
	with_world(restart_in_flight);
}

static void all_die(struct world *w)
{
	w->deliverer.habit = HABIT_KEEP;
	world_mail(w, 0, "a@x.test", "u1@far.test", SPAN_LIT(TEXT), true);
	WAIT_FOR(w->n_jobs == 1);
	actor_die(&w->mailbox); /* u2 finds nobody */
	actor_die(&w->directory);
	world_mail(w, 1, "a@x.test", "u2@box.test", SPAN_LIT(TEXT), true);
	world_kill(w);
	actor_die(&w->deliverer);
	actor_die(&w->receivers[0]);
	actor_die(&w->receivers[1]);
	world_start(w);
	w->deliverer.habit = HABIT_DELIVER;
	actor_live(&w->directory);
	actor_live(&w->deliverer);
	actor_live(&w->mailbox);
	actor_live(&w->receivers[0]);
	WAIT_FOR(w->n_jobs == 3);
	assert_true(job_to(w, "u1@far.test", 1)->suspect);
	assert_false(job_to(w, "u2@box.test", 0)->suspect);
	assert_true(world_logged(w, "possible-duplicate"));
	assert_string_equal(job_to(w, "u2@box.test", 0)->octets, TEXT);
	WAIT_FOR(queue_is_empty(w));
}
static void dispatcher__all_die(void **state)
{
	(void)state;
	with_world(all_die);
}

static void deliverer_dies(struct world *w)
{
	w->deliverer.habit = HABIT_KEEP;
	world_mail(w, 0, "a@x.test", "u1@far.test", SPAN_LIT(TEXT), true);
	world_mail(w, 0, "a@x.test", "u2@far.test", SPAN_LIT(TEXT), true);
	WAIT_FOR(w->n_jobs == 2);
	job_dot(w, job_to(w, "u2@far.test", 0));
	(void)fiber_sleep(20 * USEC_PER_MSEC);
	actor_die(&w->deliverer);
	w->deliverer.habit = HABIT_DELIVER;
	actor_live(&w->deliverer);
	WAIT_FOR(w->n_jobs == 4);
	assert_false(job_to(w, "u1@far.test", 1)->suspect);
	assert_true(job_to(w, "u2@far.test", 1)->suspect);
	assert_true(world_logged(w, "possible-duplicate"));
	WAIT_FOR(queue_is_empty(w));
}
static void dispatcher__deliverer_dies(void **state)
{
	(void)state;
	with_world(deliverer_dies);
}

static void receiver_dies(struct world *w)
{
	/* Durable, and nobody was told. */
	world_mail(w, 0, "a@x.test", "u1@box.test", SPAN_LIT(TEXT), true);
	world_mail(w, 0, "a@x.test", "u2@box.test", SPAN_LIT(TEXT), false);
	actor_die(&w->receivers[0]);
	WAIT_FOR(w->n_jobs == 2);
	assert_non_null(job_to(w, "u2@box.test", 0));
	actor_live(&w->receivers[0]);
	world_mail(w, 0, "a@x.test", "u3@box.test", SPAN_LIT(TEXT), true);
	WAIT_FOR(w->n_jobs == 3);
	WAIT_FOR(queue_is_empty(w));
}
static void dispatcher__receiver_dies(void **state)
{
	(void)state;
	with_world(receiver_dies);
}

static void checkpoint(struct world *w)
{
	const unsigned n = 1500;

	/* More entries than two ledger segments hold. */
	w->deliverer.habit = HABIT_DEFER;
	world_mail_many(w, n, "a@x.test",
		"a@far.test b@far.test c@far.test d@far.test e@far.test f@far.test g@far.test "
		"h@far.test i@far.test j@far.test k@far.test l@far.test m@far.test n@far.test",
		SPAN_LIT(TEXT));
	WAIT_FOR(world_logged(w, "\"checkpoint\""));
	w->deliverer.habit = HABIT_KEEP;
	(void)fiber_sleep(100 * USEC_PER_MSEC);
	world_kill(w);
	world_start(w);
	world_admin(w, ADMIN_QUEUE_LIST, 0);
	assert_int_equal(w->rows, n);
	w->deliverer.habit = HABIT_DELIVER;
	for (unsigned i = 0; i < w->n_jobs; i++)
		if (!w->jobs[i].answered)
			job_answer(w, &w->jobs[i], HABIT_DELIVER);
	WAIT_FOR(queue_is_empty(w));
	world_kill(w);
	world_start(w);
	assert_true(queue_is_empty(w));
	assert_false(world_logged(w, "possible-duplicate"));
	assert_false(world_logged(w, "spool-damaged"));
}
static void dispatcher__checkpoint(void **state)
{
	(void)state;
	with_world(checkpoint);
}

/* One held message among many that are gone: it is moved out of its segment, before a restart or
 * after it, and is what it was. */
static void compaction(struct world *w)
{
	char *large = malloc(LARGE + 1);

	assert_non_null(large);
	memset(large, 'x', LARGE);
	w->deliverer.habit = HABIT_DEFER;
	uint64_t id = world_mail(w, 0, "a@x.test", "held@far.test", SPAN_LIT(TEXT), true);
	WAIT_FOR(w->n_jobs == 1 && all_kept(w));
	world_admin(w, ADMIN_QUEUE_HOLD, id);
	w->deliverer.habit = HABIT_DELIVER;
	world_mail_many(w, 40, "a@x.test", "u@far.test", span_make(large, LARGE));
	WAIT_FOR(w->n_jobs == 41 && all_kept(w));
	for (unsigned i = 0; i < 2; i++) {
		WAIT_FOR(world_logged(w, "\"compacted\""));
		world_kill(w);
		world_start(w);
		world_admin(w, ADMIN_QUEUE_LIST, 0);
		assert_int_equal(w->rows, 1);
	}
	world_admin(w, ADMIN_QUEUE_RELEASE, id);
	WAIT_FOR(w->n_jobs == 42 && all_kept(w));
	assert_int_equal(w->jobs[41].message, id);
	assert_string_equal(w->jobs[41].octets, TEXT);
	WAIT_FOR(queue_is_empty(w));
	world_kill(w);
	world_start(w);
	assert_true(queue_is_empty(w));
	assert_false(world_logged(w, "possible-duplicate"));
	assert_false(world_logged(w, "spool-damaged"));
	free(large);
}
static void dispatcher__compaction(void **state)
{
	(void)state;
	with_world(compaction);
}

static void backlog(struct world *w)
{
	const unsigned n = 10000;
	uint64_t begin = clock_monotonic_usec();

	actor_die(&w->deliverer);
	world_mail_many(w, n, "a@x.test", "u@far.test", SPAN_LIT(TEXT));
	world_kill(w);
	world_start(w);
	world_admin(w, ADMIN_QUEUE_LIST, 0);
	assert_int_equal(w->rows, n);
	w->deliverer.habit = HABIT_DELIVER;
	actor_live(&w->deliverer);
	WAIT_FOR(w->n_jobs > n / 2);
	world_kill(w);
	world_start(w);
	WAIT_FOR(w->n_jobs >= n && all_kept(w));
	WAIT_FOR(queue_is_empty(w));
	/* None twice but those that were named. */
	assert_true(w->n_jobs == n || world_logged(w, "possible-duplicate"));
	print_message("%u messages in %u ms, %u jobs\n", n,
		(unsigned)((clock_monotonic_usec() - begin) / 1000), w->n_jobs);
	world_kill(w);
	world_start(w);
	assert_true(queue_is_empty(w));
}
static void dispatcher__backlog(void **state)
{
	(void)state;
	with_world(backlog);
}

/* However much there is to sync, it is begun at most once in so long; and what waits is not
 * forgotten. Time that passes only makes the bound wider. */
static void paced(struct world *w)
{
	const unsigned n = 10000;
	uint64_t begin = clock_monotonic_usec(), before = w->stats->spool_commits_total;

	world_mail_many(w, n, "a@x.test", "u1@far.test", SPAN_LIT(TEXT));
	WAIT_FOR(w->n_jobs == n && all_kept(w));
	uint64_t syncs = w->stats->spool_commits_total - before;
	uint64_t most = (clock_monotonic_usec() - begin) / LEDGER_PACE_USEC + 2;
	print_message("%u messages, %llu syncs of at most %llu\n", n, (unsigned long long)syncs,
		(unsigned long long)most);
	assert_in_range(syncs, 1, most);
	/* A single one does not wait for company. */
	world_mail(w, 0, "a@x.test", "u2@far.test", SPAN_LIT(TEXT), true);
	WAIT_FOR(w->n_jobs == n + 1 && all_kept(w));
	WAIT_FOR(queue_is_empty(w));
}
static void dispatcher__paces_syncs_of_the_ledger(void **state)
{
	(void)state;
	/* In memory, where a sync takes no time: it is the pause that bounds their number. */
	with_world_in("/dev/shm", paced);
}

static unsigned long resident_pages(const struct world *w)
{
	char path[64];
	unsigned long size = 0, resident = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)w->pid);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &size, &resident), 2);
	(void)fclose(f);
	return resident;
}

static void given_back(struct world *w)
{
	const unsigned n = 16000;
	unsigned long empty = resident_pages(w);

	actor_die(&w->deliverer);
	world_mail_many(w, n, "a@x.test", "u1@far.test", SPAN_LIT(TEXT));
	WAIT_FOR(w->stats->queue_messages == n);
	unsigned long most = resident_pages(w);
	print_message("pages: %lu, then %lu with %u messages\n", empty, most, n);
	actor_live(&w->deliverer);
	WAIT_FOR(w->n_jobs == n && all_kept(w));
	/* Heaps of sanitizers and valgrind are theirs. */
	if (mallinfo2().uordblks)
		WAIT_FOR(resident_pages(w) < empty + (most - empty) / 2);
}
static void dispatcher__gives_memory_back(void **state)
{
	(void)state;
	with_world(given_back);
}

static void drain_in_flight(struct world *w)
{
	w->deliverer.habit = HABIT_KEEP;
	world_mail(w, 0, "a@x.test", "u1@far.test", SPAN_LIT(TEXT), true);
	WAIT_FOR(w->n_jobs == 1);
	world_send_u64(w->supervisor, FRAME_DRAIN, 5 * USEC_PER_SEC);
	world_mail(w, 0, "a@x.test", "u2@far.test", SPAN_LIT(TEXT), true);
	(void)fiber_sleep(50 * USEC_PER_MSEC);
	assert_false(w->closed);
	job_answer(w, &w->jobs[0], HABIT_DELIVER);
	WAIT_FOR(w->closed);
	assert_true(w->jobs[0].kept);
	assert_int_equal(w->n_jobs, 1);
	world_reap(w);
	w->deliverer.habit = HABIT_DELIVER;
	world_start(w);
	WAIT_FOR(w->n_jobs == 2 && all_kept(w));
	assert_false(world_logged(w, "possible-duplicate"));
}
static void dispatcher__drain_awaits_outcomes(void **state)
{
	(void)state;
	with_world(drain_in_flight);
}

/* ---- untrusted peers, damaged disks ---- */

static void send_notice(struct world *w, unsigned receiver, struct commit_notice n)
{
	struct buf b = BUF_INIT(256);

	commit_notice_encode(&n, &b);
	assert_int_equal(channel_send(w->receivers[receiver].channel, FRAME_COMMITTED, buf_span(&b),
				 NULL, 0),
		0);
	buf_done(&b);
}

static void lies(struct world *w)
{
	uint64_t id = world_mail(w, 0, "a@x.test", "u1@box.test", SPAN_LIT(TEXT), true);
	uint64_t sequence = id >> 24;
	WAIT_FOR(w->n_jobs == 1);
	/* Another's segment; no record; no segment; a wild offset. */
	send_notice(w, 1, (struct commit_notice){id, sequence, 4096, 100});
	send_notice(w, 0, (struct commit_notice){id + 1, sequence, 4096, 100});
	send_notice(w, 0, (struct commit_notice){id, sequence + 1000, 4096, 100});
	send_notice(w, 0, (struct commit_notice){id, sequence, UINT64_MAX - 63, UINT32_MAX});
	send_notice(w, 0, (struct commit_notice){id, sequence, 0, 128});
	WAIT_FOR(world_logged(w, "spool-damaged"));
	world_mail(w, 1, "a@x.test", "u2@box.test", SPAN_LIT(TEXT), true);
	WAIT_FOR(w->n_jobs == 2);
	WAIT_FOR(queue_is_empty(w));
}
static void dispatcher__notices_are_not_believed(void **state)
{
	(void)state;
	with_world(lies);
}

/* Where `words` stand first in a segment file: its name, which the caller frees. */
static char *find_words(const struct world *w, const char *words, off_t *ret_at)
{
	static char octets[1 << 20];
	DIR *d = opendir(w->folder);
	const struct dirent *e;
	char *name = NULL;

	while (!name && (e = readdir(d))) {
		int fd = openat(w->folder_fd, e->d_name, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? 0 : read(fd, octets, sizeof(octets));
		const char *at = n > 0 ? memmem(octets, (size_t)n, words, strlen(words)) : NULL;
		if (at) {
			*ret_at = at - octets;
			name = strdup(e->d_name);
		}
		fd_close(fd);
	}
	(void)closedir(d);
	assert_non_null(name);
	return name;
}

static void flip(const struct world *w, const char *words)
{
	off_t at;
	char *name = find_words(w, words, &at), c = (char)(words[0] ^ 1);
	int fd = openat(w->folder_fd, name, O_RDWR | O_CLOEXEC);

	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	fd_close(fd);
	free(name);
}

static void damage(struct world *w)
{
	actor_die(&w->mailbox);
	world_mail(w, 0, "a@x.test", "u1@box.test", SPAN_LIT("Subject: one-one-one\r\n\r\n"), true);
	world_mail(w, 0, "a@x.test", "u2@box.test", SPAN_LIT("Subject: two-two-two\r\n\r\n"), true);
	world_kill(w);
	actor_die(&w->receivers[0]);
	actor_die(&w->receivers[1]);
	flip(w, "one-one-one");
	world_start(w);
	actor_live(&w->mailbox);
	WAIT_FOR(job_to(w, "u2@box.test", 0));
	assert_true(world_logged(w, "spool-damaged"));
	assert_null(job_to(w, "u1@box.test", 0));
	world_admin(w, ADMIN_QUEUE_LIST, 0);
	assert_int_equal(w->rows, 1);
	assert_string_equal(w->states, "held");
}
static void dispatcher__damage_is_reported(void **state)
{
	(void)state;
	with_world(damage);
}

/* The segment that a large message begins in is gone: it is held, and all others go. */
static void lost_segment(struct world *w)
{
	const size_t len = 1500000; /* more than a segment holds */
	char *large = malloc(len);
	off_t at;

	assert_non_null(large);
	memset(large, 'x', len);
	memcpy(large, "it-begins-here", 14);
	actor_die(&w->mailbox);
	world_mail(w, 0, "a@x.test", "u1@box.test", span_make(large, len), true);
	world_mail(w, 0, "a@x.test", "u2@box.test", SPAN_LIT(TEXT), true);
	world_kill(w);
	actor_die(&w->receivers[0]);
	actor_die(&w->receivers[1]);
	char *name = find_words(w, "it-begins-here", &at);
	assert_int_equal(unlinkat(w->folder_fd, name, 0), 0);
	world_start(w);
	actor_live(&w->mailbox);
	WAIT_FOR(job_to(w, "u2@box.test", 0));
	WAIT_FOR((world_admin(w, ADMIN_QUEUE_LIST, 0), w->rows == 1));
	assert_string_equal(w->states, "held");
	assert_null(job_to(w, "u1@box.test", 0));
	world_admin(w, ADMIN_QUEUE_DROP, w->last_id);
	WAIT_FOR(queue_is_empty(w));
	world_kill(w);
	world_start(w);
	assert_true(queue_is_empty(w));
	free(name);
	free(large);
}
static void dispatcher__lost_segment_holds_its_message(void **state)
{
	(void)state;
	with_world(lost_segment);
}

/* ---- the operator ---- */

static void operator(struct world *w)
{
	w->deliverer.habit = HABIT_DEFER;
	for (unsigned i = 0; i < 500; i++)
		world_mail(w, 0, "a@x.test", "u@far.test", SPAN_LIT(TEXT), true);
	uint64_t id = world_mail(w, 0, "a@x.test", "v@far.test", SPAN_LIT(TEXT), true);
	world_admin(w, ADMIN_QUEUE_LIST, 0);
	assert_int_equal(w->rows, 501);
	assert_int_equal(w->count, 501);
	world_admin(w, ADMIN_QUEUE_HOLD, id);
	assert_int_equal(w->count, 1);
	WAIT_FOR(job_to(w, "v@far.test", 0) == NULL || job_to(w, "v@far.test", 0)->kept);
	world_admin(w, ADMIN_QUEUE_SHOW, id);
	assert_int_equal(w->rows, 1);
	assert_string_equal(w->states, "held");
	world_admin(w, ADMIN_QUEUE_DROP, id);
	assert_int_equal(w->count, 1);
	w->deliverer.habit = HABIT_DELIVER;
	world_admin(w, ADMIN_QUEUE_RETRY, 0);
	WAIT_FOR(queue_is_empty(w));
}
static void dispatcher__operator(void **state)
{
	(void)state;
	with_world(operator);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--dispatcher") == 0)
		return role_main(&dispatcher_role, 0);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dispatcher__delivers),
		cmocka_unit_test(dispatcher__many_segments),
		cmocka_unit_test(dispatcher__failure_is_reported),
		cmocka_unit_test(dispatcher__unroutable_is_reported),
		cmocka_unit_test(dispatcher__deferred_is_tried_again),
		cmocka_unit_test(dispatcher__restart_asks_deliverers),
		cmocka_unit_test(dispatcher__all_die),
		cmocka_unit_test(dispatcher__deliverer_dies),
		cmocka_unit_test(dispatcher__receiver_dies),
		cmocka_unit_test(dispatcher__checkpoint),
		cmocka_unit_test(dispatcher__compaction),
		cmocka_unit_test(dispatcher__backlog),
		cmocka_unit_test(dispatcher__paces_syncs_of_the_ledger),
		cmocka_unit_test(dispatcher__gives_memory_back),
		cmocka_unit_test(dispatcher__drain_awaits_outcomes),
		cmocka_unit_test(dispatcher__notices_are_not_believed),
		cmocka_unit_test(dispatcher__damage_is_reported),
		cmocka_unit_test(dispatcher__lost_segment_holds_its_message),
		cmocka_unit_test(dispatcher__operator),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
