/* Twin of route/users_sqlite.c: what the command line writes is what the directory reads; files of
 * others are refused with a remedy. */
#include "../base/test.h"
#include "route/users_sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[64];

static int fresh(void **state)
{
	(void)state;
	(void)snprintf(path, sizeof(path), "/tmp/postrider-users-XXXXXX");
	int fd = mkstemp(path);
	(void)close(fd);
	return fd < 0 ? -1 : unlink(path);
}

static int gone(void **state)
{
	(void)state;
	(void)unlink(path);
	return 0;
}

static int edit(enum users_edit how, const char *domain, const char *name, const char *rest)
{
	struct buf errors = BUF_INIT(4096);
	int r = users_sqlite_edit(path, how, domain, span_str(name), span_str(rest), &errors);

	buf_done(&errors);
	return r;
}

/* The domain's users file, or the error and its line. */
static int text_of(const char *domain, struct buf *out)
{
	struct buf image = BUF_INIT(USERS_SQLITE_MAX), errors = BUF_INIT(4096);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = users_sqlite_read(fd, &image);

	buf_reset(out);
	if (r == 0)
		r = users_sqlite_text(buf_span(&image), "users.db", domain, out, &errors);
	if (r < 0)
		buf_put(out, buf_span(&errors));
	(void)close(fd);
	buf_done(&image);
	buf_done(&errors);
	return r;
}

static void users_sqlite__edits(void **state)
{
	static const struct {
		enum users_edit how;
		const char *domain, *name, *rest;
		int want;
		const char *one, *two; /* what one.example and two.example hold then */
	} rows[] = {
		{USERS_CHANGE, "one.example", "ada", "h", -ENOENT, NULL, NULL},
		{USERS_ADD, "one.example", "Ada", "$y$1:{A}1:{B}2", 0, "ada:$y$1:{A}1:{B}2\n", ""},
		{USERS_ADD, "one.example", "ada", "$y$2", -EEXIST, "ada:$y$1:{A}1:{B}2\n", ""},
		{USERS_ADD, "two.example", "ada", "", 0, "ada:$y$1:{A}1:{B}2\n", "ada:\n"},
		{USERS_CHANGE, "one.example", "ADA", "$y$3:{C}3", 0, "ada:$y$3:{C}3\n", "ada:\n"},
		{USERS_CHANGE, "one.example", "eve", "$y$3", -ENOENT, "ada:$y$3:{C}3\n", "ada:\n"},
		/* Only while the hash is that one. */
		{USERS_ADD_FIELDS, "one.example", "ada", "$y$2:{D}4", -ENOENT, "ada:$y$3:{C}3\n",
			"ada:\n"},
		{USERS_ADD_FIELDS, "one.example", "eve", "$y$3:{D}4", -ENOENT, "ada:$y$3:{C}3\n",
			"ada:\n"},
		{USERS_ADD_FIELDS, "one.example", "Ada", "$y$3:{D}4", 0, "ada:$y$3:{C}3:{D}4\n",
			"ada:\n"},
		{USERS_REMOVE, "one.example", "ada", "", 0, "", "ada:\n"},
		{USERS_REMOVE, "one.example", "ada", "", -ENOENT, "", "ada:\n"},
		{USERS_ADD, "one.example", "a b", "", -EINVAL, "", "ada:\n"},
		/* No leftovers of the first ada. */
		{USERS_ADD, "one.example", "ada", "$y$4", 0, "ada:$y$4\n", "ada:\n"},
	};
	struct buf got = BUF_INIT(4096);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char row[32];
		(void)snprintf(row, sizeof(row), "row %zu", i);
		want_int(row, rows[i].want,
			edit(rows[i].how, rows[i].domain, rows[i].name, rows[i].rest));
		if (!rows[i].one)
			continue;
		want_int(row, 0, text_of("one.example", &got));
		want_span(row, span_str(rows[i].one), buf_span(&got));
		want_int(row, 0, text_of("two.example", &got));
		want_span(row, span_str(rows[i].two), buf_span(&got));
	}
	buf_done(&got);
}

