/* Two tables: users(domain, name, hash), and fields(domain, name, field) with what else stands
 * behind a name in a users file (SCRAM keys, app passwords, certificates; sasl/secret.h). Reading
 * makes a users file's text of them, so that whatever the source, one parser decides.
 *
 * The journal is a rollback journal: the file alone is the database whenever nobody writes. In WAL
 * mode it would not be, and is refused. */
#include "route/users_sqlite.h"
#include "base/library.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* https://www.sqlite.org/fileformat2.html 1.3: header; os_unix.c: the octets that are locked. */
#define HEADER_OCTETS  100u
#define PENDING_OCTET  0x40000000
#define SHARED_FIRST   (PENDING_OCTET + 2)
#define SHARED_OCTETS  510
#define LOCK_TRIES     20
#define LOCK_WAIT_NSEC (10 * 1000 * 1000)
#define BUSY_MSEC      5000
#define READ_STEP      (1u << 20)

#define CALLS(F)                                                                                   \
	F(sqlite3_bind_text)                                                                       \
	F(sqlite3_busy_timeout)                                                                    \
	F(sqlite3_changes)                                                                         \
	F(sqlite3_close)                                                                           \
	F(sqlite3_column_bytes)                                                                    \
	F(sqlite3_column_int)                                                                      \
	F(sqlite3_column_text)                                                                     \
	F(sqlite3_deserialize)                                                                     \
	F(sqlite3_errcode)                                                                         \
	F(sqlite3_errmsg)                                                                          \
	F(sqlite3_exec)                                                                            \
	F(sqlite3_finalize)                                                                        \
	F(sqlite3_open_v2)                                                                         \
	F(sqlite3_prepare_v2)                                                                      \
	F(sqlite3_reset)                                                                           \
	F(sqlite3_step)

static LIBRARY_TABLE(CALLS) sqlite;

static const char schema[] = "PRAGMA user_version = 1;"
			     "CREATE TABLE users (domain TEXT NOT NULL, name TEXT NOT NULL,"
			     " hash TEXT NOT NULL DEFAULT '', PRIMARY KEY (domain, name));"
			     "CREATE TABLE fields (domain TEXT NOT NULL, name TEXT NOT NULL,"
			     " field TEXT NOT NULL, PRIMARY KEY (domain, name, field),"
			     " FOREIGN KEY (domain, name) REFERENCES users (domain, name)"
			     " ON DELETE CASCADE ON UPDATE CASCADE);";

/* ---- the file's octets ---- */

static int lock(int fd, short type, off_t start, off_t len)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

	return fcntl(fd, F_OFD_SETLK, &l) < 0 ? -errno : 0;
}

/* As SQLite's readers do: past a waiting writer by the pending octet, then the shared ones. */
static int lock_shared(int fd)
{
	int r = -EAGAIN;

	for (unsigned i = 0; i < LOCK_TRIES && (r == -EAGAIN || r == -EACCES); i++) {
		if (i)
			(void)nanosleep(&(struct timespec){0, LOCK_WAIT_NSEC}, NULL);
		r = lock(fd, F_RDLCK, PENDING_OCTET, 1);
		if (r < 0)
			continue;
		r = lock(fd, F_RDLCK, SHARED_FIRST, SHARED_OCTETS);
		(void)lock(fd, F_UNLCK, PENDING_OCTET, 1);
	}
	return r == -EACCES ? -EAGAIN : r;
}

int users_sqlite_read(int fd, struct buf *out)
{
	int r = lock_shared(fd);
	off_t at = 0;

	while (r == 0) {
		char *room = buf_reserve(out, READ_STEP);
		ssize_t n = room ? pread(fd, room, READ_STEP, at) : -1;
		if (n <= 0) {
			r = n == 0 ? 0 : room ? -errno : out->error;
			break;
		}
		out->len += (size_t)n;
		at += n;
	}
	(void)lock(fd, F_UNLCK, SHARED_FIRST, SHARED_OCTETS);
	return r;
}

