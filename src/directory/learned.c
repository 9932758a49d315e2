/* One line a fact, fields separated by blanks, none of which a name or a key can hold:
 *
 *	keys LOGIN HASHED {SCRAM-SHA-1}... {SCRAM-SHA-256}...
 *	used LOGIN LABEL-OR-- SECONDS
 *
 * HASHED is the SHA-256 of the crypt(3) hash that the keys belong to: with another password they
 * are worth nothing, and are never used. Only successful logins come in here, so that the users of
 * the sources bound its size.
 *
 * The file is written by kept.c, at most every WRITE_EVERY: a last use that a crash forgets is no
 * loss. */
#include "directory/learned.h"
#include "base/log.h"
#include "base/map.h"
#include "directory/kept.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define WRITE_EVERY (10 * USEC_PER_SEC)
#define FILE_MAX    (256u << 20)
#define HASHED_MAX  64u

struct fact {
	struct span key; /* "LOGIN" for keys, "LOGIN LABEL" for a use */
	char hashed[HASHED_MAX];
	struct scram_keys keys[SCRAM_HASHES];
	uint64_t used_seconds;
	char octets[];
};
struct learned {
	struct map *keys, *uses;
	struct kept file;
	bool new_keys; /* since the file was written last */
	void (*written)(void *arg);
	void *arg;
};

/* ---- facts ---- */

static void hashed(struct span hash, char ret_text[static HASHED_MAX])
{
	struct buf b = BUF_INIT(HASHED_MAX);

	(void)!secret_name(hash, &b);
	(void)snprintf(ret_text, HASHED_MAX, "%.*s", SPAN_FMT(buf_span(&b)));
	buf_done(&b);
}

static struct fact *fact_of(struct map *m, struct span key)
{
	struct fact *f = map_get(m, key);

	if (f)
		return f;
	f = calloc(1, sizeof(*f) + key.len + 1);
	if (!f)
		return NULL;
	memcpy(f->octets, key.ptr, key.len);
	f->key = span_make(f->octets, key.len);
	if (map_put(m, f->key, f) < 0) {
		free(f);
		return NULL;
	}
	return f;
}

static void forget_all(struct map *m)
{
	size_t cursor = 0;
	struct fact *f;

	while (m && (f = map_next(m, &cursor))) {
		(void)map_remove(m, f->key);
		explicit_bzero(f->keys, sizeof(f->keys));
		free(f);
	}
	map_free(m);
}

/* ---- reading ---- */

static struct span word(struct span *line)
{
	struct span w = span_head(*line, span_index(*line, ' '));

	*line = span_from(*line, w.len + 1);
	return w;
}

static void read_keys(struct learned *l, struct span line)
{
	struct span login = word(&line), hash = word(&line);
	struct fact *f = login.len && hash.len < HASHED_MAX ? fact_of(l->keys, login) : NULL;
	struct scram_keys k;
	enum scram_hash h;

	if (!f)
		return;
	(void)snprintf(f->hashed, sizeof(f->hashed), "%.*s", SPAN_FMT(hash));
	for (unsigned i = 0; i < SCRAM_HASHES; i++)
		if (scram_keys_parse(word(&line), &h, &k) == 0)
			f->keys[h] = k;
}

static void read_use(struct learned *l, struct span line)
{
	struct span login = word(&line), label = word(&line);
	uint64_t seconds;

	if (login.len == 0 || label.len == 0 || span_to_u64(line, UINT32_MAX, &seconds) < 0)
		return;
	struct fact *f =
		fact_of(l->uses, span_make(login.ptr, (size_t)(label.ptr + label.len - login.ptr)));
	if (f)
		f->used_seconds = seconds;
}

static int load(struct learned *l)
{
	struct buf text = BUF_INIT(FILE_MAX);
	int r = kept_read(&l->file, &text);
	struct span rest = buf_span(&text);

	while (r == 0 && rest.len) {
		struct span line = span_head(rest, span_index(rest, '\n'));
		rest = span_from(rest, line.len + 1);
		struct span kind = word(&line);
		if (span_equal(kind, SPAN_LIT("keys")))
			read_keys(l, line);
		else if (span_equal(kind, SPAN_LIT("used")))
			read_use(l, line);
	}
	buf_done(&text);
	/* They may never have been taken into the sources. */
	l->new_keys = map_count(l->keys) > 0;
	return r;
}

