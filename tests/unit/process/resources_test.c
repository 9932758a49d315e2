/* Twin of src/process/resources.c: folders and locks, sockets over a reload, tables that change. */
#include "process/resources.h"
#include "../scratch.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define MAIL_UID 64815u

struct world {
	char folder[64];
	unsigned port;
	struct accounts accounts;
	struct config *config;
	struct resources r;
	struct buf errors;
};

static unsigned free_port(void)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(sin);
	CLEANUP(fd_closep) int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	return ntohs(sin.sin_port);
}

static void write_file(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* The working folder is the world's. */
static struct config *load(struct world *w, const char *more)
{
	static const char head[] = "hostname = \"mx.example.org\"\ndata = \"data\"\n"
				   "listener \"mx\" { address = {\"127.0.0.1:%u\"} }\n"
				   "relay { from = {\"127.0.0.0/8\"} }\n%s\n";
	struct buf text = BUF_INIT(65536);
	struct config *c = NULL;

	buf_printf(&text, head, w->port, more);
	buf_append(&text, "", 1);
	write_file("conf", text.ptr);
	buf_done(&text);
	buf_reset(&w->errors);
	int r = config_load("conf", &c, &w->errors);
	if (r < 0)
		fail_msg("config: %.*s", SPAN_FMT(buf_span(&w->errors)));
	return c;
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->errors = BUF_INIT(65536);
	(void)snprintf(w->folder, sizeof(w->folder), "/tmp/postrider-resources-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	assert_int_equal(chdir(w->folder), 0);
	w->port = free_port();
	w->accounts.uid[ROLE_MAILBOX] = w->accounts.gid[ROLE_MAILBOX] = MAIL_UID;
	resources_init(&w->r);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	resources_done(&w->r);
	config_free(w->config);
	buf_done(&w->errors);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(scratch_remove(w->folder), 0);
	free(w);
	return 0;
}

/* The server's start: data, then everything that the configuration names. */
static int begin(struct world *w, const char *more)
{
	w->config = load(w, more);
	int r = resources_open_data(&w->r, w->config, &w->accounts, &w->errors);
	return r < 0 ? r : resources_open(&w->r, NULL, w->config, &w->accounts, &w->errors);
}

static const struct resource *named(const struct resources *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->items[i].name, name) == 0)
			return &r->items[i];
	return NULL;
}

static void expect_error(const struct world *w, const char *want)
{
	if (!w->errors.len || !memmem(w->errors.ptr, w->errors.len, want, strlen(want)))
		fail_msg("want \"%s\", got \"%.*s\"", want, SPAN_FMT(buf_span(&w->errors)));
}

static int connect_port(unsigned port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0)
		return fd;
	int e = -errno;
	fd_close(fd);
	return e;
}

/* ---- folders and locks ---- */

static void resources_open_data__modes(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *path;
		mode_t mode;
	} rows[] = {{"data", 0711}, {"data/spool", 0700}, {"data/empty", 0555},
		{"data/server.lock", 0600}, {"data/data.lock", 0600}, {"data/control", 0600},
		{"data/submit", 0666}};
	struct stat st;

	assert_int_equal(begin(w, ""), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(stat(rows[i].path, &st), 0);
		if ((st.st_mode & 0777) != rows[i].mode)
			fail_msg("%s: want %o, got %o", rows[i].path, rows[i].mode,
				st.st_mode & 0777);
	}
	assert_non_null(named(&w->r, "spool"));
	assert_non_null(named(&w->r, "empty"));
}

static void resources_open_data__second_holder(void **state)
{
	struct world *w = *state;
	struct resources second;

	assert_int_equal(begin(w, ""), 0);
	resources_init(&second);
	int r = resources_open_data(&second, w->config, &w->accounts, &w->errors);
	resources_done(&second);
	assert_int_equal(r, -EBUSY);
	expect_error(w, "another server is running");
	/* The refused one took nothing from the first, and leaves nothing behind. */
	resources_done(&w->r);
	r = resources_open_data(&second, w->config, &w->accounts, &w->errors);
	resources_done(&second);
	assert_int_equal(r, 0);
}

/* A process of an earlier server that has not ended yet: its lock is waited for. */
static void resources_open_data__earlier_process_ends(void **state)
{
	struct world *w = *state;
	int ready[2], status;
	char octet;

	assert_int_equal(mkdir("data", 0711), 0);
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	if (child == 0) {
		struct timespec while_ending = {0, 200 * 1000 * 1000};
		int fd = open("data/data.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (flock(fd, LOCK_EX) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		(void)nanosleep(&while_ending, NULL);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &octet, 1), 1);
	fd_close(ready[0]);
	fd_close(ready[1]);
	assert_int_equal(begin(w, ""), 0);
	/* Not before its end. */
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void resources_add_shared__size_is_fixed(void **state)
{
	struct world *w = *state;
	struct stat st;

	assert_int_equal(resources_add_shared(&w->r, "permits", 8192), 0);
	int fd = named(&w->r, "permits")->fd;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 8192);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 16384), -1);
}