/* ---- statements ---- */

int users_sqlite_load(const char **ret_why)
{
	static const char *const names[] = {CALLS(LIBRARY_NAME)};

	return library_load(SONAME_SQLITE3, names, ARRAY_LEN(names), &sqlite, ret_why);
}

static int wrong(const char *path, const char *what, struct buf *errors)
{
	buf_printf(errors, "%s: %s\n", path, what);
	return -EBADMSG;
}

static int have_sqlite(const char *path, struct buf *errors)
{
	const char *why;
	int r = users_sqlite_load(&why);

	if (r < 0)
		buf_printf(errors, "%s: SQLite cannot be loaded: %s: install it\n", path, why);
	return r;
}

static int failed(sqlite3 *db, const char *path, struct buf *errors)
{
	int code = sqlite.sqlite3_errcode(db);

	buf_printf(errors, "%s: %s\n", path, sqlite.sqlite3_errmsg(db));
	return code == SQLITE_NOMEM			      ? -ENOMEM
	       : code == SQLITE_BUSY || code == SQLITE_LOCKED ? -EAGAIN
	       : code == SQLITE_READONLY || code == SQLITE_PERM || code == SQLITE_CANTOPEN
		       ? -EACCES
		       : -EBADMSG;
}

static void finalize(sqlite3_stmt **s)
{
	(void)sqlite.sqlite3_finalize(*s);
}

/* A statement with domain (and name) bound as ?1 (and ?2), and a third text. NULL ptr: not bound.
 */
