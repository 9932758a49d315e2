/* A period is a day, UTC (RFC 8460 4.1), or what an operator cut off of one by `tlsrpt send
 * --today`. It is a file from its first minute to its last report, written as a whole by a
 * temporary name: a crash costs what was counted since, and never more than SAVE_LARGE_USEC.
 *
 * Days are spread: all senders of the world end theirs at the same second, and a receiver of
 * reports should not meet them all at once. The place in the spread is the host's own, the same
 * every day. */
#include "tlsrpt/reporter_internal.h"

#include "base/log.h"
#include "base/siphash.h"
#include "base/stats.h"
#include "fiber/offload.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_OCTETS_MAX (2u * COUNTS_OCTETS_MAX)
#define FILE_PREFIX	"period-"
#define FILE_NAME_MAX	40u

uint64_t periods_due(uint64_t end_sec, uint64_t delay_usec, struct span hostname)
{
	uint64_t lot = siphash((struct siphash_key){0x746c73, 0x727074}, hostname);
	return end_sec * USEC_PER_SEC + (delay_usec ? lot % delay_usec : 0);
}

static uint64_t due_of(const struct reporter *r, const struct counts *t)
{
	const struct config *c = role_config(r->process);
	uint64_t due = periods_due(t->end_sec, c->tlsrpt.delay, span_str(c->hostname));
	uint64_t latest = reporter_now() + c->tlsrpt.delay;
	return MIN(due, latest); /* a clock that was ahead must not hold it back for years */
}

static void file_name(const struct counts *t, char *out)
{
	(void)snprintf(out, FILE_NAME_MAX, FILE_PREFIX "%llu", (unsigned long long)t->begin_sec);
}

static void closed_free(struct reporter *r, struct closed *c)
{
	list_remove(&c->node);
	r->n_closed--;
	counts_free(c->counts);
	free(c);
}

static int add_closed(struct reporter *r, struct counts *t)
{
	struct closed *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->counts = t;
	c->due_usec = due_of(r, t);
	list_push_back(&r->closed, &c->node);
	r->n_closed++;
	return 0;
}

static int begin_period(struct reporter *r, uint64_t at_sec)
{
	return counts_new(at_sec, (at_sec / DAY_SEC + 1) * DAY_SEC, &r->now);
}

int periods_close(struct reporter *r, uint64_t at_sec)
{
	struct counts *old = r->now;
	if (old->n == 0 || old->begin_sec >= at_sec)
		return 0;
	int e = begin_period(r, at_sec);
	if (e < 0)
		return e;
	old->end_sec = MIN(old->end_sec, at_sec);
	old->dirty = true;
	e = add_closed(r, old);
	if (e < 0) {
		counts_free(r->now);
		r->now = old;
		return e;
	}
	struct log_line *l = log_begin(LOG_LEVEL_INFO, "tlsrpt-period-closed");
	log_u64(l, "domains", old->n);
	log_u64(l, "lost", old->lost);
	log_end(l);
	return 0;
}

/* ---- files ---- */

struct saving {
	int folder;
	char name[FILE_NAME_MAX];
	struct buf octets; /* none: the file goes */
};

