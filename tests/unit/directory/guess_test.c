/* Twins of directory/guess.c and quota.c: counting by address, network and user; buckets. */
#include "../base/test.h"
#include "directory/guess.h"
#include "directory/quota.h"

#include <stdio.h>

#define SECOND	USEC_PER_SEC
#define MINUTE	(60 * SECOND)
#define START	(1000 * SECOND)
#define NOBODY	SPAN_LIT("")
#define ALICE	SPAN_LIT("alice@example.org")
#define UNKNOWN SPAN_NULL /* the secret, where we do not see it */

static struct address at(const char *text)
{
	struct address a;

	assert_int_equal(address_parse(span_str(text), 1, &a), 0);
	return a;
}

static uint64_t failed(
	struct guess *g, const char *from, struct span user, unsigned times, uint64_t now)
{
	struct address a = at(from);
	uint64_t delay = 0;

	for (unsigned i = 0; i < times; i++)
		delay = guess_failed(g, &a, user, UNKNOWN, now);
	return delay;
}

static bool locked(struct guess *g, const char *from, struct span user, uint64_t now)
{
	struct address a = at(from);

	return guess_is_locked(g, &a, user, now);
}

static void guess__address(void **state)
{
	struct guess *g;

	(void)state;
	assert_int_equal(guess_new(&g), 0);
	want_u64("nothing before ten", 0, failed(g, "192.0.2.1", NOBODY, GUESS_FREE, START));
	want_u64(
		"the next waits a step", GUESS_STEP_USEC, failed(g, "192.0.2.1", NOBODY, 1, START));
	want_u64("at most", GUESS_DELAY_MAX_USEC, failed(g, "192.0.2.1", NOBODY, 18, START));
	assert_false(locked(g, "192.0.2.1", NOBODY, START));
	(void)failed(g, "192.0.2.1", NOBODY, 1, START);
	assert_true(locked(g, "192.0.2.1", NOBODY, START));
	assert_false(locked(g, "192.0.2.2", NOBODY, START));
	assert_true(locked(g, "192.0.2.1", NOBODY, START + GUESS_LOCK_USEC - SECOND));
	assert_false(locked(g, "192.0.2.1", NOBODY, START + GUESS_LOCK_USEC));
	struct address a = at("192.0.2.1");
	assert_false(guess_is_clean(g, &a, START));
	assert_true(guess_is_clean(g, &a, START + GUESS_FORGET_USEC + SECOND));
	want_u64("forgotten", 0, failed(g, "192.0.2.1", NOBODY, 1, START + 2 * GUESS_FORGET_USEC));
	guess_free(g);
}