/* ---- writing ---- */

static void format(void *arg, struct buf *out)
{
	const struct learned *l = arg;
	size_t cursor = 0;
	struct fact *f;

	while ((f = map_next(l->keys, &cursor))) {
		buf_str(out, "keys ");
		buf_put(out, f->key);
		buf_char(out, ' ');
		buf_str(out, f->hashed);
		for (unsigned h = 0; h < SCRAM_HASHES; h++) {
			buf_char(out, ' ');
			scram_keys_format((enum scram_hash)h, &f->keys[h], out);
		}
		buf_char(out, '\n');
	}
	for (cursor = 0; (f = map_next(l->uses, &cursor));) {
		buf_str(out, "used ");
		buf_put(out, f->key);
		buf_printf(out, " %" PRIu64 "\n", f->used_seconds);
	}
}

static void on_written(void *arg)
{
	struct learned *l = arg;

	if (!l->new_keys || !l->written)
		return;
	l->new_keys = false;
	l->written(l->arg);
}

void learned_watch(struct learned *l, void (*written)(void *arg), void *arg)
{
	l->written = written;
	l->arg = arg;
}

/* ---- the interface ---- */

int learned_new(int folder, struct learned **ret_learned)
{
	struct learned *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->file = (struct kept){.folder = folder,
		.name = "learned",
		.event = "learned-not-written",
		.every_usec = WRITE_EVERY,
		.format = format,
		.written = on_written,
		.arg = l};
	kept_init(&l->file, FILE_MAX);
	l->keys = map_new(0);
	l->uses = map_new(0);
	int r = l->keys && l->uses ? load(l) : -ENOMEM;
	if (r == -ENOMEM) {
		learned_free(l);
		return r;
	}
	if (r < 0)
		log_text(
			LOG_LEVEL_ERROR, "learned-not-read", "data/auth/learned: %s", strerror(-r));
	*ret_learned = l;
	return 0;
}

void learned_free(struct learned *l)
{
	if (!l)
		return;
	kept_done(&l->file);
	forget_all(l->keys);
	forget_all(l->uses);
	free(l);
}

const struct scram_keys *learned_keys(
	const struct learned *l, struct span login, struct span hash, enum scram_hash h)
{
	const struct fact *f = map_get(l->keys, login);
	char text[HASHED_MAX];

	if (!f || f->keys[h].iterations == 0 || hash.len == 0)
		return NULL;
	hashed(hash, text);
	return strcmp(text, f->hashed) == 0 ? &f->keys[h] : NULL;
}

int learned_put(struct learned *l, struct span login, struct span hash,
	const struct scram_keys keys[SCRAM_HASHES])
{
	struct fact *f = span_index(login, ' ') == login.len ? fact_of(l->keys, login) : NULL;

	if (!f)
		return -ENOMEM;
	hashed(hash, f->hashed);
	memcpy(f->keys, keys, sizeof(f->keys));
	l->new_keys = true;
	kept_changed(&l->file);
	return 0;
}

void learned_used(struct learned *l, struct span login, struct span label, uint64_t wall_usec)
{
	struct buf key = BUF_INIT(1024);

	buf_put(&key, login);
	buf_char(&key, ' ');
	buf_put(&key, label.len ? label : SPAN_LIT("-"));
	bool clean = key.error == 0 && span_index(login, ' ') == login.len;
	struct fact *f = clean ? fact_of(l->uses, buf_span(&key)) : NULL;
	if (f) {
		f->used_seconds = wall_usec / USEC_PER_SEC;
		kept_changed(&l->file);
	}
	buf_done(&key);
}

bool learned_is_being_written(const struct learned *l)
{
	return kept_is_writing(&l->file);
}

void learned_finish(struct learned *l)
{
	kept_finish(&l->file);
}
