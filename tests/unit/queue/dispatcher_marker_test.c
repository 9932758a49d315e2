/* Crashes count, kills do not. */
#include "queue/dispatcher_marker.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void die_at(int folder, uint64_t segment, uint64_t offset, int signal)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit none = {0, 0};
		struct marker m;
		(void)setrlimit(RLIMIT_CORE, &none);
		(void)sigaction(SIGSEGV, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
		(void)sigaction(SIGABRT, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
		marker_open(&m, folder);
		if (marker_set(&m, 1, 64) && marker_set(&m, segment, offset))
			(void)raise(signal);
		marker_close(&m);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signal);
}

static bool would_read(int folder, uint64_t segment, uint64_t offset)
{
	struct marker m;

	marker_open(&m, folder);
	bool yes = marker_set(&m, segment, offset);
	assert_true(marker_set(&m, segment, offset + 64));
	return yes; /* as if killed: nothing is closed */
}

static void marker_set__skips_what_crashed_twice(void **state)
{
	(void)state;
	char path[] = "/tmp/marker-test-XXXXXX";
	if (!mkdtemp(path))
		fail_msg("mkdtemp");
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (unsigned i = 0; i < 5; i++)
		die_at(folder, 7, 128, SIGKILL);
	assert_true(would_read(folder, 7, 128));
	die_at(folder, 7, 128, SIGABRT);
	assert_true(would_read(folder, 7, 128));
	/* A kill elsewhere in between changes nothing. */
	die_at(folder, 7, 64, SIGKILL);
	die_at(folder, 7, 128, SIGSEGV);
	assert_false(would_read(folder, 7, 128));
	assert_true(would_read(folder, 8, 128));
	assert_false(would_read(folder, 7, 128));
	struct marker m;
	marker_open(&m, folder);
	marker_close(&m);
	assert_true(would_read(folder, 7, 128));
	(void)unlinkat(folder, "recovering", 0);
	fd_close(folder);
	(void)rmdir(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(marker_set__skips_what_crashed_twice)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
