/* The hash map against a plain array as the model, with many removals and re-insertions. */
#include "test.h"
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>

#define MODEL_KEYS 3000

struct model_item {
	char key[16];
	bool present;
	bool seen;
};

static void map_put_get_remove__as_the_model(void **state)
{
	static struct model_item items[MODEL_KEYS];
	struct map *m = map_new(42);
	size_t count = 0;
	uint32_t random = 1;
	(void)state;
	assert_non_null(m);
	for (size_t i = 0; i < MODEL_KEYS; i++)
		snprintf(items[i].key, sizeof(items[i].key), "key-%zu", i);
	for (int step = 0; step < 200000; step++) {
		random = random * 1664525 + 1013904223;
		struct model_item *it = &items[(random >> 8) % MODEL_KEYS];
		struct span key = span_str(it->key);
		assert_ptr_equal(map_get(m, key), it->present ? it : NULL);
		/* Waves: mostly puts, then mostly removals, so that the table grows and shrinks. */
		bool put = (random >> 4) % 8 < ((step / 20000) % 2 ? 2U : 6U);
		if (put) {
			want_int(it->key, it->present ? -EEXIST : 0, map_put(m, key, it));
			count += !it->present;
			it->present = true;
		} else {
			assert_ptr_equal(map_remove(m, key), it->present ? it : NULL);
			count -= it->present;
			it->present = false;
		}
		want_u64("count", count, map_count(m));
	}
	size_t cursor = 0, seen = 0;
	for (struct model_item *it; (it = map_next(m, &cursor)); seen++) {
		assert_true(it->present && !it->seen);
		it->seen = true;
	}
	want_u64("iterated", count, seen);
	map_free(m);
}

static void map_u64__apart_from_octets(void **state)
{
	int a, b;
	uint64_t word = 77;
	struct map *m = map_new(0);
	(void)state;
	assert_non_null(m);
	want_int("put", 0, map_put_u64(m, word, &a));
	want_int("the same octets are another key", 0,
		map_put(m, span_make(&word, sizeof(word)), &b));
	want_int("again", -EEXIST, map_put_u64(m, word, &b));
	assert_ptr_equal(map_get_u64(m, word), &a);
	assert_ptr_equal(map_get(m, span_make(&word, sizeof(word))), &b);
	assert_null(map_get_u64(m, 78));
	assert_ptr_equal(map_remove_u64(m, word), &a);
	assert_null(map_remove_u64(m, word));
	assert_ptr_equal(map_get(m, span_make(&word, sizeof(word))), &b);
	for (uint64_t k = 0; k < 10000; k++)
		want_int("put", 0, map_put_u64(m, k, &a));
	for (uint64_t k = 0; k < 10000; k++)
		assert_ptr_equal(map_remove_u64(m, k), &a);
	want_u64("left", 1, map_count(m));
	map_free(m);
}

static void map_keys__octets_of_any_kind(void **state)
{
	int values[4];
	struct map *m = map_new(7);
	(void)state;
	assert_non_null(m);
	assert_null(map_get(m, SPAN_NULL));
	assert_null(map_remove(m, SPAN_LIT("absent")));
	want_int("empty key", 0, map_put(m, SPAN_NULL, &values[0]));
	want_int("empty key, elsewhere", -EEXIST, map_put(m, SPAN_LIT(""), &values[1]));
	want_int("NUL", 0, map_put(m, SPAN_LIT("\0"), &values[1]));
	want_int("two NUL", 0, map_put(m, SPAN_LIT("\0\0"), &values[2]));
	assert_ptr_equal(map_get(m, SPAN_LIT("")), &values[0]);
	assert_ptr_equal(map_get(m, SPAN_LIT("\0")), &values[1]);
	assert_ptr_equal(map_get(m, SPAN_LIT("\0\0")), &values[2]);
	assert_ptr_equal(map_remove(m, SPAN_LIT("")), &values[0]);
	assert_null(map_get(m, SPAN_NULL));
	map_free(m);
	map_free(NULL);
}

static void map_next__removing_what_it_returned(void **state)
{
	static uint64_t values[1000];
	struct map *m = map_new(0);
	size_t cursor = 0, seen = 0;
	(void)state;
	assert_non_null(m);
	assert_null(map_next(m, &cursor));
	for (uint64_t i = 0; i < 1000; i++) {
		values[i] = i;
		want_int("put", 0, map_put_u64(m, i, &values[i]));
	}
	for (uint64_t *v; (v = map_next(m, &cursor)); seen++)
		if (*v % 2)
			assert_ptr_equal(map_remove_u64(m, *v), v);
	want_u64("each once", 1000, seen);
	want_u64("left", 500, map_count(m));
	map_free(m);
}

static void map_new__same_seed_same_order(void **state)
{
	static uint64_t values[100];
	struct map *a = map_new(5), *b = map_new(5);
	size_t ca = 0, cb = 0;
	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	for (uint64_t i = 0; i < 100; i++) {
		want_int("put", 0, map_put_u64(a, i, &values[i]));
		want_int("put", 0, map_put_u64(b, i, &values[i]));
	}
	for (int i = 0; i < 101; i++)
		assert_ptr_equal(map_next(a, &ca), map_next(b, &cb));
	map_free(a);
	map_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(map_put_get_remove__as_the_model),
		cmocka_unit_test(map_u64__apart_from_octets),
		cmocka_unit_test(map_keys__octets_of_any_kind),
		cmocka_unit_test(map_next__removing_what_it_returned),
		cmocka_unit_test(map_new__same_seed_same_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
