/* Runs fibers to their end on a loop of their own. A failed assertion inside a fiber ends the
 * program: cmocka has printed want and got by then. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/clock.h"
#include "fiber/fiber.h"

static inline int loop_setup(void **state)
{
	(void)state;
	return loop_init();
}

static inline int loop_teardown(void **state)
{
	(void)state;
	loop_done();
	return 0;
}

static inline struct fiber *spawn(fiber_fn fn, void *arg)
{
	struct fiber *f = NULL;
	assert_int_equal(fiber_spawn(fn, arg, &f), 0);
	return f;
}

static inline void run_to_end(void)
{
	loop_stop();
	assert_int_equal(loop_run(), 0);
	assert_int_equal(fiber_count(), 0);
}

#define LOOP_TEST(fn) cmocka_unit_test_setup_teardown(fn, loop_setup, loop_teardown)
