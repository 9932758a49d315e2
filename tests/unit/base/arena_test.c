/* Arenas: zeroed, aligned, bounded, and forgotten at once. */
#include "test.h"
#include "base/arena.h"

static void arena_alloc__zeroed_and_aligned(void **state)
{
	static const size_t sizes[] = {0, 1, 15, 16, 17, 100, 2031, 2032, 2033, 4064, 4065, 20000};
	(void)state;
	CLEANUP(arena_freep) struct arena *a = arena_new(1 << 20);
	assert_non_null(a);
	for (int round = 0; round < 5; round++) {
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			unsigned char *p = arena_alloc(a, sizes[i]);
			assert_non_null(p);
			want_u64("alignment", 0, (uintptr_t)p % 16);
			for (size_t k = 0; k < sizes[i]; k++)
				assert_int_equal(p[k], 0);
			memset(p, 0xa5, sizes[i]);
		}
		/* What is handed out again must be zero again. */
		arena_reset(a);
	}
}

static void arena_alloc__pieces_do_not_overlap(void **state)
{
	(void)state;
	CLEANUP(arena_freep) struct arena *a = arena_new(1 << 20);
	unsigned char *p[300];
	for (size_t i = 0; i < ARRAY_LEN(p); i++) {
		p[i] = arena_alloc(a, i * 3 + 1);
		assert_non_null(p[i]);
		memset(p[i], (int)(i % 256), i * 3 + 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		for (size_t k = 0; k < i * 3 + 1; k++)
			assert_int_equal(p[i][k], i % 256);
}

static void arena_alloc__null_at_the_ceiling(void **state)
{
	(void)state;
	CLEANUP(arena_freep) struct arena *a = arena_new(1024);
	assert_null(arena_alloc(a, 1025));
	assert_null(arena_alloc(a, SIZE_MAX));
	assert_null(arena_alloc(a, SIZE_MAX - 40));
	assert_non_null(arena_alloc(a, 1000));
	assert_non_null(arena_alloc(a, 16));
	assert_null(arena_alloc(a, 1));
	arena_reset(a);
	assert_non_null(arena_alloc(a, 1024));
}

static void arena_span__copies_with_a_nul_behind(void **state)
{
	(void)state;
	CLEANUP(arena_freep) struct arena *a = arena_new(64);
	char source[] = "a\0b";
	struct span s = arena_span(a, span_make(source, 3));
	source[0] = 'z';
	want_span("copy", SPAN_LIT("a\0b"), s);
	want_int("NUL", 0, s.ptr[3]);
	s = arena_span(a, SPAN_NULL);
	assert_non_null(s.ptr);
	want_u64("empty", 0, s.len);
	assert_string_equal(arena_str(a, SPAN_LIT("text")), "text");
	assert_null(arena_span(a, span_make("0123456789abcdef", 16)).ptr);
	assert_null(arena_str(a, span_make("0123456789abcdef", 16)));
}

static void arena_free__null_is_nothing(void **state)
{
	(void)state;
	arena_free(NULL);
	struct arena *a = arena_new(1);
	arena_freep(&a);
	assert_null(a);
	arena_freep(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arena_alloc__zeroed_and_aligned),
		cmocka_unit_test(arena_alloc__pieces_do_not_overlap),
		cmocka_unit_test(arena_alloc__null_at_the_ceiling),
		cmocka_unit_test(arena_span__copies_with_a_nul_behind),
		cmocka_unit_test(arena_free__null_is_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
