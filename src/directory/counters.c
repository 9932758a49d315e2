/* One line a counter; keys are base64, because a login is what a client said:
 *
 *	salt KEY
 *	guess FAILURES SECONDS KEY
 *	quota MESSAGES RECIPIENTS SECONDS KEY
 *	end CRC32C
 *
 * SECONDS is wall time; it becomes an age by the wall clock at reading, which moves over to the
 * monotonic clock. A clock that was set back makes an age of nothing (nobody is let go early), one
 * that was set forward by more than an hour forgives. The last line covers all before it: a file
 * without it, or with another, is not read at all. Addresses with one or two failures are left out:
 * they lock nothing out, and they are the many in an attack. */
#include "directory/counters.h"
#include "base/base64.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "directory/kept.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define FILE_MAX (16u << 20)
#define KEY_MAX	 512u
#define AGE_MAX	 (3600u * USEC_PER_SEC)

/* ---- writing ---- */

struct writing {
	struct buf *out;
	uint64_t wall_seconds;
};

static void put_end(struct writing *w, uint64_t age_usec, struct span key)
{
	uint64_t age = age_usec / USEC_PER_SEC;

	buf_printf(w->out, " %" PRIu64 " ", w->wall_seconds > age ? w->wall_seconds - age : 0);
	base64_encode(key, w->out);
	buf_char(w->out, '\n');
}

static void put_guess(void *arg, struct span key, unsigned failures, uint64_t age_usec)
{
	struct writing *w = arg;

	buf_printf(w->out, "guess %u", failures);
	put_end(w, age_usec, key);
}

static void put_quota(
	void *arg, struct span key, uint64_t messages, uint64_t recipients, uint64_t age_usec)
{
	struct writing *w = arg;

	buf_printf(w->out, "quota %" PRIu64 " %" PRIu64, messages, recipients);
	put_end(w, age_usec, key);
}

void counters_format(const struct counters *c, uint64_t now, uint64_t wall, struct buf *out)
{
	struct writing w = {out, wall / USEC_PER_SEC};
	size_t start = out->len;

	buf_str(out, "salt ");
	base64_encode(span_make(c->salt_key, sizeof(c->salt_key)), out);
	buf_char(out, '\n');
	guess_each(c->guess, COUNTERS_KEPT_MAX, now, put_guess, &w);
	quota_each(c->quota, COUNTERS_KEPT_MAX, now, put_quota, &w);
	if (out->error == 0)
		buf_printf(
			out, "end %08" PRIx32 "\n", crc32c(0, out->ptr + start, out->len - start));
}

/* ---- reading ---- */

struct reading {
	struct counters *c;
	uint64_t now, wall_seconds;
};

static struct span word(struct span *line)
{
	struct span w = span_head(*line, span_index(*line, ' '));

	*line = span_from(*line, w.len + 1);
	return w;
}

static int read_number(struct span *line, uint64_t max, uint64_t *ret)
{
	return span_to_u64(word(line), max, ret);
}

/* SECONDS KEY, the end of a line. */
static int read_end(
	const struct reading *r, struct span line, uint64_t *ret_age_usec, struct buf *key)
{
	uint64_t seconds;

	if (read_number(&line, UINT32_MAX, &seconds) < 0 || base64_decode(line, key) < 0 ||
		key->error)
		return -EBADMSG;
	uint64_t age = r->wall_seconds > seconds ? r->wall_seconds - seconds : 0;
	*ret_age_usec = MIN(age * USEC_PER_SEC, AGE_MAX + USEC_PER_SEC);
	return 0;
}

static int read_guess(const struct reading *r, struct span line)
{
	struct buf key = BUF_INIT(KEY_MAX);
	uint64_t failures, age;

	if (read_number(&line, UINT32_MAX, &failures) < 0 || read_end(r, line, &age, &key) < 0)
		failures = UINT64_MAX;
	else if (age <= AGE_MAX)
		guess_restore(r->c->guess, buf_span(&key), (unsigned)failures, age, r->now);
	buf_done(&key);
	return failures == UINT64_MAX ? -EBADMSG : 0;
}

static int read_quota(const struct reading *r, struct span line)
{
	struct buf key = BUF_INIT(KEY_MAX);
	uint64_t messages, recipients, age;
	int e = 0;

	if (read_number(&line, UINT32_MAX * 3600ull, &messages) < 0 ||
		read_number(&line, UINT32_MAX * 3600ull, &recipients) < 0 ||
		read_end(r, line, &age, &key) < 0)
		e = -EBADMSG;
	else if (age <= AGE_MAX)
		quota_restore(r->c->quota, buf_span(&key), messages, recipients, age, r->now);
	buf_done(&key);
	return e;
}

