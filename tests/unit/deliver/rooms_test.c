/* Rooms are used again, only as they were, and not kept by a process that rests. */
#include "support.h"

#include "deliver/rooms.h"

static void again(void *arg)
{
	struct rooms r = {0};
	struct buf a = BUF_INIT(2 * ROOM_OCTETS), b = BUF_INIT(2 * ROOM_OCTETS);

	(void)arg;
	rooms_take(&r, &a);
	assert_non_null(a.ptr);
	char *first = a.ptr;
	rooms_give(&r, &a);
	assert_int_equal(r.n_spare, 1);
	assert_null(a.ptr);
	rooms_take(&r, &b);
	assert_ptr_equal(b.ptr, first);
	assert_int_equal(r.n_spare, 0);
	/* One that grew is not kept. */
	assert_non_null(buf_reserve(&b, ROOM_OCTETS + 1));
	rooms_give(&r, &b);
	assert_int_equal(r.n_spare, 0);
	rooms_done(&r);
}

static void bounded(void *arg)
{
	struct rooms r = {0};
	struct buf b[2 * ROOMS_SPARE];

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(b); i++) {
		b[i] = BUF_INIT(ROOM_OCTETS);
		rooms_take(&r, &b[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(b); i++)
		rooms_give(&r, &b[i]);
	assert_int_equal(r.n_spare, ROOMS_SPARE);
	for (int i = 0; i < 3000 && r.n_spare > 0; i++)
		(void)fiber_sleep(10 * USEC_PER_MSEC);
	assert_int_equal(r.n_spare, 0);
	rooms_done(&r);
}

static void rooms_give__used_again(void **state)
{
	(void)state;
	run_on_loop(again, NULL);
}

static void rooms_give__bounded_and_forgotten(void **state)
{
	(void)state;
	run_on_loop(bounded, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rooms_give__used_again),
		cmocka_unit_test(rooms_give__bounded_and_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
