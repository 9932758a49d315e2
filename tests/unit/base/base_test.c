/* The cleanup helpers: what they close, free and leave alone. */
#include "test.h"
#include "base/base.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static void fd_close__closes_and_keeps_errno(void **state)
{
	(void)state;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	errno = ENOSPC;
	want_int("result", -1, fd_close(fd));
	want_int("errno", ENOSPC, errno);
	want_int("closed", -1, fcntl(fd, F_GETFD));
	want_int("no descriptor", -1, fd_close(-1));
}

static void fd_closep__closes_at_the_end_of_the_scope(void **state)
{
	(void)state;
	int seen;
	{
		CLEANUP(fd_closep) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		seen = fd;
		want_int("open", FD_CLOEXEC, fcntl(seen, F_GETFD));
	}
	want_int("closed", -1, fcntl(seen, F_GETFD));
}

static void freep__frees_and_nulls(void **state)
{
	(void)state;
	char *p = malloc(10);
	assert_non_null(p);
	freep(&p);
	assert_null(p);
	freep(&p); /* nothing to free is no harm */
}

static void take__hands_over(void **state)
{
	(void)state;
	int v = 1;
	int *from = &v;
	int *to = TAKE(from);
	assert_null(from);
	assert_ptr_equal(to, &v);
}

static void min_max__evaluate_once(void **state)
{
	(void)state;
	int i = 0;
	want_int("MIN", 1, MIN(++i, 5)); /* NOLINT(bugprone-macro-repeated-side-effects) */
	want_int("MAX", 5, MAX(i, 5));
	want_int("evaluated", 1, i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fd_close__closes_and_keeps_errno),
		cmocka_unit_test(fd_closep__closes_at_the_end_of_the_scope),
		cmocka_unit_test(freep__frees_and_nulls),
		cmocka_unit_test(take__hands_over),
		cmocka_unit_test(min_max__evaluate_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
