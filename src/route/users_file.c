/* Users files are small enough to be read whole and looked up in a map; the map's keys are lower
 * case copies in one arena. */
#include "route/users_file.h"

#include "base/arena.h"
#include "base/map.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct user {
	struct span name, rest;
};
struct users_file {
	struct arena *arena;
	struct map *map;
	bool complete;
};

bool users_file_name_ok(struct span name)
{
	if (name.len == 0 || name.len > USER_NAME_MAX || name.ptr[0] == '#')
		return false;
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.ptr[i];
		if (c <= ' ' || c == 0x7f || c == ':' || c == '/' || c == '@')
			return false;
	}
	return true;
}

static struct span lower(struct arena *a, struct span s)
{
	char *p = arena_alloc(a, s.len + 1);

	for (size_t i = 0; p && i < s.len; i++)
		p[i] = (char)(s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? s.ptr[i] + 32 : s.ptr[i]);
	return span_make(p, p ? s.len : 0);
}

static int add_line(struct users_file *u, struct span line, const char *file, unsigned number,
	struct buf *errors)
{
	struct span name = span_trim(span_head(line, span_index(line, ':')));

	if (!users_file_name_ok(name)) {
		u->complete = false;
		buf_printf(errors,
			"%s:%u: not a user's line: write NAME:HASH, without @ and blanks in NAME\n",
			file, number);
		return 0;
	}
	struct user *user = arena_alloc(u->arena, sizeof(*user));
	if (!user)
		return -ENOMEM;
	user->name = lower(u->arena, name);
	user->rest = arena_span(u->arena, span_trim(span_from(line, span_index(line, ':') + 1)));
	if (!user->name.ptr)
		return -ENOMEM;
	int r = map_put(u->map, user->name, user);
	if (r != -EEXIST)
		return r;
	buf_printf(errors, "%s:%u: this name stands above already: remove one of the lines\n", file,
		number);
	return 0;
}

int users_file_parse(
	struct span text, const char *name, struct users_file **ret, struct buf *errors)
{
	struct users_file *u = calloc(1, sizeof(*u));
	int r = u ? 0 : -ENOMEM;

	if (text.len > USERS_FILE_MAX)
		r = -EFBIG;
	if (r == 0 &&
		(!(u->arena = arena_new(text.len * 8 + (1u << 20))) || !(u->map = map_new(0))))
		r = -ENOMEM;
	if (u)
		u->complete = true;
	if (span_starts_nocase(text, SPAN_LIT("\xef\xbb\xbf"))) /* a byte order mark */
		text = span_from(text, 3);
	for (unsigned number = 1; r == 0 && text.len; number++) {
		struct span raw = span_head(text, span_index(text, '\n')), line = span_trim(raw);
		text = span_from(text, raw.len + 1);
		if (line.len && line.ptr[0] != '#')
			r = add_line(u, line, name, number, errors);
	}
	if (r < 0) {
		users_file_free(u);
		return r;
	}
	*ret = u;
	return 0;
}

void users_file_free(struct users_file *u)
{
	if (!u)
		return;
	map_free(u->map);
	arena_free(u->arena);
	free(u);
}

bool users_file_complete(const struct users_file *u)
{
	return u->complete;
}

size_t users_file_count(const struct users_file *u)
{
	return map_count(u->map);
}

static const struct user *find(const struct users_file *u, struct span name)
{
	char key[USER_NAME_MAX];

	if (name.len > sizeof(key))
		return NULL;
	for (size_t i = 0; i < name.len; i++)
		key[i] = (char)(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? name.ptr[i] + 32
									 : name.ptr[i]);
	return map_get(u->map, span_make(key, name.len));
}

bool users_file_has(const struct users_file *u, struct span name)
{
	return find(u, name) != NULL;
}

bool users_file_hash(const struct users_file *u, struct span name, struct span *ret_hash)
{
	const struct user *user = find(u, name);

	if (user)
		*ret_hash = user->rest;
	return user != NULL;
}

bool users_file_next(
	const struct users_file *u, size_t *cursor, struct span *ret_name, struct span *ret_rest)
{
	const struct user *user = map_next(u->map, cursor);

	if (!user)
		return false;
	*ret_name = user->name;
	*ret_rest = user->rest;
	return true;
}

/* ---- editing ---- */