static void guess__networks(void **state)
{
	static const struct {
		const char *prefix, *inside, *outside;
	} rows[] = {
		{"192.0.2.", "192.0.2.250", "192.0.3.1"},
		{"2001:db8:0:1::", "2001:db8:0:1:ffff::1", "2001:db8:0:2::1"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct guess *g;
		assert_int_equal(guess_new(&g), 0);
		for (unsigned n = 0; n < GUESS_NETWORK_MAX; n++) {
			char from[64];
			(void)snprintf(from, sizeof(from), "%s%u", rows[i].prefix, 1 + n % 100);
			(void)failed(g, from, NOBODY, 1, START);
		}
		assert_true(locked(g, rows[i].inside, NOBODY, START));
		assert_false(locked(g, rows[i].outside, NOBODY, START));
		guess_free(g);
	}
}

/* Many addresses, one user: who fails elsewhere, too, is turned away for him; others are not. */
static void guess__user(void **state)
{
	struct guess *g;

	(void)state;
	assert_int_equal(guess_new(&g), 0);
	for (unsigned n = 0; n < GUESS_USER_MAX; n++) {
		char from[64];
		(void)snprintf(from, sizeof(from), "10.%u.0.1", n);
		uint64_t delay = failed(g, from, ALICE, 1, START);
		assert_true(n >= GUESS_FREE || delay == 0);
		assert_true(n <= GUESS_FREE || delay > 0);
	}
	assert_false(locked(g, "10.1.0.1", ALICE, START));
	(void)failed(g, "10.1.0.1", SPAN_LIT("bob@example.org"), GUESS_USER_SUSPECT, START);
	assert_true(locked(g, "10.1.0.1", ALICE, START));
	assert_false(locked(g, "10.1.0.1", SPAN_LIT("bob@example.org"), START));
	assert_false(locked(g, "198.51.100.1", ALICE, START));
	guess_free(g);
}

static void guess__the_same_wrong_one(void **state)
{
	struct guess *g;
	struct address a = at("192.0.2.1");

	(void)state;
	assert_int_equal(guess_new(&g), 0);
	for (unsigned i = 0; i < 1000; i++)
		want_u64("a phone with the old password", 0,
			guess_failed(
				g, &a, ALICE, i % 2 ? SPAN_LIT("old") : SPAN_LIT("older"), START));
	assert_false(guess_is_locked(g, &a, ALICE, START));
	for (unsigned i = 0; i < GUESS_ADDRESS_MAX; i++) {
		char secret[32];
		(void)snprintf(secret, sizeof(secret), "guess%u", i);
		(void)guess_failed(g, &a, ALICE, span_str(secret), START);
	}
	assert_true(guess_is_locked(g, &a, ALICE, START));
	guess_free(g);
}

static void guess__bounded(void **state)
{
	struct guess *g;

	(void)state;
	assert_int_equal(guess_new(&g), 0);
	for (unsigned i = 0; i < GUESS_ENTRIES_MAX; i++) {
		char from[64];
		(void)snprintf(from, sizeof(from), "2001:db8:%x:%x::1", i >> 16, i & 0xffff);
		(void)failed(g, from, NOBODY, 1, START + i);
	}
	want_u64("entries", GUESS_ENTRIES_MAX, guess_entries(g));
	guess_free(g);
}

static uint64_t left(struct quota *q, const struct quota_limits *l, bool messages, uint64_t now)
{
	struct quota_left n;

	quota_left(q, ALICE, l, now, &n);
	return messages ? n.messages : n.recipients;
}

static void quota__an_hour(void **state)
{
	const struct quota_limits l = {10, 100}, none = {0, 0}, only_messages = {2, 0};
	struct quota *q;

	(void)state;
	assert_int_equal(quota_new(&q), 0);
	want_u64("fresh", 10, left(q, &l, true, START));
	for (unsigned i = 0; i < 10; i++)
		want_int("fits", 0, quota_charge(q, ALICE, &l, 3, START));
	want_int("eleventh", -EDQUOT, quota_charge(q, ALICE, &l, 1, START));
	want_u64("recipients", 70, left(q, &l, false, START));
	want_int("another user", 0, quota_charge(q, SPAN_LIT("bob@example.org"), &l, 100, START));
	want_int("none left", -EDQUOT, quota_charge(q, SPAN_LIT("bob@example.org"), &l, 1, START));
	/* One comes back each six minutes. */
	want_u64("five minutes", 0, left(q, &l, true, START + 5 * MINUTE));
	want_u64("six minutes", 1, left(q, &l, true, START + 6 * MINUTE));
	want_int("fits again", 0, quota_charge(q, ALICE, &l, 1, START + 6 * MINUTE));
	want_int("just one", -EDQUOT, quota_charge(q, ALICE, &l, 1, START + 6 * MINUTE));
	want_u64("all of it", 10, left(q, &l, true, START + 70 * MINUTE));
	want_int("more than an hour's", -EDQUOT,
		quota_charge(q, ALICE, &l, 101, START + 70 * MINUTE));
	want_int("no quota", 0, quota_charge(q, ALICE, &none, 100000, START));
	want_u64("no quota", UINT64_MAX, left(q, &none, true, START + 70 * MINUTE));
	want_int("recipients free", 0,
		quota_charge(q, ALICE, &only_messages, 100000, START + 200 * MINUTE));
	quota_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guess__address),
		cmocka_unit_test(guess__networks),
		cmocka_unit_test(guess__user),
		cmocka_unit_test(guess__the_same_wrong_one),
		cmocka_unit_test(guess__bounded),
		cmocka_unit_test(quota__an_hour),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
