/* Twin of directory/counters.c and kept.c: what is kept comes back with its age, within bounds, and
 * a damaged file changes nothing. */
#include "../base/test.h"
#include "directory/counters.h"
#include "fiber/fiber.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MINUTE (60 * USEC_PER_SEC)
#define START  (1000 * MINUTE)
#define WALL   (1700000000 * USEC_PER_SEC)
#define ALICE  SPAN_LIT("alice@example.org")

static const struct quota_limits limits = {10, 100};

static struct counters *fresh(void)
{
	struct counters *c = NULL;

	assert_int_equal(counters_new(-1, START, WALL, &c), 0);
	return c;
}

static struct address address_of(const char *text)
{
	struct address a;

	assert_int_equal(address_parse(span_str(text), 1, &a), 0);
	return a;
}

/* A locked-out address, and a user with nothing left of the hour. */
static void fill(struct counters *c)
{
	struct address a = address_of("192.0.2.7");

	for (unsigned i = 0; i < GUESS_ADDRESS_MAX; i++)
		(void)guess_failed(c->guess, &a, ALICE, SPAN_NULL, START);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(quota_charge(c->quota, ALICE, &limits, 1, START), 0);
}

static bool is_locked(struct counters *c, uint64_t now)
{
	struct address a = address_of("192.0.2.7");

	return guess_is_locked(c->guess, &a, SPAN_NULL, now);
}

static void counters__come_back_with_their_age(void **state)
{
	static const struct {
		const char *row;
		uint64_t now;	   /* of the monotonic clock, which began anew */
		int64_t wall_usec; /* since they were written */
		bool locked;
		uint64_t messages_left;
	} rows[] = {
		{"at once", START, 0, true, 0},
		{"a clock that just began", 5, 0, true, 0},
		{"after 6 minutes, down all the time", 5, 6 * MINUTE, true, 1},
		{"after 16 minutes", 5, 16 * MINUTE, false, 2},
		{"after two hours", 5, 120 * MINUTE, false, 10},
		{"a clock that was set back", START, -(int64_t)(5000 * MINUTE), true, 0},
		{"a clock that was set forward by years", START, (int64_t)(5000000 * MINUTE), false,
			10},
	};
	struct counters *c = fresh();
	struct buf text = BUF_INIT(1 << 20);

	(void)state;
	fill(c);
	counters_format(c, START, WALL, &text);
	assert_int_equal(text.error, 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct counters *d = fresh();
		struct quota_left left;
		uint64_t wall = (uint64_t)((int64_t)WALL + rows[i].wall_usec);
		want_int(rows[i].row, 0, counters_parse(d, buf_span(&text), rows[i].now, wall));
		want_int(rows[i].row, rows[i].locked, is_locked(d, rows[i].now));
		quota_left(d->quota, ALICE, &limits, rows[i].now, &left);
		want_u64(rows[i].row, rows[i].messages_left, left.messages);
		assert_memory_equal(c->salt_key, d->salt_key, sizeof(c->salt_key));
		counters_free(d);
	}
	buf_done(&text);
	counters_free(c);
}

static void counters__names_of_any_octets(void **state)
{
	static const struct span name = SPAN_LIT("a b\nend 00000000\n\xff@x");
	struct counters *c = fresh(), *d = fresh();
	struct buf text = BUF_INIT(1 << 20);
	struct address a = address_of("2001:db8::7");

	(void)state;
	for (unsigned i = 0; i < GUESS_USER_MAX; i++)
		(void)guess_failed(c->guess, &a, name, SPAN_NULL, START);
	counters_format(c, START, WALL, &text);
	assert_int_equal(counters_parse(d, buf_span(&text), START, WALL), 0);
	/* From elsewhere, after few failures: locked for this user only. */
	struct address b = address_of("192.0.2.9");
	for (unsigned i = 0; i < GUESS_USER_SUSPECT; i++)
		(void)guess_failed(d->guess, &b, SPAN_NULL, SPAN_NULL, START);
	assert_true(guess_is_locked(d->guess, &b, name, START));
	assert_false(guess_is_locked(d->guess, &b, ALICE, START));
	buf_done(&text);
	counters_free(c);
	counters_free(d);
}

