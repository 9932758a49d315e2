/* The ledger: what is replayed, in what order, after which accidents. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

#define MIB (UINT64_C(1) << 20)

struct replayed {
	unsigned numbers[4096];
	unsigned n;
	uint64_t damaged;
};

static int each(void *arg, uint8_t type, struct span payload)
{
	struct replayed *p = arg;
	uint64_t number = 0;

	want_int("type", 7, type);
	/* "<number> padding" */
	assert_int_equal(
		span_to_u64(span_head(payload, span_index(payload, ' ')), 100000, &number), 0);
	assert_true(p->n < ARRAY_LEN(p->numbers));
	p->numbers[p->n++] = (unsigned)number;
	return 0;
}

static struct replayed *replay(struct rig *r)
{
	struct replayed *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	want_int("replay", 0, ledger_replay(r->ledger, each, p, &p->damaged));
	return p;
}

static int put(struct rig *r, unsigned number, size_t padding)
{
	struct buf b = BUF_INIT(1u << 20);

	buf_printf(&b, "%u ", number);
	for (size_t i = 0; i < padding; i++)
		buf_char(&b, 'x');
	int e = ledger_append(r->ledger, 7, buf_span(&b));
	buf_done(&b);
	return e;
}

static void put_many(struct rig *r, unsigned first, unsigned n, size_t padding)
{
	for (unsigned i = 0; i < n; i++) {
		want_int("append", 0, put(r, first + i, padding));
		fake_run(&r->fake);
	}
}

struct ticket {
	struct writer_ticket t;
	int result;
};

static void on_done(struct writer_ticket *t, int result)
{
	CONTAINER_OF(t, struct ticket, t)->result = result;
}

static int sync_now(struct rig *r)
{
	struct ticket t = {.t.done = on_done, .result = 1};

	ledger_sync(r->ledger, &t.t);
	want_int("inside the call", 1, t.result);
	fake_run(&r->fake);
	return t.result;
}

static void want_numbers(struct rig *r, unsigned first, unsigned n)
{
	struct replayed *p = replay(r);

	want_u64("replayed", n, p->n);
	for (unsigned i = 0; i < p->n; i++)
		want_u64("entry", first + i, p->numbers[i]);
	want_u64("damaged", 0, p->damaged);
	free(p);
}

static unsigned ledger_segments(struct rig *r)
{
	unsigned n = 0;

	for (struct store_segment *s = NULL; (s = store_next(r->store, SLOT_LEDGER, s));)
		n++;
	return n;
}

static void ledger_sync__survives_power_loss(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 64 * MIB, 1);
	store_recovered(r.store);
	put_many(&r, 0, 100, 50);
	want_int("sync", 0, sync_now(&r));
	put_many(&r, 100, 50, 50); /* never written */
	fake_power_loss(&r.fake);
	rig_down(&r);
	rig_up(&r);
	want_numbers(&r, 0, 100);
	rig_done(&r);
}

static void ledger_write__survives_kill(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 64 * MIB, 1);
	put_many(&r, 0, 1, 0);
	want_int("sync", 0, sync_now(&r)); /* has its segment now */
	put_many(&r, 1, 99, 50);
	want_int("write", 0, ledger_write(r.ledger));
	rig_down(&r);
	rig_up(&r);
	want_numbers(&r, 0, 100);
	rig_done(&r);
}

static void ledger_sync__waits_for_the_first_segment(void **state)
{
	struct rig r;
	struct ticket t = {.t.done = on_done, .result = 1};

	(void)state;
	rig_init(&r, MIB / 2, 1); /* no room for any */
	want_int("kept", 0, put(&r, 0, 0));
	want_int("written", -ENOSPC, ledger_write(r.ledger));
	ledger_sync(r.ledger, &t.t);
	fake_run(&r.fake);
	want_int("not durable", 1, t.result);
	r.fake.room = 64 * MIB;
	store_check_disk(r.store);
	fake_run(&r.fake);
	want_int("durable", 0, t.result);
	rig_down(&r);
	rig_up(&r);
	want_numbers(&r, 0, 1);
	rig_done(&r);
}