/* ---- mail folders ---- */

static void resources_open__maildir_prefix(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *deliver, *prefix;
	} rows[] = {
		{"maildir:m/{domain}/{local}", "m/a.example"},
		{"maildir:n/{local}", "n"},
		{"maildir:deep/er/{domain}/x/{local}/Maildir", "deep/er/a.example/x"},
		{"maildir:o/{domain}-{local}", "o"},
		{"maildir:p/box", "p/box"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf more = BUF_INIT(1024), name = BUF_INIT(1024);
		struct stat st;
		buf_printf(&more, "domain \"a.example\" { users = \"any\" deliver = \"%s\" }",
			rows[i].deliver);
		buf_append(&more, "", 1);
		buf_printf(&name, "maildir:%s/%s", w->folder, rows[i].prefix);
		buf_append(&name, "", 1);
		int r = begin(w, more.ptr);
		if (r < 0 || !named(&w->r, name.ptr))
			fail_msg("%s: want %s, got %d %s %.*s", rows[i].deliver, name.ptr, r,
				w->r.n ? w->r.items[w->r.n - 1].name : "",
				SPAN_FMT(buf_span(&w->errors)));
		assert_int_equal(stat(rows[i].prefix, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0700);
		assert_int_equal(st.st_uid, geteuid() == 0 ? MAIL_UID : geteuid());
		resources_done(&w->r);
		config_free(TAKE(w->config));
		buf_done(&more);
		buf_done(&name);
	}
}

static void resources_open__shared_folder_keeps_its_owner(void **state)
{
	struct world *w = *state;
	struct stat st;

	assert_int_equal(mkdir("spool", 0775), 0);
	assert_int_equal(chmod("spool", 02775), 0);
	assert_int_equal(mkdir("ours", 0755), 0);
	assert_int_equal(begin(w, "domain \"a.example\" { users = \"any\" deliver = "
				  "\"maildir:spool/{local}\" }\n"
				  "domain \"b.example\" { users = \"any\" deliver = "
				  "\"maildir:ours/{local}\" }\n"),
		0);
	assert_int_equal(stat("spool", &st), 0);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(st.st_mode & 07777, 02775);
	assert_int_equal(stat("ours", &st), 0);
	assert_int_equal(st.st_uid, geteuid() == 0 ? MAIL_UID : geteuid());
}

static void resources_open__says_what_is_missing(void **state)
{
	struct world *w = *state;
	static const char with_users[] =
		"domain \"a.example\" { users = \"file:nobody\" deliver = \"discard:\" }";

	assert_int_equal(begin(w, with_users), -ENOENT);
	expect_error(w, "nobody: cannot read the users file");
	resources_done(&w->r);
	config_free(TAKE(w->config));
	write_file("file", "");
	assert_true(begin(w, "domain \"a.example\" { users = \"any\" "
			     "deliver = \"maildir:file/{local}\" }") < 0);
	expect_error(w, "file: cannot make or open the mail folder");
}

static void resources_open__address_in_use(void **state)
{
	struct world *w = *state;
	struct resources other;

	assert_int_equal(begin(w, ""), 0);
	/* Another server's: another data folder, the same port. */
	resources_init(&other);
	free(w->config->data);
	w->config->data = strdup("data2");
	assert_int_equal(resources_open_data(&other, w->config, &w->accounts, &w->errors), 0);
	int r = resources_open(&other, NULL, w->config, &w->accounts, &w->errors);
	resources_done(&other);
	assert_int_equal(r, -EADDRINUSE);
	expect_error(w, "another program listens there");
}

/* ---- reload ---- */

static struct sockaddr_in bound_to(int fd)
{
	struct sockaddr_in sin = {.sin_family = 0};
	socklen_t len = sizeof(sin);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	return sin;
}

static void resources_open__listener_is_taken_over(void **state)
{
	struct world *w = *state;
	struct resources next;

	assert_int_equal(begin(w, ""), 0);
	/* In the backlog when the reload comes: it must not be lost. */
	CLEANUP(fd_closep) int client = connect_port(w->port);
	assert_true(client >= 0);

	struct buf more = BUF_INIT(1024);
	unsigned second = free_port();
	buf_printf(&more, "listener \"a-second\" { address = {\"127.0.0.1:%u\"} }", second);
	buf_append(&more, "", 1);
	struct config *c = load(w, more.ptr);
	buf_done(&more);
	resources_init(&next);
	assert_int_equal(resources_open(&next, &w->r, c, &w->accounts, &w->errors), 0);
	resources_adopt(&next, &w->r);
	w->r = next;
	config_free(w->config);
	w->config = c;

	unsigned found = 0;
	for (size_t i = 0; i < w->r.n; i++) {
		const struct resource *item = &w->r.items[i];
		if (strncmp(item->name, "listener:", 9) != 0)
			continue;
		found++;
		int fd = accept4(item->fd, NULL, NULL, SOCK_CLOEXEC);
		if (ntohs(bound_to(item->fd).sin_port) == w->port)
			assert_true(fd >= 0);
		else
			assert_int_equal(fd, -1);
		fd_close(fd);
	}
	assert_int_equal(found, 2);
	/* What outlives a reload is still there, the locks too. */
	assert_non_null(named(&w->r, "spool"));
	assert_non_null(named(&w->r, "control"));
	assert_true(w->r.data_fd >= 0 && w->r.lock >= 0 && w->r.server_lock >= 0);
}

static void resources_open__failed_reload_harms_nothing(void **state)
{
	struct world *w = *state;
	struct resources next;

	assert_int_equal(begin(w, ""), 0);
	struct config *c = load(w, "domain \"a.example\" { users = \"file:nobody\" "
				   "deliver = \"maildir:mail/{local}\" }");
	resources_init(&next);
	assert_int_equal(resources_open(&next, &w->r, c, &w->accounts, &w->errors), -ENOENT);
	assert_true(resources_have_new_folder(&next, &w->r));
	assert_false(resources_have_new_folder(&next, &next));
	resources_done(&next);
	config_free(c);
	CLEANUP(fd_closep) int client = connect_port(w->port);
	assert_true(client >= 0);
	CLEANUP(fd_closep) int taken = accept4(named(&w->r, "listener:0:0")->fd, NULL, NULL, 0);
	assert_true(taken >= 0);
	assert_int_equal(access("data/control", F_OK), 0);
}

static void resources_stop_listening__refuses(void **state)
{
	struct world *w = *state;

	assert_int_equal(begin(w, ""), 0);
	/* Whoever else holds the socket, too. */
	CLEANUP(fd_closep) int role = dup(named(&w->r, "listener:0:0")->fd);
	assert_true(role >= 0);
	resources_stop_listening(&w->r);
	assert_int_equal(connect_port(w->port), -ECONNREFUSED);
}

/* ---- tables ---- */

static void expect_table(const struct world *w, const char *name, const char *want)
{
	const struct resource *item = named(&w->r, name);
	char got[256] = "";

	assert_non_null(item);
	ssize_t n = pread(item->fd, got, sizeof(got) - 1, 0);
	assert_true(n >= 0);
	assert_string_equal(got, want);
}

static void resources_refresh_tables__sees_every_change(void **state)
{
	struct world *w = *state;

	write_file("users", "ada:\n");
	write_file("aliases", "all: ada\n");
	assert_int_equal(begin(w, "domain \"a.example\" { users = \"file:users\" "
				  "aliases = \"file:aliases\" deliver = \"discard:\" }"),
		0);
	assert_false(resources_refresh_tables(&w->r));

	/* Replaced, as editors and our own `user` do. */
	write_file("users.new", "bob:\n");
	assert_int_equal(rename("users.new", "users"), 0);
	expect_table(w, "users:0", "ada:\n");
	assert_true(resources_refresh_tables(&w->r));
	expect_table(w, "users:0", "bob:\n");
	expect_table(w, "aliases:0", "all: ada\n");
	assert_false(resources_refresh_tables(&w->r));

	/* Written in place. */
	write_file("aliases", "all: ada, bob\n");
	assert_true(resources_refresh_tables(&w->r));
	expect_table(w, "aliases:0", "all: ada, bob\n");

	/* Gone: what was read last stays, until there is one again. */
	assert_int_equal(unlink("users"), 0);
	assert_false(resources_refresh_tables(&w->r));
	expect_table(w, "users:0", "bob:\n");
	write_file("users", "eve:\n");
	assert_true(resources_refresh_tables(&w->r));
	expect_table(w, "users:0", "eve:\n");
	assert_false(resources_refresh_tables(&w->r));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(resources_open_data__modes),
		TEST(resources_open_data__second_holder),
		TEST(resources_open_data__earlier_process_ends),
		TEST(resources_add_shared__size_is_fixed),
		TEST(resources_open__maildir_prefix),
		TEST(resources_open__shared_folder_keeps_its_owner),
		TEST(resources_open__says_what_is_missing),
		TEST(resources_open__address_in_use),
		TEST(resources_open__listener_is_taken_over),
		TEST(resources_open__failed_reload_harms_nothing),
		TEST(resources_stop_listening__refuses),
		TEST(resources_refresh_tables__sees_every_change),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
