/* The production seam on a real folder. */
#include "fake.h"
#include "fiber/fiber.h"
#include "fiber/offload.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder {
	char path[32];
	int fd;
	struct seam *seam;
};

static int setup(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	memcpy(f->path, "/tmp/seam-XXXXXX", 17);
	assert_non_null(mkdtemp(f->path));
	f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->fd >= 0);
	assert_int_equal(loop_init(), 0);
	assert_int_equal(offload_init(2), 0);
	assert_int_equal(seam_posix_new(f->fd, &f->seam), 0);
	*state = f;
	return 0;
}

static void remove_one(void *arg, const char *name)
{
	struct folder *f = arg;

	(void)f->seam->ops->unlink(f->seam->disk, name);
}

static int teardown(void **state)
{
	struct folder *f = *state;

	(void)!f->seam->ops->list(f->seam->disk, remove_one, f);
	seam_posix_free(f->seam);
	offload_done();
	loop_done();
	close(f->fd);
	(void)rmdir(f->path);
	free(f);
	return 0;
}

struct wait {
	struct disk_op op;
	int result;
};

static void on_done(struct disk_op *op, int result)
{
	struct wait *w = CONTAINER_OF(op, struct wait, op);

	w->result = result;
	loop_exit();
}

static void wait_for(struct wait *w)
{
	want_int("inside the call", 1, w->result);
	while (w->result == 1)
		assert_int_equal(loop_run(), 0);
}

static struct disk_file *make(struct folder *f, const char *name)
{
	struct disk_file *file = NULL;

	want_int("create", 0, f->seam->ops->open(f->seam->disk, name, true, &file));
	return file;
}

static void seam_posix__write_read_sync(void **state)
{
	struct folder *f = *state;
	const struct disk_ops *o = f->seam->ops;
	struct disk_file *file = make(f, "a");
	struct wait w = {.op.done = on_done, .result = 1};
	struct iovec iov[40];
	char got[64];
	size_t n;
	uint64_t size;

	for (int i = 0; i < 40; i++) /* more parts than one call takes, an empty one too */
		iov[i] = (struct iovec){(void *)(uintptr_t) "x", i == 3 ? 0 : 1};
	want_int("write", 0, o->write(file, 100, iov, 40));
	want_int("size", 0, o->size(file, &size));
	want_u64("size", 139, size);
	want_int("read", 0, o->read(file, 98, got, sizeof(got), &n));
	want_u64("up to the end", 41, n);
	assert_memory_equal(got, "\0\0xxxx", 6);
	o->sync(file, &w.op);
	wait_for(&w);
	want_int("sync", 0, w.result);
	o->close(file);
	want_int("exists", -EEXIST, o->open(f->seam->disk, "a", true, &file));
	want_int("absent", -ENOENT, o->open(f->seam->disk, "b", false, &file));
}

static void seam_posix_prepare__both_ways(void **state)
{
	struct folder *f = *state;
	const struct disk_ops *o = f->seam->ops;

	for (int fast = 0; fast < 2; fast++) {
		struct disk_file *file = make(f, fast ? "fast" : "slow");
		struct wait w = {.op.done = on_done, .result = 1};
		uint64_t size;
		char last = 1;
		size_t n;
		o->prepare(file, (3u << 20) + 4096, fast, &w.op);
		o->close(file); /* goes on all the same */
		wait_for(&w);
		want_int("prepare", 0, w.result);
		want_int("open", 0, o->open(f->seam->disk, fast ? "fast" : "slow", false, &file));
		want_int("size", 0, o->size(file, &size));
		want_u64("size", (3u << 20) + 4096, size);
		want_int("read", 0, o->read(file, size - 1, &last, 1, &n));
		want_int("zero", 0, last);
		o->close(file);
	}
}

static void seam_posix_open__never_through_a_link(void **state)
{
	struct folder *f = *state;
	struct disk_file *file;

	assert_int_equal(symlinkat("/etc/passwd", f->fd, "link"), 0);
	want_int("link", -ELOOP, f->seam->ops->open(f->seam->disk, "link", false, &file));
}

static void seam_posix_open_write_fd__cannot_read(void **state)
{
	struct folder *f = *state;
	const struct disk_ops *o = f->seam->ops;
	struct disk_file *file = make(f, "a"), *adopted;
	struct iovec iov = {(void *)(uintptr_t) "hello", 5};
	char got[8];
	size_t n;
	int fd;

	want_int("fd", 0, o->open_write_fd(f->seam->disk, "a", &fd));
	want_int("adopt", 0, o->adopt(f->seam->disk, fd, &adopted));
	want_int("write", 0, o->write(adopted, 0, &iov, 1));
	want_int("read", -EBADF, o->read(adopted, 0, got, sizeof(got), &n));
	want_int("read", 0, o->read(file, 0, got, sizeof(got), &n));
	assert_memory_equal(got, "hello", 5);
	o->close(adopted);
	o->close(file);
}

static void count_one(void *arg, const char *name)
{
	assert_true(name[0] == 'a' || name[0] == 'b');
	++*(unsigned *)arg;
}

static void seam_posix__folder(void **state)
{
	struct folder *f = *state;
	const struct disk_ops *o = f->seam->ops;
	unsigned n = 0;
	uint64_t room = 0;

	o->close(make(f, "a"));
	o->close(make(f, "b"));
	want_int("list", 0, o->list(f->seam->disk, count_one, &n));
	want_u64("files", 2, n);
	want_int("unlink", 0, o->unlink(f->seam->disk, "a"));
	want_int("absent", -ENOENT, o->unlink(f->seam->disk, "a"));
	want_int("sync", 0, o->sync_folder(f->seam->disk));
	want_int("room", 0, o->free_octets(f->seam->disk, &room));
	assert_true(room > 0);
}

static void seam_posix_new__boot_id(void **state)
{
	static const struct {
		const char *text;
		uint8_t first, last;
	} table[] = {
		{"0123456789abcdef0123456789abcdef", 0x01, 0xef},
		{"01234567-89ab-cdef-0123-456789abcdff\n", 0x01, 0xff},
	};
	struct seam *s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		setenv("POSTRIDER_BOOT_ID", table[i].text, 1);
		want_int("new", 0, seam_posix_new(-1, &s));
		want_u64(table[i].text, table[i].first, s->boot_id[0]);
		want_u64(table[i].text, table[i].last, s->boot_id[15]);
		seam_posix_free(s);
	}
	unsetenv("POSTRIDER_BOOT_ID");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(seam_posix__write_read_sync, setup, teardown),
		cmocka_unit_test_setup_teardown(seam_posix_prepare__both_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(
			seam_posix_open__never_through_a_link, setup, teardown),
		cmocka_unit_test_setup_teardown(
			seam_posix_open_write_fd__cannot_read, setup, teardown),
		cmocka_unit_test_setup_teardown(seam_posix__folder, setup, teardown),
		cmocka_unit_test_setup_teardown(seam_posix_new__boot_id, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