static void ledger_append__bounded_without_segment(void **state)
{
	struct rig r;
	unsigned kept = 0;

	(void)state;
	rig_init(&r, MIB / 2, 1);
	store_recovered(r.store);
	for (unsigned i = 0; i < 400; i++) {
		int e = put(&r, i, 60000);
		assert_true(e == 0 || e == -ENOSPC);
	}
	struct buf big = BUF_INIT(2 * MIB);
	assert_non_null(buf_reserve(&big, MIB));
	big.len = MIB;
	memset(big.ptr, 'x', big.len);
	want_int("larger than a record", -EMSGSIZE, ledger_append(r.ledger, 7, buf_span(&big)));
	buf_done(&big);
	r.fake.room = 64 * MIB;
	store_check_disk(r.store);
	for (unsigned i = 0; i < 50; i++) { /* segments of 1 MiB come one by one */
		fake_run(&r.fake);
		if (ledger_write(r.ledger) == 0)
			break;
	}
	want_int("sync", 0, sync_now(&r));
	struct replayed *p = replay(&r);
	kept = p->n;
	free(p);
	/* 16 MiB of entries of 60,000 octets, in order and none in parts. */
	want_u64("kept", (16 * MIB) / 60008, kept);
	rig_done(&r);
}

static void ledger_checkpoint__frees_older_segments(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 64 * MIB, 1);
	store_recovered(r.store);
	put_many(&r, 0, 400, 10000); /* 4 MB: several segments */
	want_int("sync", 0, sync_now(&r));
	unsigned before = ledger_segments(&r);
	assert_true(before >= 4);
	assert_true(ledger_octets(r.ledger) > 3 * MIB);
	want_int("begin", 0, ledger_checkpoint_begin(r.ledger));
	put_many(&r, 1000, 10, 100);
	ledger_checkpoint_end(r.ledger);
	assert_true(ledger_octets(r.ledger) < MIB);
	assert_true(ledger_segments(&r) >= before); /* nothing goes before the new is durable */
	fake_run(&r.fake);
	assert_true(ledger_segments(&r) <= 2);
	put_many(&r, 1010, 10, 100);
	want_int("sync", 0, sync_now(&r));
	fake_power_loss(&r.fake);
	rig_down(&r);
	rig_up(&r);
	want_numbers(&r, 1000, 20);
	rig_done(&r);
}

static void ledger_checkpoint__crash_keeps_old_or_new(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 60; seed++) {
		struct rig r;
		rig_init(&r, 64 * MIB, seed);
		store_recovered(r.store);
		put_many(&r, 0, 200, 10000);
		want_int("sync", 0, sync_now(&r));
		want_int("begin", 0, ledger_checkpoint_begin(r.ledger));
		for (unsigned i = 0; i < 10; i++)
			want_int("append", 0, put(&r, 1000 + i, 1000));
		ledger_checkpoint_end(r.ledger);
		for (uint64_t steps = seed % 12; steps && fake_step(&r.fake); steps--)
			;
		fake_power_loss(&r.fake);
		rig_down(&r);
		rig_up(&r);
		struct replayed *p = replay(&r);
		unsigned old = 0, new = 0;
		for (unsigned i = 0; i < p->n; i++)
			*(p->numbers[i] < 1000 ? &old : &new) += 1;
		/* A reader needs all of the one or all of the other. */
		if (old != 200 && new != 10)
			fail_msg("seed %llu: %u old entries, %u new", (unsigned long long)seed, old,
				new);
		free(p);
		rig_done(&r);
	}
}

