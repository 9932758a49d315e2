/* Twin of config/seal_key.c: made once, private, the same ever after. */
#include "../base/test.h"
#include "config/seal_key.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void seal_key__made_once(void **state)
{
	char folder[] = "/tmp/seal_key_test.XXXXXX";
	uint8_t first[SEAL_KEY_FILE_OCTETS], again[SEAL_KEY_FILE_OCTETS];
	struct stat st;
	unsigned files = 0;

	(void)state;
	assert_non_null(mkdtemp(folder));
	int at = open(folder, O_RDONLY | O_DIRECTORY), fd = seal_key_open(at);
	assert_true(fd >= 0);
	assert_int_equal(seal_key_read(fd, first), 0);
	assert_int_equal(fstat(fd, &st), 0);
	want_int("mode", 0600, (int)(st.st_mode & 07777));
	close(fd);
	fd = seal_key_open(at);
	assert_int_equal(seal_key_read(fd, again), 0);
	assert_memory_equal(first, again, sizeof(first));
	close(fd);
	DIR *d = opendir(folder);
	for (struct dirent *e; (e = readdir(d));)
		files += e->d_name[0] != '.';
	closedir(d);
	want_int("files", 1, (int)files); /* nothing is left of making it */

	fd = openat(at, SEAL_KEY_FILE, O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "short", 5), 5);
	close(fd);
	fd = seal_key_open(at);
	want_int("short", -EBADMSG, seal_key_read(fd, again));
	close(fd);
	assert_int_equal(unlinkat(at, SEAL_KEY_FILE, 0), 0);
	/* Somebody's link is not followed. */
	assert_int_equal(symlinkat("/dev/zero", at, SEAL_KEY_FILE), 0);
	want_int("link", -ELOOP, seal_key_open(at));
	assert_int_equal(unlinkat(at, SEAL_KEY_FILE, 0), 0);
	close(at);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seal_key__made_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