static int save_work(void *arg)
{
	struct saving *s = arg;
	if (s->octets.len > 0)
		return outbox_write(s->folder, s->name, buf_span(&s->octets));
	return unlinkat(s->folder, s->name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static void say_unsaved(int e)
{
	struct log_line *l = log_begin(LOG_LEVEL_ERROR, "tlsrpt-not-saved");
	log_errno(l, e);
	log_end(l);
}

/* Empty: its file goes. The counts may change while the thread writes: then it is dirty again. */
SUSPENDS static int save(const struct reporter *r, struct counts *t)
{
	struct saving s = {.folder = r->folder, .octets = BUF_INIT(FILE_OCTETS_MAX)};
	file_name(t, s.name);
	if (t->n > 0)
		counts_encode(t, &s.octets);
	t->dirty = false;
	int e = s.octets.error ? s.octets.error : offload_call(save_work, &s);
	buf_done(&s.octets);
	if (e < 0)
		say_unsaved(e);
	return e;
}

static void roll_over(struct reporter *r)
{
	uint64_t now = reporter_now() / USEC_PER_SEC;
	if (now < r->now->end_sec)
		return;
	/* The new day begins at midnight, even if nobody looked at the clock right then. */
	uint64_t midnight = now / DAY_SEC * DAY_SEC;
	int e = 0;
	if (r->now->n > 0) {
		e = periods_close(r, midnight);
	} else {
		r->now->begin_sec = midnight;
		r->now->end_sec = midnight + DAY_SEC;
	}
	if (e < 0)
		say_unsaved(e);
}

static bool has_busy(const struct counts *t)
{
	list_foreach (it, &t->domains)
		if (CONTAINER_OF(it, struct counts_domain, node)->busy)
			return true;
	return false;
}

static struct closed *next_ended(struct reporter *r)
{
	list_foreach (it, &r->closed) {
		struct closed *c = CONTAINER_OF(it, struct closed, node);
		if (c->counts->n == 0 || (r->n_closed > CLOSED_MAX && !has_busy(c->counts)))
			return c;
	}
	return NULL;
}

static struct closed *next_dirty(struct reporter *r)
{
	list_foreach (it, &r->closed) {
		struct closed *c = CONTAINER_OF(it, struct closed, node);
		if (c->counts->dirty)
			return c;
	}
	return NULL;
}

SUSPENDS static void save_all(struct reporter *r)
{
	struct closed *c;
	/* This fiber alone frees closed periods, so that one is still there behind the wait. */
	for (unsigned i = 0; i <= CLOSED_MAX && (c = next_dirty(r)) != NULL; i++)
		if (save(r, c->counts) < 0)
			return;
	if (r->now->dirty) {
		struct counts *t = r->now;
		if (save(r, t) < 0 && r->now == t)
			t->dirty = true;
	}
}

void periods_turn(struct reporter *r, bool at_once)
{
	struct closed *c;
	roll_over(r);
	while ((c = next_ended(r)) != NULL) {
		while (!list_empty(&c->counts->domains))
			counts_remove(c->counts,
				CONTAINER_OF(c->counts->domains.next, struct counts_domain, node));
		(void)save(r, c->counts);
		closed_free(r, c);
	}
	if (!at_once && loop_now_usec() < r->save_usec)
		return;
	save_all(r);
	r->save_usec =
		loop_now_usec() + (r->now->octets > SAVE_LARGE ? SAVE_LARGE_USEC : SAVE_USEC);
}

/* ---- at start ---- */

static void say_damaged(const char *name, int e)
{
	struct log_line *l = log_begin(LOG_LEVEL_WARN, "tlsrpt-results-lost");
	log_str(l, "file", name);
	log_errno(l, e);
	log_end(l);
}

static void drop_file(const struct reporter *r, const char *name)
{
	if (unlinkat(r->folder, name, 0) < 0)
		say_damaged(name, -errno);
}

static int load_period(struct reporter *r, const char *name)
{
	struct buf b = BUF_INIT(FILE_OCTETS_MAX);
	struct counts *t = NULL;
	int fd = openat(r->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int e = fd < 0 ? -errno : buf_read_fd(&b, fd);
	fd_close(fd);
	if (e == 0)
		e = counts_decode(buf_span(&b), &t);
	buf_done(&b);
	if (e < 0) {
		say_damaged(name, e);
		drop_file(r, name);
		return e == -ENOMEM ? e : 0;
	}
	uint64_t now = reporter_now() / USEC_PER_SEC;
	/* The running day goes on; of two (an operator cut it off) the later one. */
	if (t->begin_sec <= now && now < t->end_sec &&
		(!r->now || r->now->begin_sec < t->begin_sec)) {
		struct counts *other = r->now;
		r->now = t;
		t = other;
	}
	e = t ? add_closed(r, t) : 0;
	if (e < 0)
		counts_free(t);
	return e;
}

static int load_report(struct reporter *r, struct span name)
{
	struct outbox_report *report = NULL;
	int e = r->n_reports < OUTBOX_REPORTS_MAX ? outbox_load(r->folder, name, &report) : -ENOSPC;
	if (e < 0)
		return e;
	list_push_back(&r->reports, &report->node);
	r->n_reports++;
	return 0;
}

static bool has_state(const struct reporter *r, struct span name)
{
	char file[FILE_NAME_MAX];
	(void)snprintf(file, sizeof(file), "%.*s.state", SPAN_FMT(span_head(name, 16)));
	int fd = openat(r->folder, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	fd_close(fd);
	return fd >= 0;
}

static int load_file(struct reporter *r, const char *name, bool bodies)
{
	struct span s = span_str(name);
	size_t dot = span_index(s, '.');
	bool body = span_equal(span_from(s, dot), SPAN_LIT(".json.gz"));
	bool half_written = name[0] == '.' && name[1] && name[1] != '.';
	if (bodies && (half_written || (body && !has_state(r, span_head(s, dot)))))
		drop_file(r, name);
	if (bodies || body)
		return 0;
	if (strncmp(name, FILE_PREFIX, strlen(FILE_PREFIX)) == 0)
		return load_period(r, name);
	if (!span_equal(span_from(s, dot), SPAN_LIT(".state")))
		return 0;
	int e = load_report(r, span_head(s, dot));
	if (e < 0 && e != -ENOMEM) {
		say_damaged(name, e);
		drop_file(r, name);
		e = 0;
	}
	return e;
}

/* States first, then what has none. */
static int scan(struct reporter *r, bool bodies)
{
	int fd = openat(r->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), e = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		e = -errno;
		fd_close(fd);
		return e;
	}
	for (struct dirent *entry; e == 0 && (entry = readdir(d)) != NULL;)
		e = load_file(r, entry->d_name, bodies);
	(void)closedir(d);
	return e;
}

int periods_load(struct reporter *r)
{
	int e = r->folder < 0 ? 0 : scan(r, false);
	if (e == 0 && r->folder >= 0)
		e = scan(r, true);
	if (e == 0 && !r->now)
		e = begin_period(r, reporter_now() / USEC_PER_SEC / DAY_SEC * DAY_SEC);
	STATS_SET(tlsrpt_reports, r->n_reports);
	return e;
}

void periods_free(struct reporter *r)
{
	list_foreach_safe (it, tmp, &r->closed)
		closed_free(r, CONTAINER_OF(it, struct closed, node));
	list_foreach_safe (ir, tmp2, &r->reports) {
		list_remove(ir);
		outbox_report_free(CONTAINER_OF(ir, struct outbox_report, node));
	}
	counts_free(TAKE(r->now));
}