static void counters_parse__damaged(void **state)
{
	struct counters *c = fresh(), *d = fresh();
	struct buf text = BUF_INIT(1 << 20);

	(void)state;
	fill(c);
	counters_format(c, START, WALL, &text);
	for (size_t n = 0; n < text.len; n++)
		if (counters_parse(d, span_head(buf_span(&text), n), START, WALL) != -EBADMSG)
			fail_msg("cut to %zu octets it is read", n);
	for (size_t i = 0; i < text.len; i++) {
		text.ptr[i] ^= 1;
		if (counters_parse(d, buf_span(&text), START, WALL) != -EBADMSG)
			fail_msg("with octet %zu changed it is read", i);
		text.ptr[i] ^= 1;
	}
	assert_false(is_locked(d, START));
	want_u64("nothing was taken", 0, guess_entries(d->guess));
	buf_done(&text);
	counters_free(c);
	counters_free(d);
}

/* An attack from everywhere: most addresses fail once and are left out, and of the others the
 * latest are kept. */
static void counters_format__bounded(void **state)
{
	struct counters *c = fresh(), *d = fresh();
	struct buf text = BUF_INIT(16 << 20);

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		char ip[32];
		(void)snprintf(ip, sizeof(ip), "10.%u.%u.1", i / 250, i % 250);
		struct address a = address_of(ip);
		for (unsigned n = 0; n < (i < 5000 ? 1 : GUESS_USER_SUSPECT); n++)
			(void)guess_failed(c->guess, &a, SPAN_NULL, SPAN_NULL, START + i);
	}
	counters_format(c, START + 20000, WALL, &text);
	assert_int_equal(text.error, 0);
	assert_true(text.len < 1 << 20);
	assert_int_equal(counters_parse(d, buf_span(&text), START, WALL), 0);
	want_u64("kept", COUNTERS_KEPT_MAX, guess_entries(d->guess));
	struct address last = address_of("10.79.249.1");
	assert_false(guess_is_clean(d->guess, &last, START));
	buf_done(&text);
	counters_free(c);
	counters_free(d);
}

static void counters__in_a_file(void **state)
{
	char folder[] = "/tmp/counters_test.XXXXXX";
	struct counters *c, *d, *e;
	uint64_t now, wall;

	(void)state;
	assert_non_null(mkdtemp(folder));
	int at = open(folder, O_RDONLY | O_DIRECTORY);
	assert_int_equal(loop_init(), 0);
	now = loop_now_usec();
	wall = loop_wall_usec();
	assert_int_equal(counters_new(at, now, wall, &c), 0); /* there is none yet */
	for (unsigned i = 0; i < GUESS_ADDRESS_MAX; i++) {
		struct address a = address_of("192.0.2.7");
		(void)guess_failed(c->guess, &a, ALICE, SPAN_NULL, now);
	}
	counters_finish(c);
	assert_int_equal(faccessat(at, "counters", F_OK, 0), -1); /* nobody said that it changed */
	counters_changed(c);
	counters_finish(c);
	assert_int_equal(counters_new(at, now, wall, &d), 0);
	assert_true(is_locked(d, now));
	int fd = openat(at, "counters", O_WRONLY);
	assert_int_equal(pwrite(fd, "!", 1, 20), 1); /* never in base64 */
	close(fd);
	assert_int_equal(counters_new(at, now, wall, &e), 0); /* dropped, and logged */
	assert_false(is_locked(e, now));
	counters_free(c);
	counters_free(d);
	counters_free(e);
	loop_done();
	assert_int_equal(unlinkat(at, "counters", 0), 0);
	close(at);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters__come_back_with_their_age),
		cmocka_unit_test(counters__names_of_any_octets),
		cmocka_unit_test(counters_parse__damaged),
		cmocka_unit_test(counters_format__bounded),
		cmocka_unit_test(counters__in_a_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
