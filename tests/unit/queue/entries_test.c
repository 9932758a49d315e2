/* Entries survive encoding; any cut of one is refused, never read as something else. */
#include "fake.h"

#include <string.h>

static const struct entry_rcpt samples[] = {
	{.index = 0, .origin = 0, .flags = ENTRY_EXPANDED},
	{.index = 7, .origin = 2, .state = ENTRY_HELD, .attempts = 3, .flags = ENTRY_HOLD},
	{.index = 1,
		.origin = 1,
		.state = ENTRY_FAILED,
		.event = 9,
		.has_note = true,
		.code = 550,
		.remote_said = true,
		.enhanced = {"5.1.1", 5},
		.text = {"no\r\n\0such", 9},
		.remote = {"192.0.2.1:25", 12}},
	{.index = 2, .origin = 2, .due_wall_usec = WALL_START, .address = {"a@b", 3}},
	{.index = 99999, .origin = 0, .state = ENTRY_MERGED, .event = 10000},
};

static void assert_rcpt(const struct entry_rcpt *got, const struct entry_rcpt *want)
{
	assert_int_equal(got->index, want->index);
	assert_int_equal(got->origin, want->origin);
	assert_int_equal(got->state, want->state);
	assert_int_equal(got->flags, want->flags);
	assert_int_equal(got->attempts, want->attempts);
	assert_int_equal(got->event, want->event);
	assert_int_equal(got->due_wall_usec, want->due_wall_usec);
	assert_true(span_equal(got->address, want->address));
	assert_int_equal(got->has_note, want->has_note);
	assert_int_equal(got->remote_said, want->remote_said);
	assert_int_equal(got->code, want->code);
	assert_true(span_equal(got->enhanced, want->enhanced));
	assert_true(span_equal(got->text, want->text));
	assert_true(span_equal(got->remote, want->remote));
}

static void entry_put__is_read_back(void **state)
{
	(void)state;
	const struct entry entries[] = {
		{.type = ENTRY_HANDED, .id = UINT64_MAX, .job = 5},
		{.type = ENTRY_OUTCOME, .id = 1, .job = UINT64_MAX},
		{.type = ENTRY_STATE,
			.id = 2,
			.flags = ENTRY_WARNED,
			.crashes = 2,
			.via = {"smtp://x", 8}},
		{.type = ENTRY_BOUNCED, .id = 3, .event = 77},
		{.type = ENTRY_DONE, .id = 4},
		{.type = ENTRY_BEGIN, .job = 12},
		{.type = ENTRY_SEGMENT, .sequence = 5, .known_end = 4096},
		{.type = ENTRY_MOVED, .id = 9, .sequence = 8, .offset = 4096, .length = 77},
		{.type = ENTRY_VOID, .id = 10},
		{.type = ENTRY_END},
	};
	for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
		const struct entry *want = &entries[i];
		struct entry got;
		struct entry_rcpt r;
		struct buf b = BUF_INIT(4096);
		bool rcpts = want->type <= ENTRY_STATE;
		entry_put(&b, want);
		for (size_t k = 0; rcpts && k < ARRAY_LEN(samples); k++)
			entry_put_rcpt(&b, &samples[k]);
		assert_int_equal(entry_get((uint8_t)want->type, buf_span(&b), &got), 0);
		assert_int_equal(got.id, want->id);
		assert_int_equal(got.job, want->job);
		assert_int_equal(got.event, want->event);
		assert_int_equal(got.flags, want->flags);
		assert_int_equal(got.crashes, want->crashes);
		assert_true(span_equal(got.via, want->via));
		assert_int_equal(got.sequence, want->sequence);
		assert_int_equal(got.known_end, want->known_end);
		assert_int_equal(got.offset, want->offset);
		assert_int_equal(got.length, want->length);
		size_t n = 0;
		for (; entry_next_rcpt(&got.rcpts, &r); n++)
			assert_rcpt(&r, &samples[n]);
		assert_int_equal(n, rcpts ? ARRAY_LEN(samples) : 0);
		assert_int_equal(got.rcpts.error, 0);
		buf_done(&b);
	}
}

static void entry_next_rcpt__every_cut_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		struct buf b = BUF_INIT(4096);
		entry_put_rcpt(&b, &samples[i]);
		for (size_t n = 1; n < b.len; n++) {
			struct entry_rcpt r;
			struct wire w = wire_reader(span_make(b.ptr, n));
			assert_false(entry_next_rcpt(&w, &r));
			assert_int_equal(w.error, -EBADMSG);
		}
		buf_done(&b);
	}
}

static void entry_next_rcpt__a_newer_program_is_not_guessed(void **state)
{
	(void)state;
	const size_t places[] = {4, 6}; /* state, mask */
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		struct entry_rcpt r;
		struct buf b = BUF_INIT(4096);
		entry_put_rcpt(&b, &samples[0]);
		b.ptr[places[i]] = (char)0x80;
		struct wire w = wire_reader(buf_span(&b));
		assert_false(entry_next_rcpt(&w, &r));
		assert_int_equal(w.error, -EBADMSG);
		buf_done(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entry_put__is_read_back),
		cmocka_unit_test(entry_next_rcpt__every_cut_is_refused),
		cmocka_unit_test(entry_next_rcpt__a_newer_program_is_not_guessed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
