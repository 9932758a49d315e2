/* RFC 8461 3 and 5.1. For each delivery the TXT record is asked (the resolver keeps it); a new id,
 * or a policy grown old, has the file fetched. What is in force:
 *
 * - A policy once fetched holds until its max_age is over, whatever becomes of the record or the
 *   HTTPS host: an attacker who suppresses either gains nothing (5.1).
 * - Without one in force, a failed fetch means delivery as without MTA-STS (3.3), and no new try
 * for five minutes: a broken HTTPS host costs one wait, and other domains nothing. At most
 *   STS_FETCHES_MAX run at once, each bounded in time; who would wait longer for a turn goes
 * without.
 *
 * Policies are kept in memory and, so that a restart forgets nothing, in a file each: id, times and
 * the text as fetched. The file's name is the domain's, which is checked to be one. Several
 * processes share the folder: files are replaced whole, by rename. Damage is a miss. */
#include "deliver/sts.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/map.h"
#include "deliver/sts_fetch.h"
#include "fiber/offload.h"
#include "ipc/addresses.h"
#include "net/https.h"

#define FILE_HEAD_MAX 128u
#define DOMAIN_MAX    253u
#define WEEK_SEC      (7u * 24u * 3600u)

struct entry {
	char *domain;
	char id[STS_ID_MAX + 1];
	char *text; /* NULL: no policy */
	size_t len;
	uint64_t fetched_sec, until_sec; /* wall */
	uint64_t retry_usec;		 /* no fetch before */
	enum sts_problem problem;
	char why[256];
	bool busy, loaded;
	unsigned users; /* fibers that hold the pointer across a wait */
	struct cond idle;
};
struct sts {
	int folder;
	struct roots *roots;
	struct map *entries;
	unsigned fetching;
	struct cond slot;
};

int sts_new(int folder, struct sts **ret_sts)
{
	struct sts *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->folder = folder;
	s->entries = map_new(0);
	cond_init(&s->slot);
	if (!s->entries) {
		free(s);
		return -ENOMEM;
	}
	*ret_sts = s;
	return 0;
}

static void entry_free(struct entry *e)
{
	free(e->domain);
	free(e->text);
	free(e);
}

void sts_free(struct sts *s)
{
	if (!s)
		return;
	size_t cursor = 0;
	struct entry *e;
	while ((e = map_next(s->entries, &cursor)) != NULL)
		entry_free(e);
	map_free(s->entries);
	roots_unref(s->roots);
	free(s);
}

void sts_set_roots(struct sts *s, struct roots *roots)
{
	roots_unref(s->roots);
	s->roots = roots_ref(roots);
}

static void make_room(struct sts *s)
{
	size_t cursor = 0;
	struct entry *e;
	while (map_count(s->entries) >= STS_CACHE_MAX &&
		(e = map_next(s->entries, &cursor)) != NULL) {
		if (e->users > 0)
			continue;
		(void)map_remove(s->entries, span_str(e->domain));
		entry_free(e);
	}
}

/* Lower case letters, digits, "-", "_" and inner dots: also a safe file name. */
static bool is_plain_domain(struct span d)
{
	if (d.len == 0 || d.len > DOMAIN_MAX || d.ptr[0] == '.')
		return false;
	for (size_t i = 0; i < d.len; i++) {
		char c = d.ptr[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
			    c == '.'))
			return false;
	}
	return true;
}

static struct entry *entry_get(struct sts *s, struct span domain)
{
	struct entry *e = map_get(s->entries, domain);
	if (e)
		return e;
	make_room(s);
	e = calloc(1, sizeof(*e));
	if (!e || !(e->domain = strndup(domain.ptr, domain.len)) ||
		map_put(s->entries, span_str(e->domain), e) < 0) {
		if (e)
			free(e->domain);
		free(e);
		return NULL;
	}
	cond_init(&e->idle);
	return e;
}

/* ---- the file; on a thread ---- */

struct stored {
	int folder;
	const char *domain;
	char id[STS_ID_MAX + 1];
	uint64_t fetched_sec, until_sec;
	struct buf text;
};

