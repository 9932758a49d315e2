/* Twin of base/library.c. The library is the C library's own libm, which every system has. */
#include "base/library.h"

#include "test.h"
#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS(F) F(floor) F(hypot)

static const char *const names[] = {CALLS(LIBRARY_NAME)};

static void library_load__binds_names(void **state)
{
	static LIBRARY_TABLE(CALLS) m;
	const char *why = NULL;

	(void)state;
	assert_int_equal(library_load("libm.so.6", names, ARRAY_LEN(names), &m, &why), 0);
	assert_true(m.floor(2.5) == 2.0);
	assert_true(m.hypot(3.0, 4.0) == 5.0);
	/* Again: nothing to do, and the table is not touched. */
	assert_int_equal(library_load("libm.so.6", names, ARRAY_LEN(names), &m, &why), 0);
}

static void library_load__says_what_is_missing(void **state)
{
	static const char *const wrong[] = {"floor", "no_such_function"};
	static const struct {
		const char *soname;
		const char *const *names;
		const char *said;
	} cases[] = {
		{"libno-such-library.so.9", names, "libno-such-library.so.9"},
		{"libm.so.6", wrong, "no_such_function"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		static LIBRARY_TABLE(CALLS) m;
		const char *why = NULL;
		int r = library_load(cases[i].soname, cases[i].names, 2, &m, &why);
		if (r != -ELIBACC || !why || !strstr(why, cases[i].said))
			fail_msg("%s: want -ELIBACC and \"%s\", got %d and \"%s\"", cases[i].soname,
				cases[i].said, r, why ? why : "");
		assert_null(m.floor); /* nothing half bound */
	}
}

static void library_load__table_is_read_only(void **state)
{
	static LIBRARY_TABLE(CALLS) m;
	const char *why = NULL;
	int status;

	(void)state;
	if (sysconf(_SC_PAGESIZE) != LIBRARY_PAGE)
		return;
	assert_int_equal(library_load("libm.so.6", names, ARRAY_LEN(names), &m, &why), 0);
	pid_t pid = fork();
	if (pid == 0) {
		(void)signal(SIGSEGV, SIG_DFL);
		*(void *volatile *)(void *)&m = NULL;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(library_load__binds_names),
		cmocka_unit_test(library_load__says_what_is_missing),
		cmocka_unit_test(library_load__table_is_read_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