static int read_salt(const struct reading *r, struct span line)
{
	struct buf key = BUF_INIT(COUNTERS_SALT_KEY);
	int e = base64_decode(line, &key);

	if (e == 0 && key.len != COUNTERS_SALT_KEY)
		e = -EBADMSG;
	if (e == 0)
		memcpy(r->c->salt_key, key.ptr, key.len);
	buf_done(&key);
	return e < 0 ? -EBADMSG : 0;
}

/* The lines that the last one vouches for. */
static int whole(struct span text, struct span *ret_lines)
{
	char end[32];
	size_t len = strlen("end 00000000\n");

	if (text.len < len)
		return -EBADMSG;
	struct span lines = span_head(text, text.len - len);
	(void)snprintf(end, sizeof(end), "end %08" PRIx32 "\n", crc32c(0, lines.ptr, lines.len));
	if (!span_equal(span_from(text, lines.len), span_str(end)))
		return -EBADMSG;
	*ret_lines = lines;
	return 0;
}

int counters_parse(struct counters *c, struct span text, uint64_t now, uint64_t wall)
{
	const struct reading r = {c, now, wall / USEC_PER_SEC};
	struct span rest;
	int e = whole(text, &rest);

	while (e == 0 && rest.len) {
		struct span line = span_head(rest, span_index(rest, '\n'));
		rest = span_from(rest, line.len + 1);
		struct span kind = word(&line);
		/* Kinds that a newer program wrote are not ours to judge. */
		if (span_equal(kind, SPAN_LIT("guess")))
			e = read_guess(&r, line);
		else if (span_equal(kind, SPAN_LIT("quota")))
			e = read_quota(&r, line);
		else if (span_equal(kind, SPAN_LIT("salt")))
			e = read_salt(&r, line);
	}
	return e;
}

/* ---- the file ---- */

static void format(void *arg, struct buf *out)
{
	counters_format(arg, loop_now_usec(), loop_wall_usec(), out);
}

static void load(struct counters *c, uint64_t now, uint64_t wall)
{
	struct buf text = BUF_INIT(FILE_MAX);
	int r = kept_read(c->file, &text);

	if (r == 0 && text.len)
		r = counters_parse(c, buf_span(&text), now, wall);
	if (r == -EBADMSG)
		log_text(LOG_LEVEL_ERROR, "counters-not-read",
			"data/auth/counters is damaged and dropped: failures and quotas count from "
			"nothing");
	else if (r < 0)
		log_text(LOG_LEVEL_ERROR, "counters-not-read", "data/auth/counters: %s",
			strerror(-r));
	buf_done(&text);
}

int counters_new(int folder, uint64_t now, uint64_t wall, struct counters **ret_counters)
{
	struct counters *c = calloc(1, sizeof(*c));
	int r = c ? 0 : -ENOMEM;

	if (r == 0) {
		c->file = calloc(1, sizeof(*c->file));
		r = c->file ? guess_new(&c->guess) : -ENOMEM;
	}
	if (r == 0)
		r = quota_new(&c->quota);
	if (r == 0 &&
		getrandom(c->salt_key, sizeof(c->salt_key), 0) != (ssize_t)sizeof(c->salt_key))
		r = -EIO;
	if (r < 0) {
		counters_free(c);
		return r;
	}
	*c->file = (struct kept){.folder = folder,
		.name = "counters",
		.event = "counters-not-written",
		.every_usec = COUNTERS_EVERY,
		.format = format,
		.arg = c};
	kept_init(c->file, FILE_MAX);
	load(c, now, wall);
	*ret_counters = c;
	return 0;
}

void counters_free(struct counters *c)
{
	if (!c)
		return;
	if (c->file)
		kept_done(c->file);
	free(c->file);
	guess_free(c->guess);
	quota_free(c->quota);
	explicit_bzero(c->salt_key, sizeof(c->salt_key));
	free(c);
}

void counters_changed(struct counters *c)
{
	kept_changed(c->file);
}

bool counters_are_being_written(const struct counters *c)
{
	return kept_is_writing(c->file);
}

void counters_finish(struct counters *c)
{
	kept_finish(c->file);
}