static sqlite3_stmt *prepare(
	sqlite3 *db, const char *sql, const char *domain, struct span name, struct span third)
{
	sqlite3_stmt *s = NULL;

	if (sqlite.sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
		return NULL;
	if ((domain && sqlite.sqlite3_bind_text(s, 1, domain, -1, SQLITE_TRANSIENT) != SQLITE_OK) ||
		(name.ptr && sqlite.sqlite3_bind_text(s, 2, name.ptr, (int)name.len,
				     SQLITE_TRANSIENT) != SQLITE_OK) ||
		(third.ptr && sqlite.sqlite3_bind_text(s, 3, third.ptr, (int)third.len,
				      SQLITE_TRANSIENT) != SQLITE_OK)) {
		(void)sqlite.sqlite3_finalize(s);
		return NULL;
	}
	return s;
}

static int check_version(sqlite3 *db, const char *path, struct buf *errors)
{
	CLEANUP(finalize)
	sqlite3_stmt *s = prepare(db, "PRAGMA user_version", NULL, SPAN_NULL, SPAN_NULL);

	if (!s || sqlite.sqlite3_step(s) != SQLITE_ROW)
		return failed(db, path, errors);
	int version = sqlite.sqlite3_column_int(s, 0);
	if (version == USERS_SQLITE_VERSION)
		return 0;
	buf_printf(errors, "%s: its schema is version %d, and this program knows %d: %s\n", path,
		version, USERS_SQLITE_VERSION,
		version == 0 ? "it is no users database; name another file, which 'postrider user "
			       "add' makes"
			     : "update the program that is older");
	return -EBADMSG;
}

/* ---- reading ---- */

static struct span column(sqlite3_stmt *s, int i)
{
	const char *text = (const char *)sqlite.sqlite3_column_text(s, i);

	return span_make(text ? text : "", (size_t)sqlite.sqlite3_column_bytes(s, i));
}

static int put_fields(sqlite3_stmt *fields, struct span name, struct buf *out)
{
	int step;

	(void)sqlite.sqlite3_reset(fields);
	if (sqlite.sqlite3_bind_text(fields, 2, name.ptr, (int)name.len, SQLITE_TRANSIENT) !=
		SQLITE_OK)
		return SQLITE_ERROR;
	while ((step = sqlite.sqlite3_step(fields)) == SQLITE_ROW) {
		struct span field = column(fields, 0);
		if (span_index(field, '\n') < field.len || span_index(field, ':') < field.len)
			continue;
		buf_char(out, ':');
		buf_put(out, field);
	}
	return step;
}

static int read_domain(sqlite3 *db, const char *domain, struct buf *out)
{
	CLEANUP(finalize)
	sqlite3_stmt *users = prepare(
		db, "SELECT name, hash FROM users WHERE domain = ?1", domain, SPAN_NULL, SPAN_NULL);
	CLEANUP(finalize)
	sqlite3_stmt *fields =
		prepare(db, "SELECT field FROM fields WHERE domain = ?1 AND name = ?2", domain,
			SPAN_NULL, SPAN_NULL);
	int step = SQLITE_ERROR;

	while (users && fields && (step = sqlite.sqlite3_step(users)) == SQLITE_ROW) {
		struct span name = column(users, 0), hash = column(users, 1);
		/* A line's end in a value would be another user's line. */
		if (span_index(name, '\n') < name.len || span_index(hash, '\n') < hash.len)
			continue;
		buf_put(out, name);
		buf_char(out, ':');
		buf_put(out, hash);
		step = put_fields(fields, name, out);
		if (step != SQLITE_DONE)
			break;
		buf_char(out, '\n');
	}
	return step == SQLITE_DONE ? out->error : -EBADMSG;
}

int users_sqlite_text(struct span image, const char *path, const char *domain, struct buf *out,
	struct buf *errors)
{
	sqlite3 *db = NULL;

	if (image.len == 0)
		return 0;
	if (image.len < HEADER_OCTETS || memcmp(image.ptr, "SQLite format 3", 16) != 0)
		return wrong(path,
			"it is no SQLite database: name another file, which 'postrider user add' "
			"makes",
			errors);
	if (image.ptr[18] == 2 || image.ptr[19] == 2)
		return wrong(path,
			"it is in WAL mode, where the file alone is not the database: run sqlite3 "
			"on it with 'PRAGMA journal_mode = DELETE'",
			errors);
	int r = have_sqlite(path, errors);
	if (r < 0)
		return r;
	/* The octets are only read: SQLITE_DESERIALIZE_READONLY. */
	union {
		const char *in;
		unsigned char *out;
	} octets = {.in = image.ptr};
	if (sqlite.sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
		sqlite.sqlite3_deserialize(db, "main", octets.out, (sqlite3_int64)image.len,
			(sqlite3_int64)image.len, SQLITE_DESERIALIZE_READONLY) != SQLITE_OK)
		r = db ? failed(db, path, errors) : -ENOMEM;
	if (r == 0)
		r = check_version(db, path, errors);
	if (r == 0 && read_domain(db, domain, out) < 0) {
		buf_printf(errors,
			"%s: %s: it is damaged or no users database; name another file\n", path,
			sqlite.sqlite3_errmsg(db));
		r = -EBADMSG;
	}
	(void)sqlite.sqlite3_close(db);
	return r;
}

/* ---- writing ---- */

static int run(
	sqlite3 *db, const char *sql, const char *domain, struct span name, struct span third)
{
	CLEANUP(finalize) sqlite3_stmt *s = prepare(db, sql, domain, name, third);

	return s && sqlite.sqlite3_step(s) == SQLITE_DONE ? sqlite.sqlite3_changes(db) : -EIO;
}

static int write_fields(
	sqlite3 *db, enum users_edit how, const char *domain, struct span name, struct span rest)
{
	int r = how == USERS_ADD_FIELDS
			? 0
			: run(db, "DELETE FROM fields WHERE domain = ?1 AND name = ?2", domain,
				  name, SPAN_NULL);

	while (r >= 0 && rest.len) {
		struct span field = span_head(rest, span_index(rest, ':'));
		rest = span_from(rest, field.len + 1);
		if (field.len)
			r = run(db, "INSERT OR IGNORE INTO fields VALUES (?1, ?2, ?3)", domain,
				name, field);
	}
	return r < 0 ? r : 0;
}

static int edit(
	sqlite3 *db, enum users_edit how, const char *domain, struct span name, struct span rest)
{
	struct span hash = span_head(rest, span_index(rest, ':'));
	int r;

	if (!hash.ptr)
		hash = SPAN_LIT("");
	if (how == USERS_REMOVE)
		r = run(db, "DELETE FROM users WHERE domain = ?1 AND name = ?2", domain, name,
			SPAN_NULL);
	else if (how == USERS_ADD)
		r = run(db, "INSERT OR IGNORE INTO users VALUES (?1, ?2, ?3)", domain, name, hash);
	else if (how == USERS_ADD_FIELDS)
		r = run(db,
			"UPDATE users SET hash = ?3 WHERE domain = ?1 AND name = ?2 AND hash = ?3",
			domain, name, hash);
	else
		r = run(db, "UPDATE users SET hash = ?3 WHERE domain = ?1 AND name = ?2", domain,
			name, hash);
	if (r == 0)
		return how == USERS_ADD ? -EEXIST : -ENOENT;
	if (r > 0 && how != USERS_REMOVE)
		r = write_fields(db, how, domain, name, span_from(rest, hash.len + 1));
	return r < 0 ? r : 0;
}

/* An empty file becomes a users database; one of somebody else's does not. */
static int prepare_schema(sqlite3 *db, const char *path, struct buf *errors)
{
	CLEANUP(finalize)
	sqlite3_stmt *s =
		prepare(db, "SELECT count(*) FROM sqlite_master", NULL, SPAN_NULL, SPAN_NULL);

	if (!s || sqlite.sqlite3_step(s) != SQLITE_ROW)
		return failed(db, path, errors);
	bool fresh = sqlite.sqlite3_column_int(s, 0) == 0;
	(void)sqlite.sqlite3_reset(s);
	if (fresh && sqlite.sqlite3_exec(db, schema, NULL, NULL, NULL) != SQLITE_OK)
		return failed(db, path, errors);
	return check_version(db, path, errors);
}

int users_sqlite_edit(const char *path, enum users_edit how, const char *domain, struct span name,
	struct span rest, struct buf *errors)
{
	sqlite3 *db = NULL;
	int flags = SQLITE_OPEN_READWRITE | (how == USERS_ADD ? SQLITE_OPEN_CREATE : 0);
	struct stat st;
	char lower[USER_NAME_MAX];

	if (!users_file_name_ok(name))
		return -EINVAL;
	for (size_t i = 0; i < name.len; i++)
		lower[i] = (char)(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? name.ptr[i] + 32
									   : name.ptr[i]);
	name = span_make(lower, name.len);
	int r = have_sqlite(path, errors);
	if (r < 0)
		return r;
	if (stat(path, &st) < 0 && how != USERS_ADD)
		return -errno;
	mode_t mask = umask(0077); /* hashes are nobody else's business */
	if (sqlite.sqlite3_open_v2(path, &db, flags, NULL) != SQLITE_OK)
		r = db ? failed(db, path, errors) : -ENOMEM;
	if (r == 0)
		(void)sqlite.sqlite3_busy_timeout(db, BUSY_MSEC);
	if (r == 0 && sqlite.sqlite3_exec(db, "PRAGMA foreign_keys = ON; BEGIN IMMEDIATE", NULL,
			      NULL, NULL) != SQLITE_OK)
		r = failed(db, path, errors);
	if (r == 0)
		r = prepare_schema(db, path, errors);
	if (r == 0)
		r = edit(db, how, domain, name, rest);
	if (r == -EIO)
		r = failed(db, path, errors);
	if (r == 0 && sqlite.sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		r = failed(db, path, errors);
	(void)sqlite.sqlite3_close(db); /* rolls back what was not committed */
	(void)umask(mask);
	return r;
}