static int store_load(void *arg)
{
	struct stored *f = arg;
	CLEANUP(fd_closep)
	int fd = openat(f->folder, f->domain, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char head[FILE_HEAD_MAX + 1];
	if (fd < 0)
		return -errno;
	ssize_t n = pread(fd, head, FILE_HEAD_MAX, 0);
	if (n <= 0)
		return -EIO;
	head[n] = '\0';
	char *end = strchr(head, '\n');
	unsigned long long fetched, until;
	if (!end || sscanf(head, "sts1 %32[A-Za-z0-9] %llu %llu", f->id, &fetched, &until) != 3)
		return -EBADMSG;
	f->fetched_sec = fetched;
	f->until_sec = until;
	off_t at = end + 1 - head;
	for (;;) {
		char *p = buf_reserve(&f->text, 4096);
		if (!p)
			return f->text.error;
		n = pread(fd, p, 4096, at);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		f->text.len += (size_t)n;
		at += n;
	}
}

static int store_save(const struct stored *f)
{
	char name[DOMAIN_MAX + 32];
	/* A dot first: no domain begins so. */
	(void)snprintf(name, sizeof(name), ".%d.%s", (int)getpid(), f->domain);
	CLEANUP(fd_closep)
	int fd = openat(
		f->folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct buf b = BUF_INIT(STS_POLICY_MAX + FILE_HEAD_MAX);
	if (fd < 0)
		return -errno;
	buf_printf(&b, "sts1 %s %llu %llu\n", f->id, (unsigned long long)f->fetched_sec,
		(unsigned long long)f->until_sec);
	buf_put(&b, buf_span(&f->text));
	bool whole = !b.error && write(fd, b.ptr, b.len) == (ssize_t)b.len;
	buf_done(&b);
	if (whole && renameat(f->folder, name, f->folder, f->domain) == 0)
		return 0;
	(void)unlinkat(f->folder, name, 0);
	return -EIO;
}

static uint64_t now_sec(void)
{
	return loop_wall_usec() / USEC_PER_SEC;
}

static void entry_take(struct entry *e, struct stored *f)
{
	free(e->text);
	e->len = f->text.len;
	e->text = TAKE(f->text.ptr);
	f->text = BUF_INIT(STS_POLICY_MAX);
	memcpy(e->id, f->id, sizeof(e->id));
	e->fetched_sec = f->fetched_sec;
	e->until_sec = f->until_sec;
}

SUSPENDS static void entry_load(struct sts *s, struct entry *e)
{
	struct stored f = {
		.folder = s->folder, .domain = e->domain, .text = BUF_INIT(STS_POLICY_MAX + 4096)};
	if (s->folder >= 0 && offload_call(store_load, &f) >= 0 && f.until_sec > now_sec())
		entry_take(e, &f);
	buf_done(&f.text);
	e->loaded = true;
}

/* ---- fetching ---- */

struct job_fetch {
	struct sts_fetch fetch;
	struct stored stored;
	struct arena *arena; /* of the parse on the thread */
};

static int fetch_work(void *arg)
{
	struct job_fetch *j = arg;
	struct sts_policy policy;
	const char *why = NULL;
	int r = sts_fetch_run(&j->fetch);
	if (r < 0)
		return r;
	r = sts_policy_parse(buf_span(&j->fetch.body), j->arena, &policy, &why);
	if (r < 0) {
		(void)snprintf(j->fetch.why, sizeof(j->fetch.why), "%s", why ? why : "no memory");
		return r;
	}
	j->stored.until_sec = j->stored.fetched_sec + policy.max_age;
	j->stored.text = j->fetch.body;
	j->fetch.body = BUF_INIT(STS_POLICY_MAX);
	if (j->stored.folder >= 0 && store_save(&j->stored) < 0) {
		/* It is in memory; a restart has to fetch it again. */
	}
	return 0;
}

static void fetch_failed(struct entry *e, enum sts_problem problem, const char *why)
{
	e->problem = problem;
	(void)snprintf(e->why, sizeof(e->why), "%s", why);
	e->retry_usec = loop_now_usec() + STS_RETRY_USEC;
}

SUSPENDS static void fetch_now(
	struct sts *s, struct entry *e, struct span id, const struct addresses *at)
{
	struct job_fetch j = {
		.fetch = {.domain = e->domain,
			.addresses = at->list,
			.n_addresses = at->n,
			.timeout_usec = STS_FETCH_USEC,
			.body = BUF_INIT(STS_POLICY_MAX)},
		.stored = {.folder = s->folder, .domain = e->domain, .fetched_sec = now_sec()},
		.arena = arena_new(256 * 1024),
	};
	struct buf roots = BUF_INIT(ROOTS_FILE_MAX + BUF_READ_STEP);
	int r = s->roots ? roots_read(s->roots, &roots) : 0;
	j.fetch.roots = buf_span(&roots);
	memcpy(j.stored.id, id.ptr, MIN(id.len, (size_t)STS_ID_MAX));
	if (r >= 0)
		r = j.arena ? offload_call(fetch_work, &j) : -ENOMEM;
	if (r < 0) {
		fetch_failed(e,
			j.fetch.webpki	? STS_WEBPKI
			: r == -EBADMSG ? STS_BROKEN
					: STS_FETCH_FAILED,
			j.fetch.why);
	} else {
		entry_take(e, &j.stored);
		e->problem = STS_FINE;
		e->why[0] = '\0';
		e->retry_usec = loop_now_usec() + STS_RETRY_USEC;
	}
	buf_done(&j.fetch.body);
	buf_done(&j.stored.text);
	buf_done(&roots);
	arena_free(j.arena);
}

SUSPENDS static int fetch_in_turn(struct sts *s, struct resolve_client *resolver, struct entry *e,
	struct span id, struct arena *a)
{
	struct buf host = BUF_INIT(DOMAIN_MAX + 16);
	struct addresses *at = arena_alloc(a, sizeof(*at));
	buf_printf(&host, "mta-sts.%s", e->domain);
	struct span name = host.error ? SPAN_NULL : arena_span(a, buf_span(&host));
	buf_done(&host);
	if (!at || !name.ptr)
		return -ENOMEM;
	int r = addresses_find(resolver, name, 443, a, at);
	if (r < 0)
		return r;
	if (at->n == 0) {
		fetch_failed(e, STS_FETCH_FAILED, "mta-sts has no address");
		return 0;
	}
	uint64_t patience = loop_now_usec() + STS_QUEUE_USEC;
	while (s->fetching >= STS_FETCHES_MAX) {
		r = cond_wait(&s->slot, patience);
		if (r == -ETIMEDOUT) {
			fetch_failed(e, STS_FETCH_FAILED, "too many fetches at once");
			e->retry_usec = 0;
			return 0;
		}
		if (r < 0)
			return r;
	}
	s->fetching++;
	fetch_now(s, e, id, at);
	s->fetching--;
	cond_signal(&s->slot);
	return 0;
}

static bool in_force(const struct entry *e)
{
	return e->text && e->until_sec > now_sec();
}

/* 3.3, 5.1: a new id, or a policy that has grown old (half its life, at most a week); never twice
 * in five minutes. */
static bool wants_fetch(const struct entry *e, struct span id)
{
	if (loop_now_usec() < e->retry_usec)
		return false;
	if (!in_force(e) || !span_equal(id, span_str(e->id)))
		return true;
	uint64_t half = (e->until_sec - e->fetched_sec) / 2;
	return now_sec() > e->fetched_sec + MIN(half, (uint64_t)WEEK_SEC);
}

SUSPENDS static int entry_lock(struct entry *e)
{
	while (e->busy) {
		int r = cond_wait(&e->idle, USEC_INFINITY); /* its holder is bounded */
		if (r < 0)
			return r;
	}
	e->busy = true;
	return 0;
}

static int answer_of(const struct entry *e, struct arena *a, struct sts_answer *ret)
{
	const char *why;
	ret->problem = e->problem;
	ret->why = arena_span(a, span_str(e->why));
	if (!in_force(e))
		return 0;
	struct span text = arena_span(a, span_make(e->text, e->len));
	if (!text.ptr)
		return -ENOMEM;
	int r = sts_policy_parse(text, a, &ret->policy, &why);
	ret->text = text;
	ret->found = r >= 0;
	return r == -ENOMEM ? r : 0;
}

SUSPENDS static int ask_txt(
	struct resolve_client *resolver, const char *domain, struct arena *a, struct span *ret_id)
{
	struct resolve_answer answer;
	struct span txts[16];
	unsigned n = 0;
	struct buf name = BUF_INIT(DOMAIN_MAX + 16);
	buf_printf(&name, "_mta-sts.%s", domain);
	struct span asked = name.error ? SPAN_NULL : arena_span(a, buf_span(&name));
	buf_done(&name);
	*ret_id = SPAN_NULL;
	if (!asked.ptr)
		return 0;
	int r = resolve(resolver, asked, RESOLVE_TXT, a, &answer);
	if (r < 0 || answer.status != RESOLVE_OK)
		return r;
	for (uint32_t i = 0; i < answer.n_rdata && n < ARRAY_LEN(txts); i++)
		n += resolve_txt(answer.rdata[i], a, &txts[n]) >= 0;
	if (sts_txt_choose(txts, n, ret_id) < 0)
		*ret_id = SPAN_NULL;
	return 0;
}

int sts_find(struct sts *s, struct resolve_client *resolver, struct span domain, struct arena *a,
	struct sts_answer *ret)
{
	*ret = (struct sts_answer){0};
	if (!resolver || !is_plain_domain(domain))
		return 0;
	struct entry *e = entry_get(s, domain);
	if (!e)
		return -ENOMEM;
	struct span id;
	e->users++;
	int r = entry_lock(e);
	if (r >= 0) {
		if (!e->loaded)
			entry_load(s, e);
		r = ask_txt(resolver, e->domain, a, &id);
		if (r >= 0 && id.ptr && wants_fetch(e, id))
			r = fetch_in_turn(s, resolver, e, id, a);
		e->busy = false;
		cond_signal(&e->idle);
		if (r >= 0)
			r = answer_of(e, a, ret);
	}
	e->users--;
	return r;
}

enum sts_state sts_state_of(const struct sts_answer *a, struct span host)
{
	if (!a->found || a->policy.mode == STS_MODE_NONE)
		return STS_NONE;
	if (a->policy.mode == STS_MODE_TESTING)
		return STS_TESTING;
	return sts_policy_matches(&a->policy, host) ? STS_ENFORCED : STS_MISMATCH;
}
