/* Delivery into Maildirs of a scratch folder. */
#include "support.h"
#include "../scratch.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deliver/maildir_delivery.h"

#define STEM "1763781000.M42V4HMR"
#define OWN  "Return-Path: <s@x.org>\nDelivered-To: bob@b.org\n"

struct scratch {
	char prefix[64];
	char template[128];
	int fd;
};

static void scratch_open(struct scratch *s)
{
	snprintf(s->prefix, sizeof(s->prefix), "/tmp/postrider-maildir.XXXXXX");
	assert_non_null(mkdtemp(s->prefix));
	snprintf(s->template, sizeof(s->template), "%s/{domain}/{local}", s->prefix);
	s->fd = open(s->prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(s->fd >= 0);
}

static void scratch_close(struct scratch *s)
{
	if (s->fd >= 0)
		close(s->fd);
	assert_int_equal(scratch_remove(s->prefix), 0);
}

static char *deliver(
	struct scratch *s, struct wanted_job job, struct span message, struct buf *text)
{
	static char elsewhere[] = "/elsewhere";
	struct maildir_store stores[] = {{elsewhere, -1}, {s->prefix, s->fd}};
	struct stored stored;
	struct delivery d;
	job.via = JOB_MAILDIR;
	if (!job.path)
		job.path = s->template;
	if (!job.from)
		job.from = "s@x.org";
	store_message(&stored, message);
	make_delivery(&d, &job, &stored);
	maildir_deliver(&d, stores, ARRAY_LEN(stores), "mx.example.org");
	char *got = outcome_text(&d.outcome);
	if (text)
		buf_put(text, d.outcome.rcpts[0].text);
	delivery_done(&d);
	store_done(&stored);
	return got;
}

static void expect(struct scratch *s, struct wanted_job job, struct span message, const char *want)
{
	char *got = deliver(s, job, message, NULL);
	assert_string_equal(got, want);
	free(got);
}

/* Number of files in a folder below the prefix; the last one's name. -1: no such folder. */
static int files_in(struct scratch *s, const char *folder, char *name, size_t room)
{
	int fd = openat(s->fd, folder, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return -1;
	DIR *dir = fdopendir(fd);
	const struct dirent *e;
	int n = 0;
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		n++;
		if (name)
			snprintf(name, room, "%s/%s", folder, e->d_name);
	}
	closedir(dir);
	return n;
}

static void expect_file(
	struct scratch *s, const char *folder, const char *want_name, struct span want)
{
	char name[512];
	assert_int_equal(files_in(s, folder, name, sizeof(name)), 1);
	if (!strstr(name, want_name))
		print_error("want %s, got %s\n", want_name, name);
	assert_non_null(strstr(name, want_name));
	int fd = openat(s->fd, name, O_RDONLY);
	struct stat st;
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	char *octets = malloc((size_t)st.st_size + 1);
	assert_int_equal(read(fd, octets, (size_t)st.st_size), st.st_size);
	if ((size_t)st.st_size != want.len || memcmp(octets, want.ptr, want.len) != 0)
		print_error("%s: %zd octets, want %zu; begins %.100s\n", name, (ssize_t)st.st_size,
			want.len, octets);
	assert_int_equal((size_t)st.st_size, want.len);
	assert_memory_equal(octets, want.ptr, want.len);
	free(octets);
	close(fd);
}

static void stores(void *arg)
{
	(void)arg;
	struct scratch s;
	scratch_open(&s);
	expect(&s, (struct wanted_job){.rcpts = {"bob@b.org"}}, SPAN_LIT("A: b\r\n\r\nx\r\n"),
		"0:delivered:0:2.1.5 ");
	expect_file(&s, "b.org/bob/new", STEM "0.mx.example.org,S=55", SPAN_LIT(OWN "A: b\n\nx\n"));
	assert_int_equal(files_in(&s, "b.org/bob/tmp", NULL, 0), 0);
	assert_int_equal(files_in(&s, "b.org/bob/cur", NULL, 0), 0);
	struct stat st;
	assert_int_equal(fstatat(s.fd, "b.org", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	/* The same once more: not a second file. */
	expect(&s, (struct wanted_job){.rcpts = {"bob@b.org"}}, SPAN_LIT("A: b\r\n\r\nx\r\n"),
		"0:delivered:0:2.1.5 ");
	assert_int_equal(files_in(&s, "b.org/bob/new", NULL, 0), 1);
	scratch_close(&s);
}

static void maildir_deliver__stores(void **state)
{
	(void)state;
	run_on_loop(stores, NULL);
}

static void names(void *arg)
{
	(void)arg;
	static const struct {
		const char *address, *want_folder; /* NULL: nothing is written */
		const char *want;
	} table[] = {
		{"Bob.Smith@B.ORG", "b.org/bob.smith/new", "0:delivered:0:2.1.5 "},
		{"\"../../x\"@b.org", "b.org/%2E.%2F..%2Fx/new", "0:delivered:0:2.1.5 "},
		{"\".\"@b.org", "b.org/%2E/new", "0:delivered:0:2.1.5 "},
		{"\"a\\\"b c\"@b.org", "b.org/a\"b c/new", "0:delivered:0:2.1.5 "},
		{"a%b@b.org", "b.org/a%25b/new", "0:delivered:0:2.1.5 "},
		{"bob@[127.0.0.1]", "[127.0.0.1]/bob/new", "0:delivered:0:2.1.5 "},
		{"bob@../x", NULL, "0:failed:550:5.1.1 "},
		{"\"\"@b.org", NULL, "0:failed:550:5.1.1 "},
		{"postmaster", NULL, "0:failed:550:5.1.1 "},
		{"", NULL, "0:failed:550:5.1.1 "},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct scratch s;
		scratch_open(&s);
		char *got = deliver(&s, (struct wanted_job){.rcpts = {table[i].address}},
			SPAN_LIT("A: b\r\n\r\n"), NULL);
		if (strcmp(got, table[i].want) != 0)
			print_error("%s: want %s, got %s\n", table[i].address, table[i].want, got);
		assert_string_equal(got, table[i].want);
		free(got);
		if (table[i].want_folder && files_in(&s, table[i].want_folder, NULL, 0) != 1)
			fail_msg("%s: nothing in %s", table[i].address, table[i].want_folder);
		if (!table[i].want_folder)
			assert_int_equal(files_in(&s, ".", NULL, 0), 0);
		scratch_close(&s);
	}
}

static void maildir_deliver__names(void **state)
{
	(void)state;
	run_on_loop(names, NULL);
}

static void suspects(void *arg)
{
	(void)arg;
	struct wanted_job job = {.rcpts = {"bob@b.org"}, .suspect = true};
	struct scratch s;
	char new_name[512], cur_name[512];
	scratch_open(&s);
	/* Nothing there yet: it is delivered. */
	expect(&s, job, SPAN_LIT("A: b\r\n\r\n"), "0:delivered:0:2.1.5 ");
	assert_int_equal(files_in(&s, "b.org/bob/new", new_name, sizeof(new_name)), 1);
	/* A mail reader has moved it: it is found there. */
	snprintf(cur_name, sizeof(cur_name), "b.org/bob/cur/%s:2,S", strrchr(new_name, '/') + 1);
	assert_int_equal(renameat(s.fd, new_name, s.fd, cur_name), 0);
	struct buf text = BUF_INIT(1024);
	char *got = deliver(&s, job, SPAN_LIT("A: b\r\n\r\n"), &text);
	assert_string_equal(got, "0:delivered:0:2.1.5 ");
	assert_true(span_equal(buf_span(&text), SPAN_LIT("already in the mailbox")));
	free(got);
	buf_done(&text);
	assert_int_equal(files_in(&s, "b.org/bob/new", NULL, 0), 0);
	assert_int_equal(files_in(&s, "b.org/bob/cur", NULL, 0), 1);
	/* Another recipient of the same message is another file. */
	job.rcpts[1] = "bob@b.org";
	expect(&s, job, SPAN_LIT("A: b\r\n\r\n"), "0:delivered:0:2.1.5 1:delivered:0:2.1.5 ");
	assert_int_equal(files_in(&s, "b.org/bob/new", NULL, 0), 1);
	scratch_close(&s);
}

static void maildir_deliver__suspect_is_found(void **state)
{
	(void)state;
	run_on_loop(suspects, NULL);
}

static void leftover(void *arg)
{
	(void)arg;
	struct scratch s;
	scratch_open(&s);
	assert_int_equal(mkdirat(s.fd, "b.org", 0700), 0);
	assert_int_equal(mkdirat(s.fd, "b.org/bob", 0700), 0);
	assert_int_equal(mkdirat(s.fd, "b.org/bob/tmp", 0700), 0);
	int fd = openat(s.fd, "b.org/bob/tmp/" STEM "0.mx.example.org", O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "half a mess", 11), 11);
	close(fd);
	expect(&s, (struct wanted_job){.rcpts = {"bob@b.org"}}, SPAN_LIT("A: b\r\n\r\nx\r\n"),
		"0:delivered:0:2.1.5 ");
	expect_file(&s, "b.org/bob/new", STEM "0.mx.example.org,S=55", SPAN_LIT(OWN "A: b\n\nx\n"));
	assert_int_equal(files_in(&s, "b.org/bob/tmp", NULL, 0), 0);
	scratch_close(&s);
}

static void maildir_deliver__leftover_is_replaced(void **state)
{
	(void)state;
	run_on_loop(leftover, NULL);
}

static void loops(void *arg)
{
	(void)arg;
	struct wanted_job job = {.rcpts = {"bob@b.org"}};
	struct scratch s;
	scratch_open(&s);
	expect(&s, job, SPAN_LIT("Received: x\r\nDelivered-To: BOB@b.org\r\n\r\nx\r\n"),
		"0:failed:554:5.4.6 ");
	assert_int_equal(files_in(&s, "b.org", NULL, 0), -1);
	expect(&s, job, SPAN_LIT("Delivered-To: al@b.org\r\n\r\nDelivered-To: bob@b.org\r\n"),
		"0:delivered:0:2.1.5 ");
	scratch_close(&s);
}

static void maildir_deliver__loop(void **state)
{
	(void)state;
	run_on_loop(loops, NULL);
}

static void expect_text(
	struct scratch *s, struct wanted_job job, const char *want, const char *part)
{
	struct buf text = BUF_INIT(4096);
	char *got = deliver(s, job, SPAN_LIT("A: b\r\n\r\n"), &text);
	assert_string_equal(got, want);
	buf_char(&text, '\0');
	if (!strstr(text.ptr, part))
		print_error("want %s, got %s\n", part, text.ptr);
	assert_non_null(strstr(text.ptr, part));
	free(got);
	buf_done(&text);
}

static void trouble(void *arg)
{
	(void)arg;
	struct wanted_job job = {.rcpts = {"bob@b.org"}};
	struct scratch s;
	char part[256];
	scratch_open(&s);
	snprintf(part, sizeof(part), "cannot open or create %s/b.org/bob: ", s.prefix);
	/* A symbolic link leads nowhere. */
	assert_int_equal(symlinkat("/tmp", s.fd, "b.org"), 0);
	expect_text(&s, job, "0:deferred:0:4.3.0 ", part);
	assert_int_equal(unlinkat(s.fd, "b.org", 0), 0);
	/* No right to write: root has it always, so not as root. */
	assert_int_equal(mkdirat(s.fd, "b.org", 0500), 0);
	bool root = geteuid() == 0;
	if (root) {
		assert_int_equal(fchown(s.fd, 65534, 65534), 0);
		assert_int_equal(fchownat(s.fd, "b.org", 65534, 65534, 0), 0);
		assert_int_equal(seteuid(65534), 0);
	}
	expect_text(&s, job, "0:deferred:0:4.3.0 ", part);
	expect_text(&s, job, "0:deferred:0:4.3.0 ", "Permission denied");
	/* One unwritable mailbox does not hold up the others of the job. */
	job.rcpts[1] = "al@c.org";
	expect(&s, job, SPAN_LIT("A: b\r\n\r\n"), "0:deferred:0:4.3.0 1:delivered:0:2.1.5 ");
	if (root)
		assert_int_equal(seteuid(0), 0);
	/* What the operator has to repair in the configuration. */
	job.rcpts[1] = NULL;
	job.path = "/nowhere/{local}";
	expect_text(&s, job, "0:deferred:0:4.3.5 ", "/nowhere/{local}");
	job.path = "/tmp/{word}";
	expect_text(&s, job, "0:deferred:0:4.3.5 ", "/tmp/{word}");
	scratch_close(&s);
}

static void maildir_deliver__trouble_is_deferred(void **state)
{
	(void)state;
	run_on_loop(trouble, NULL);
}

static void full_disk(void *arg)
{
	bool *mounted = arg;
	struct scratch s;
	struct buf message = BUF_INIT(1 << 20);
	scratch_open(&s);
	*mounted = mount("none", s.prefix, "tmpfs", 0, "size=128k") == 0;
	if (*mounted) {
		close(s.fd);
		s.fd = open(s.prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		for (unsigned i = 0; i < 40000; i++)
			buf_str(&message, "line\r\n");
		struct wanted_job job = {.rcpts = {"bob@b.org"}};
		expect(&s, job, buf_span(&message), "0:deferred:0:4.3.1 ");
		/* Nothing of it stays: a small one fits. */
		assert_int_equal(files_in(&s, "b.org/bob/tmp", NULL, 0), 0);
		expect(&s, job, SPAN_LIT("A: b\r\n\r\n"), "0:delivered:0:2.1.5 ");
		close(s.fd);
		s.fd = -1;
		assert_int_equal(umount2(s.prefix, MNT_DETACH), 0);
	}
	buf_done(&message);
	scratch_close(&s);
}

static void maildir_deliver__full_disk(void **state)
{
	(void)state;
	bool mounted;
	run_on_loop(full_disk, &mounted);
	if (!mounted)
		skip(); /* no right to mount a small file system */
}

/* 20 MiB with CRLF, bare CR and bare LF falling on every offset of the chunks' borders. */
static void large(void *arg)
{
	(void)arg;
	struct buf in = BUF_INIT(64 << 20), want = BUF_INIT(64 << 20);
	struct scratch s;
	char name[512], want_name[64];
	scratch_open(&s);
	buf_str(&want, OWN);
	for (unsigned i = 0; in.len < 20u << 20; i++) {
		static const char *const ends[] = {"\r\n", "\r\n", "\n", "\r", "\r\r\n", "\n\r"};
		static const char *const stored[] = {"\n", "\n", "\n", "\r", "\r\n", "\n\r"};
		unsigned k = i % ARRAY_LEN(ends);
		buf_printf(&in, "%u%s", i, ends[k]);
		buf_printf(&want, "%u%s", i, stored[k]);
	}
	buf_str(&in, "the last line\r");
	buf_str(&want, "the last line\r");
	expect(&s, (struct wanted_job){.rcpts = {"bob@b.org"}}, buf_span(&in),
		"0:delivered:0:2.1.5 ");
	snprintf(want_name, sizeof(want_name), ",S=%zu", want.len);
	expect_file(&s, "b.org/bob/new", want_name, buf_span(&want));
	assert_int_equal(files_in(&s, "b.org/bob/new", name, sizeof(name)), 1);
	assert_int_equal(unlinkat(s.fd, name, 0), 0);
	/* RFC 3030: a binary body is stored as it came. */
	buf_reset(&want);
	buf_str(&want, "Return-Path: <s@x.org>\r\nDelivered-To: bob@b.org\r\n");
	buf_put(&want, buf_span(&in));
	expect(&s, (struct wanted_job){.rcpts = {"bob@b.org"}, .body = 2}, buf_span(&in),
		"0:delivered:0:2.1.5 ");
	expect_file(&s, "b.org/bob/new", STEM, buf_span(&want));
	buf_done(&in);
	buf_done(&want);
	scratch_close(&s);
}

static void maildir_deliver__line_ends_over_borders(void **state)
{
	(void)state;
	run_on_loop(large, NULL);
}

/* More than one batch; a segment that ends early leaves nothing behind. */
static void many(void *arg)
{
	(void)arg;
	static char addresses[40][24];
	static const char *addressees[40];
	struct wanted_job job = {.many = addressees, .n_many = 40};
	struct scratch s;
	scratch_open(&s);
	for (unsigned i = 0; i < 40; i++) {
		snprintf(addresses[i], sizeof(addresses[i]), "u%u@b.org", i);
		addressees[i] = addresses[i];
	}
	char *got = deliver(&s, job, SPAN_LIT("A: b\r\n\r\n"), NULL);
	assert_null(strstr(got, "deferred"));
	assert_non_null(strstr(got, "39:delivered"));
	free(got);
	assert_int_equal(files_in(&s, "b.org", NULL, 0), 40);
	assert_int_equal(files_in(&s, "b.org/u39/new", NULL, 0), 1);

	struct maildir_store store = {s.prefix, s.fd};
	struct stored stored;
	struct delivery d;
	job = (struct wanted_job){.via = JOB_MAILDIR, .path = s.template, .rcpts = {"bob@c.org"}};
	store_message(&stored, SPAN_LIT("A: b\r\n\r\nx\r\n"));
	stored.ranges[1].length++;
	make_delivery(&d, &job, &stored);
	maildir_deliver(&d, &store, 1, "mx");
	got = outcome_text(&d.outcome);
	assert_string_equal(got, "0:deferred:0:4.3.0 ");
	free(got);
	assert_true(files_in(&s, "c.org/bob/new", NULL, 0) <= 0);
	assert_true(files_in(&s, "c.org/bob/tmp", NULL, 0) <= 0);
	delivery_done(&d);
	store_done(&stored);
	scratch_close(&s);
}

static void maildir_deliver__many_recipients_short_segment(void **state)
{
	(void)state;
	run_on_loop(many, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(maildir_deliver__stores),
		cmocka_unit_test(maildir_deliver__names),
		cmocka_unit_test(maildir_deliver__suspect_is_found),
		cmocka_unit_test(maildir_deliver__leftover_is_replaced),
		cmocka_unit_test(maildir_deliver__loop),
		cmocka_unit_test(maildir_deliver__trouble_is_deferred),
		cmocka_unit_test(maildir_deliver__full_disk),
		cmocka_unit_test(maildir_deliver__line_ends_over_borders),
		cmocka_unit_test(maildir_deliver__many_recipients_short_segment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
