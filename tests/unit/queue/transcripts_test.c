/* What the dispatcher remembers of failed sessions: the last ones, within bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "queue/transcripts.h"

#define ROOM 4u

static void check(const struct transcripts *t, uint64_t message, const char *want)
{
	struct transcript_shown shown[ROOM];
	char got[256] = "";
	unsigned n = transcripts_find(t, message, shown, ROOM);
	for (unsigned i = 0; i < n; i++) {
		size_t at = strlen(got);
		(void)snprintf(got + at, sizeof(got) - at, "%llu:%.*s ",
			(unsigned long long)shown[i].wall_usec, (int)shown[i].text.len,
			shown[i].text.ptr);
	}
	if (strcmp(got, want) != 0)
		fail_msg("of message %llu: want '%s', got '%s'", (unsigned long long)message, want,
			got);
}

static void transcripts_find__the_newest_in_order(void **state)
{
	struct transcripts t;
	(void)state;
	transcripts_init(&t);
	check(&t, 1, "");
	for (uint64_t i = 1; i <= 6; i++) {
		char text[2] = {(char)('a' + i), '\0'};
		transcripts_add(&t, 1 + i % 2, i, span_str(text));
	}
	transcripts_add(&t, 1, 9, SPAN_NULL);
	check(&t, 1, "2:c 4:e 6:g ");
	check(&t, 2, "1:b 3:d 5:f ");
	for (uint64_t i = 10; i < 13; i++)
		transcripts_add(&t, 1, i, SPAN_LIT("n"));
	check(&t, 1, "6:g 10:n 11:n 12:n ");
	transcripts_done(&t);
}

static void transcripts_add__bounded_in_number(void **state)
{
	struct transcripts t;
	(void)state;
	transcripts_init(&t);
	for (uint64_t i = 0; i < 3 * TRANSCRIPTS_KEPT_MAX; i++)
		transcripts_add(&t, i, i, SPAN_LIT("x"));
	assert_int_equal(t.n, TRANSCRIPTS_KEPT_MAX);
	assert_int_equal(t.octets, TRANSCRIPTS_KEPT_MAX);
	check(&t, 2 * TRANSCRIPTS_KEPT_MAX - 1, "");
	check(&t, 2 * TRANSCRIPTS_KEPT_MAX, "512:x ");
	transcripts_done(&t);
	assert_int_equal(t.n, 0);
}

static void transcripts_add__bounded_in_octets(void **state)
{
	struct transcripts t;
	size_t len = TRANSCRIPT_TEXT_MAX + 10;
	char *text = malloc(len);
	(void)state;
	assert_non_null(text);
	memset(text, 'a', len);
	text[len - 1] = 'z';
	transcripts_init(&t);
	for (uint64_t i = 0; i < 100; i++)
		transcripts_add(&t, i, i, span_make(text, len));
	assert_true(t.octets <= TRANSCRIPTS_OCTETS_MAX);
	assert_int_equal(t.n, TRANSCRIPTS_OCTETS_MAX / TRANSCRIPT_TEXT_MAX);
	struct transcript_shown shown;
	assert_int_equal(transcripts_find(&t, 99, &shown, 1), 1);
	assert_int_equal(shown.text.len, TRANSCRIPT_TEXT_MAX);
	assert_int_equal(shown.text.ptr[shown.text.len - 1], 'z');
	transcripts_done(&t);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(transcripts_find__the_newest_in_order),
		cmocka_unit_test(transcripts_add__bounded_in_number),
		cmocka_unit_test(transcripts_add__bounded_in_octets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