static void run_sql(const char *sql)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	(void)sqlite3_close(db);
}

static void users_sqlite__wrong_files(void **state)
{
	static const struct {
		const char *sql, *want;
	} rows[] = {
		{"CREATE TABLE users (x)", "schema is version 0"},
		{"CREATE TABLE t (x); PRAGMA user_version = 2", "schema is version 2"},
		{"CREATE TABLE t (x); PRAGMA user_version = 1", "no such table"},
		{"PRAGMA journal_mode = WAL; CREATE TABLE t (x)", "WAL mode"},
	};
	struct buf got = BUF_INIT(4096);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(fresh(state), 0);
		run_sql(rows[i].sql);
		want_int(rows[i].sql, -EBADMSG, text_of("one.example", &got));
		if (!memmem(got.ptr, got.len, rows[i].want, strlen(rows[i].want)))
			fail_msg("want \"%s\", got \"%.*s\"", rows[i].want,
				SPAN_FMT(buf_span(&got)));
		assert_true(edit(USERS_ADD, "one.example", "ada", "") < 0);
		(void)gone(state);
	}
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	want_int("empty: no users yet", 0, text_of("one.example", &got));
	assert_int_equal(write(fd, "ada:$y$\n", 8), 8);
	(void)close(fd);
	want_int("a users file", -EBADMSG, text_of("one.example", &got));
	buf_done(&got);
}

/* Octets cut or changed anywhere never do worse than an error. */
static void users_sqlite_text__damage(void **state)
{
	struct buf image = BUF_INIT(USERS_SQLITE_MAX), out = BUF_INIT(1 << 20),
		   errors = BUF_INIT(1 << 20);

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "user%u", i);
		assert_int_equal(edit(USERS_ADD, "one.example", name, "$y$:{A}1"), 0);
	}
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(users_sqlite_read(fd, &image), 0);
	(void)close(fd);
	for (size_t i = 0; i < image.len; i += 37) {
		char was = image.ptr[i];
		buf_reset(&out);
		buf_reset(&errors);
		image.ptr[i] = (char)~was;
		(void)!users_sqlite_text(buf_span(&image), "x", "one.example", &out, &errors);
		image.ptr[i] = was;
		buf_reset(&out);
		(void)!users_sqlite_text(
			span_head(buf_span(&image), i), "x", "one.example", &out, &errors);
	}
	buf_done(&image);
	buf_done(&out);
	buf_done(&errors);
}

/* A writer that is committing is waited for, not for ever. */
static void users_sqlite_read__while_written(void **state)
{
	struct buf image = BUF_INIT(USERS_SQLITE_MAX);
	int ready[2];
	char c = 0;

	(void)state;
	assert_int_equal(edit(USERS_ADD, "one.example", "ada", ""), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid_t child = fork();
	if (child == 0) {
		sqlite3 *db = NULL;
		if (sqlite3_open(path, &db) != SQLITE_OK ||
			sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL) != SQLITE_OK ||
			write(ready[1], "x", 1) != 1)
			_exit(1);
		(void)usleep(1000 * 1000);
		_exit(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL) == SQLITE_OK ? 0 : 1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	want_int("locked", -EAGAIN, users_sqlite_read(fd, &image));
	int status = 1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	want_int("free", 0, users_sqlite_read(fd, &image));
	assert_true(image.len > 0);
	(void)close(fd);
	(void)close(ready[0]);
	(void)close(ready[1]);
	buf_done(&image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(users_sqlite__edits, fresh, gone),
		cmocka_unit_test_setup_teardown(users_sqlite__wrong_files, fresh, gone),
		cmocka_unit_test_setup_teardown(users_sqlite_text__damage, fresh, gone),
		cmocka_unit_test_setup_teardown(users_sqlite_read__while_written, fresh, gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