static int read_all(const char *path, struct buf *out, struct stat *ret_st)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, ret_st) < 0)
		return -errno;
	return buf_read_fd(out, fd);
}

static int open_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	free(folder);
	return fd;
}

/* The rename is durable only with its folder. */
static int sync_folder(const char *path)
{
	CLEANUP(fd_closep) int fd = open_folder(path);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int write_beside(const char *path, struct span octets, const struct stat *st)
{
	struct buf temp = BUF_INIT(8192);
	int r = 0;

	buf_printf(&temp, "%s.%ld.tmp", path, (long)getpid());
	buf_append(&temp, "", 1);
	if (temp.error)
		return temp.error;
	int fd = open(temp.ptr, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		r = -errno;
	if (r == 0 && st &&
		(fchmod(fd, st->st_mode & 07777) < 0 ||
			(fchown(fd, st->st_uid, st->st_gid) < 0 && errno != EPERM)))
		r = -errno;
	while (r == 0 && octets.len) {
		ssize_t n = write(fd, octets.ptr, octets.len);
		if (n < 0)
			r = -errno;
		else
			octets = span_from(octets, (size_t)n);
	}
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	fd_close(fd);
	if (r == 0 && rename(temp.ptr, path) < 0)
		r = -errno;
	if (r < 0 && fd >= 0)
		(void)unlink(temp.ptr);
	if (r == 0)
		r = sync_folder(path);
	buf_done(&temp);
	return r;
}

static int edit_real(const char *path, enum users_edit how, struct span name, struct span hash)
{
	struct buf old = BUF_INIT(USERS_FILE_MAX), new = BUF_INIT(USERS_FILE_MAX);
	struct stat st;
	int r = read_all(path, &old, &st);
	bool exists = r == 0, found = false;

	if (r == -ENOENT && how == USERS_ADD)
		r = 0;
	struct span rest = buf_span(&old);
	while (r == 0 && rest.len) {
		struct span raw = span_head(rest, span_index(rest, '\n')), line = span_trim(raw);
		rest = span_from(rest, raw.len + 1);
		struct span word = span_trim(span_head(line, span_index(line, ':')));
		bool this = line.len && line.ptr[0] != '#' && span_equal_nocase(word, name);
		found |= this;
		if (this && how == USERS_REMOVE)
			continue;
		if (this && how == USERS_CHANGE) {
			buf_put(&new, word);
			buf_char(&new, ':');
			buf_put(&new, hash);
		} else if (this && how == USERS_ADD_FIELDS) {
			struct span own = span_from(line, span_index(line, ':') + 1);
			size_t end = span_index(hash, ':');
			if (!span_equal(span_trim(span_head(own, span_index(own, ':'))),
				    span_head(hash, end)))
				r = -ENOENT;
			buf_put(&new, line);
			buf_put(&new, span_from(hash, end));
		} else {
			buf_put(&new, raw);
		}
		buf_char(&new, '\n');
	}
	if (r == 0 && found && how == USERS_ADD)
		r = -EEXIST;
	else if (r == 0 && !found && how != USERS_ADD)
		r = -ENOENT;
	if (r == 0 && how == USERS_ADD) {
		buf_put(&new, name);
		buf_char(&new, ':');
		buf_put(&new, hash);
		buf_char(&new, '\n');
	}
	if (r == 0)
		r = new.error;
	if (r == 0)
		r = write_beside(path, buf_span(&new), exists ? &st : NULL);
	buf_done(&old);
	buf_done(&new);
	return r;
}

int users_file_edit(const char *path, enum users_edit how, struct span name, struct span hash)
{
	/* A line's end inside of a hash would be another user's line. */
	for (size_t i = 0; i < hash.len; i++)
		if ((unsigned char)hash.ptr[i] < ' ' || hash.ptr[i] == 0x7f)
			return -EINVAL;
	if (!users_file_name_ok(name))
		return -EINVAL;
	/* The file that a link points to is rewritten, not the link. */
	char *real = realpath(path, NULL);
	const char *file = real ? real : path;
	/* Who edits at the same time waits: else one edit would undo the other. */
	CLEANUP(fd_closep) int folder = open_folder(file);
	int r = folder < 0 || flock(folder, LOCK_EX) < 0 ? -errno : 0;
	if (r == 0)
		r = edit_real(file, how, name, hash);
	free(real);
	return r;
}
