/* Twin of src/process/confine.c, landlock.c, seccomp.c: each role, confined in a child of its own,
 * tries what a taken-over process would try. */
#include "process/confine.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static const enum role roles[] = {ROLE_RECEIVER, ROLE_DISPATCHER, ROLE_DELIVERER, ROLE_MAILBOX,
	ROLE_DIRECTORY, ROLE_CONTROL, ROLE_REPORTER};

static char folder[] = "/tmp/postrider-confine-XXXXXX";

enum { DENIED = 10, ALLOWED = 11, CONFINE_FAILED = 12 };

static int try_exec(void)
{
	char name[] = "true";
	char *argv[] = {name, NULL};
	(void)execv("/bin/true", argv);
	return DENIED;
}
static int try_ptrace(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) < 0 ? DENIED : ALLOWED;
}
static int try_kill(void)
{
	return kill(getppid(), 0) < 0 ? DENIED : ALLOWED;
}
static int try_fork(void)
{
	pid_t p = fork();
	if (p == 0)
		_exit(0);
	return p < 0 ? DENIED : ALLOWED;
}
static int try_read_passwd(void)
{
	return open("/etc/passwd", O_RDONLY) < 0 ? DENIED : ALLOWED;
}
static int try_read_proc(void)
{
	return open("/proc/self/maps", O_RDONLY) < 0 ? DENIED : ALLOWED;
}
static int try_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0 ? DENIED : ALLOWED;
}
static int try_write_folder(void)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/made", folder);
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	return fd < 0 ? DENIED : ALLOWED;
}
static int try_dumpable(void)
{
	/* Asked before seccomp by the confined process itself would be killed: PR_GET is not
	 * allowed. */
	return prctl(PR_GET_DUMPABLE) == 0 ? DENIED : ALLOWED;
}

/* How the child ended: DENIED also when the kernel killed it for the call. */
static int outcome_of(enum role role, int (*attempt)(void))
{
	pid_t parent = getpid(), p = fork();
	int status;

	if (p == 0) {
		const char *what = "";
		struct confine_options o = {.role = role, .empty_fd = -1, .parent = parent};
		o.folders[0] = open(folder, O_RDONLY | O_DIRECTORY);
		o.n_folders = role == ROLE_MAILBOX || role == ROLE_DISPATCHER ? 1 : 0;
		if (confine(&o, &what) < 0)
			_exit(CONFINE_FAILED);
		_exit(attempt());
	}
	assert_int_equal(waitpid(p, &status, 0), p);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGSYS);
		return DENIED;
	}
	return WEXITSTATUS(status);
}

/* Sanitizer builds have no rules; valgrind knows neither landlock's nor seccomp's system call. */
static bool can_be_confined(void)
{
#ifdef POSTRIDER_SANITIZED
	return false;
#else
	const char *preload = getenv("LD_PRELOAD");

	return !preload || !strstr(preload, "vgpreload");
#endif
}

static void confine__denies_what_no_role_needs(void **state)
{
	(void)state;
	if (!can_be_confined())
		skip();
	static const struct {
		const char *name;
		int (*attempt)(void);
	} attempts[] = {{"execve", try_exec}, {"ptrace", try_ptrace}, {"kill", try_kill},
		{"fork", try_fork}, {"read /etc/passwd", try_read_passwd},
		{"read /proc", try_read_proc}, {"prctl", try_dumpable}};

	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		for (size_t j = 0; j < ARRAY_LEN(attempts); j++) {
			int got = outcome_of(roles[i], attempts[j].attempt);
			if (got != DENIED)
				fail_msg("%s, %s: want denied, got %d", role_name(roles[i]),
					attempts[j].name, got);
		}
	}
}

static void confine__leaves_each_role_its_own(void **state)
{
	(void)state;
	if (!can_be_confined())
		skip();
	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		int want =
			roles[i] == ROLE_DELIVERER || roles[i] == ROLE_REPORTER ? ALLOWED : DENIED;
		int got = outcome_of(roles[i], try_socket);
		if (got != want)
			fail_msg("%s, socket: want %d, got %d", role_name(roles[i]), want, got);
		want = roles[i] == ROLE_MAILBOX || roles[i] == ROLE_DISPATCHER ? ALLOWED : DENIED;
		got = outcome_of(roles[i], try_write_folder);
		if (got != want)
			fail_msg("%s, its folder: want %d, got %d", role_name(roles[i]), want, got);
	}
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/made", folder);
	(void)unlink(path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(confine__denies_what_no_role_needs),
		cmocka_unit_test(confine__leaves_each_role_its_own),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