static void ledger_checkpoint__failed_sync_keeps_older(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 64 * MIB, 1);
	store_recovered(r.store);
	put_many(&r, 0, 200, 10000);
	want_int("sync", 0, sync_now(&r));
	want_int("begin", 0, ledger_checkpoint_begin(r.ledger));
	put_many(&r, 1000, 5, 100);
	r.fake.sync_error = -EIO;
	want_int("failed", -EIO, sync_now(&r));
	r.fake.sync_error = 0;
	store_check_disk(r.store);
	fake_run(&r.fake);
	put_many(&r, 1005, 5, 100);
	ledger_checkpoint_end(r.ledger);
	fake_run(&r.fake);
	fake_power_loss(&r.fake);
	rig_down(&r);
	rig_up(&r);
	struct replayed *p = replay(&r);
	assert_true(p->n >= 200);
	for (unsigned i = 0; i < 200; i++)
		want_u64("entry", i, p->numbers[i]);
	free(p);
	rig_done(&r);
}

static void ledger_checkpoint__again_while_the_last_one_ends(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 64 * MIB, 1);
	store_recovered(r.store);
	put_many(&r, 0, 10, 1000);
	for (unsigned round = 1; round <= 2; round++) {
		want_int("begin", 0, ledger_checkpoint_begin(r.ledger));
		for (unsigned i = 0; i < 5; i++)
			(void)!put(&r, 1000 * round + i, 1000);
		ledger_checkpoint_end(r.ledger);
	}
	fake_run(&r.fake);
	want_int("sync", 0, sync_now(&r));
	rig_down(&r);
	rig_up(&r);
	struct replayed *p = replay(&r);
	assert_true(p->n >= 5);
	for (unsigned i = 0; i < 5; i++)
		want_u64("the last one", 2000 + i, p->numbers[p->n - 5 + i]);
	free(p);
	rig_done(&r);
}

static void ledger_replay__damaged_record_is_skipped_and_counted(void **state)
{
	struct rig r;
	char name[32];

	(void)state;
	rig_init(&r, 64 * MIB, 1);
	for (unsigned i = 0; i < 3; i++) {
		put_many(&r, i, 1, 1000);
		want_int("sync", 0, sync_now(&r));
	}
	memcpy(name, store_next(r.store, SLOT_LEDGER, NULL)->name, sizeof(name));
	rig_down(&r);
	uint64_t second = SEGMENT_HEAD + record_span(1000 + 2 + 5);
	static const struct {
		const char *what;
		uint64_t at;
	} table[] = {{"payload", RECORD_HEADER + 500}, {"header", 30}};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		fake_flip(&r.fake, name, second + table[i].at);
		rig_up(&r);
		struct replayed *p = replay(&r);
		want_u64(table[i].what, 2, p->n);
		want_u64("first", 0, p->numbers[0]);
		want_u64("third", 2, p->numbers[1]);
		want_u64("damaged", second - SEGMENT_HEAD, p->damaged);
		free(p);
		rig_down(&r);
		fake_flip(&r.fake, name, second + table[i].at);
	}
	fake_done(&r.fake);
}

static void ledger_new__reader_makes_no_files(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 64 * MIB, 1);
	fake_run(&r.fake);
	want_numbers(&r, 0, 0);
	want_u64("files", 0, fake_count(&r.fake));
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ledger_sync__survives_power_loss),
		cmocka_unit_test(ledger_write__survives_kill),
		cmocka_unit_test(ledger_sync__waits_for_the_first_segment),
		cmocka_unit_test(ledger_append__bounded_without_segment),
		cmocka_unit_test(ledger_checkpoint__frees_older_segments),
		cmocka_unit_test(ledger_checkpoint__crash_keeps_old_or_new),
		cmocka_unit_test(ledger_checkpoint__failed_sync_keeps_older),
		cmocka_unit_test(ledger_checkpoint__again_while_the_last_one_ends),
		cmocka_unit_test(ledger_replay__damaged_record_is_skipped_and_counted),
		cmocka_unit_test(ledger_new__reader_makes_no_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
