/* The limits of users, in sasl/credentials.c: read and written, whatever stands around them. */
#include "../base/test.h"
#include "sasl/credentials.h"

#define UNSET LIMIT_UNSET

static void limits__read(void **state)
{
	static const struct {
		const char *rest;
		struct user_limits want;
		bool odd;
	} rows[] = {
		{"$y$hash", {UNSET, UNSET, UNSET, UNSET}, false},
		{"", {UNSET, UNSET, UNSET, UNSET}, false},
		{"$y$hash:{LIMITS}message_size=10M", {10u << 20, UNSET, UNSET, UNSET}, false},
		{":{LIMITS}recipients=5,messages_per_hour=0", {UNSET, 5, 0, UNSET}, false},
		{"x:{CERT}AAAA:{limits}RECIPIENTS_PER_HOUR=7:{SEALED}AA", {UNSET, UNSET, UNSET, 7},
			false},
		{"x:{LIMITS}recipients=5:{LIMITS}recipients=6", {UNSET, 6, UNSET, UNSET}, false},
		/* What a newer program or a slip wrote: the rest counts. */
		{"x:{LIMITS}colour=5,recipients=5", {UNSET, 5, UNSET, UNSET}, true},
		{"x:{LIMITS}recipients=many,message_size=1", {1, UNSET, UNSET, UNSET}, true},
		{"x:{LIMITS}recipients", {UNSET, UNSET, UNSET, UNSET}, true},
		{"x:{LIMITS}", {UNSET, UNSET, UNSET, UNSET}, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct credentials c;
		const char *row = rows[i].rest;
		const struct user_limits *want = &rows[i].want;
		credentials_parse(span_str(row), &c);
		struct user_limits alone = credentials_limits(span_str(row));
		want_u64(row, want->message_size, c.limits.message_size);
		want_u64(row, want->recipients, c.limits.recipients);
		want_u64(row, want->messages_per_hour, c.limits.messages_per_hour);
		want_u64(row, want->recipients_per_hour, c.limits.recipients_per_hour);
		want_int(row, rows[i].odd, c.odd);
		assert_memory_equal(&alone, &c.limits, sizeof(alone));
	}
}

static void limits__written_and_read_again(void **state)
{
	static const struct user_limits rows[] = {
		{UNSET, UNSET, UNSET, UNSET},
		{1, 2, 3, 4},
		{0, UNSET, 0, UNSET},
		{UNSET, UNSET, UNSET, UINT64_MAX - 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT(512);
		buf_str(&b, "hash:");
		size_t start = b.len;
		user_limits_format(&rows[i], &b);
		struct user_limits back = credentials_limits(buf_span(&b));
		assert_memory_equal(&back, &rows[i], sizeof(back));
		want_int("nothing is written of nothing", i == 0, b.len == start);
		buf_done(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits__read),
		cmocka_unit_test(limits__written_and_read_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
