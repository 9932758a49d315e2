/* The ordered table and the heap of timers against plain models, with random work. */
#include "fake.h"
#include "queue/heap.h"
#include "queue/table.h"

#define KEYS 5000u

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x >> 8;
}

static void table_walk_is(const struct table *t, const bool *in)
{
	uint64_t from = 0, key;
	size_t n = 0;

	while (table_from(t, from, &key)) {
		for (; from < key; from++)
			assert_false(in[from]);
		assert_true(in[key]);
		from = key + 1;
		n++;
	}
	for (; from < KEYS; from++)
		assert_false(in[from]);
	assert_int_equal(n, t->count);
}

static void table__random_work_is_as_the_model(void **state)
{
	(void)state;
	struct table t = {0};
	static bool in[KEYS];
	static char values[KEYS];
	uint64_t x = 42;
	for (int round = 0; round < 60; round++) {
		bool growing = round % 20 < 12;
		for (int i = 0; i < 2000; i++) {
			/* Runs of ascending keys at several ends, as ids of segments come. */
			uint64_t key = next(&x) % 4 ? (next(&x) % 5) * 1000 + (uint64_t)i % 1000
						    : next(&x) % KEYS;
			if (next(&x) % 10 < (growing ? 8 : 2)) {
				assert_int_equal(
					table_put(&t, key, &values[key]), in[key] ? -EEXIST : 0);
				in[key] = true;
			} else {
				assert_ptr_equal(
					table_remove(&t, key), in[key] ? &values[key] : NULL);
				in[key] = false;
			}
			assert_ptr_equal(table_get(&t, key), in[key] ? &values[key] : NULL);
		}
		table_walk_is(&t, in);
	}
	table_done(&t);
}

static void table_put__ascending_keys_fill_their_blocks(void **state)
{
	(void)state;
	struct table t = {0};
	static char value;
	for (uint64_t i = 0; i < 100000; i++)
		assert_int_equal(table_put(&t, i % 4 << 24 | i / 4, &value), 0);
	assert_in_range(t.n, 1, 100000 / TABLE_BLOCK * 3 / 2);
	table_done(&t);
}

static void heap__fires_in_order(void **state)
{
	(void)state;
	static struct timer timers[1000];
	struct heap h = {0};
	uint64_t x = 7;
	assert_int_equal(heap_reserve(&h, 1001), 0);
	for (size_t i = 0; i < 1000; i++)
		timers[i] = (struct timer){.due = USEC_INFINITY};
	for (int i = 0; i < 20000; i++) {
		struct timer *t = &timers[next(&x) % 1000];
		heap_set(&h, t, next(&x) % 5 ? next(&x) % 100000 : USEC_INFINITY);
		uint64_t least = USEC_INFINITY;
		for (size_t k = 0; i % 100 == 0 && k < 1000; k++)
			least = MIN(least, timers[k].due);
		if (i % 100 == 0)
			assert_int_equal(
				heap_first(&h) ? heap_first(&h)->due : USEC_INFINITY, least);
	}
	uint64_t last = 0;
	for (struct timer *t; (t = heap_first(&h));) {
		assert_true(t->due >= last);
		last = t->due;
		heap_set(&h, t, USEC_INFINITY);
		assert_int_equal(t->place, 0);
	}
	heap_done(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table__random_work_is_as_the_model),
		cmocka_unit_test(table_put__ascending_keys_fill_their_blocks),
		cmocka_unit_test(heap__fires_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
