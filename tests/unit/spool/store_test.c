/* The spool folder: what is made, given, recycled, set aside; and what survives a crash. */
#include "rig.h"

#include <stdlib.h>

#define MIB (UINT64_C(1) << 20)

static struct store_segment *only(struct rig *r, uint16_t slot)
{
	struct store_segment *s = store_next(r->store, slot, NULL);

	assert_non_null(s);
	return s;
}

static void store_want__first_segment(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 64 * MIB, 1);
	store_want(r.store, 1);
	want_u64("ready inside the call", 0, r.n_ready);
	fake_run(&r.fake);
	want_u64("ready", 1, r.n_ready);
	const struct store_segment *s = only(&r, 1);
	want_int("state", SEGMENT_OPEN, (int)s->state);
	want_u64("slot", 1, s->head.slot);
	/* One in use, no spare yet; its head survives a power loss. */
	want_u64("files", 1, fake_count(&r.fake));
	uint64_t given = s->head.sequence;
	fake_power_loss(&r.fake);
	rig_down(&r);
	rig_up(&r);
	want_u64("segments after a power loss", 1, store_count(r.store));
	assert_non_null(store_find(r.store, given));
	rig_done(&r);
}

static void store_want__spare_is_given_by_way_of_the_loop(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 64 * MIB, 1);
	store_want(r.store, 1);
	fake_run(&r.fake);
	store_want(r.store, 1);
	store_want(r.store, 1); /* the same wish */
	want_u64("ready inside the call", 1, r.n_ready);
	fake_run(&r.fake);
	want_u64("ready", 2, r.n_ready);
	assert_true(r.ready[1] > r.ready[0]);
	struct store_segment *first = only(&r, 1), *second = store_next(r.store, 1, first);
	assert_non_null(second);
	want_u64("order", r.ready[1], second->head.sequence);
	assert_null(store_next(r.store, 1, second));
	/* A slot that needed a second will need a third. */
	want_u64("files", 3, fake_count(&r.fake));
	rig_done(&r);
}

static void store_release__recycles_only_when_dead_and_recovered(void **state)
{
	struct rig r;
	struct segment_head before, after;

	(void)state;
	rig_init(&r, 64 * MIB, 1);
	store_want(r.store, 1);
	fake_run(&r.fake);
	before = only(&r, 1)->head;
	store_ref(r.store, before.sequence);
	store_release(r.store, before.sequence);
	fake_run(&r.fake);
	want_u64("forgotten while it lives", 0, r.n_forgotten);
	store_unref(r.store, before.sequence);
	fake_run(&r.fake);
	want_u64("forgotten before recovery is over", 0, r.n_forgotten);
	store_recovered(r.store);
	assert_null(store_find(r.store, before.sequence)); /* being recycled: no new users */
	assert_non_null(store_next(r.store, 1, NULL));	   /* but in the books until durable */
	want_u64("forgotten before its head is durable", 0, r.n_forgotten);
	fake_run(&r.fake);
	assert_true(rig_saw(r.forgotten, r.n_forgotten, before.sequence));
	store_want(r.store, 1);
	store_want(r.store, 1);
	fake_run(&r.fake);
	after = only(&r, 1)->head;
	assert_true(after.sequence > before.sequence);
	assert_true(memcmp(&after.generation, &before.generation, sizeof(after.generation)) != 0);
	rig_done(&r);
}

static void store_unref__damaged_is_kept(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 64 * MIB, 1);
	store_recovered(r.store);
	store_want(r.store, 1);
	fake_run(&r.fake);
	only(&r, 1)->damaged = true;
	store_release(r.store, only(&r, 1)->head.sequence);
	fake_run(&r.fake);
	want_u64("forgotten", 0, r.n_forgotten);
	rig_done(&r);
}

/* A crash at every step of a recycling: the old head or the new one, never a sequence twice. */
static void store_release__crash_at_every_step(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 200; seed++) {
		struct rig r;
		rig_init(&r, 64 * MIB, seed);
		store_recovered(r.store);
		store_want(r.store, 1);
		fake_run(&r.fake);
		uint64_t highest = 0, old = only(&r, 1)->head.sequence;
		store_release(r.store, old);
		for (uint64_t steps = seed % 4; steps && fake_step(&r.fake); steps--)
			;
		for (unsigned i = 0; i < r.n_ready; i++)
			highest = MAX(highest, r.ready[i]);
		bool told = rig_saw(r.forgotten, r.n_forgotten, old);
		fake_power_loss(&r.fake);
		rig_down(&r);
		rig_up(&r);
		/* Once told forgotten, the ledger may have dropped it: it must not come back. */
		if (told)
			assert_null(store_find(r.store, old));
		store_recovered(r.store);
		store_want(r.store, 1);
		fake_run(&r.fake);
		assert_true(r.n_ready > 0);
		if (r.ready[0] <= highest)
			fail_msg("seed %llu: sequence %llu again", (unsigned long long)seed,
				(unsigned long long)r.ready[0]);
		rig_done(&r);
	}
}

static void store_recovered__sequences_rise_over_many_lives(void **state)
{
	struct rig r;
	uint64_t highest[3] = {0};

	(void)state;
	rig_init(&r, 64 * MIB, 1);
	for (unsigned life = 0; life < 20; life++) {
		store_recovered(r.store);
		for (unsigned i = 0; i < 4; i++) {
			uint16_t slot = (uint16_t)(1 + i % 2);
			store_want(r.store, slot);
			fake_run(&r.fake);
			uint64_t given = r.ready[r.n_ready - 1];
			assert_true(given > highest[slot] && given != highest[3 - slot]);
			highest[slot] = given;
			store_release(r.store, given);
			fake_run(&r.fake);
		}
		/* A slot keeps few spares: the rest of the disk is not ours to sit on. */
		assert_true(fake_count(&r.fake) <= 6);
		rig_down(&r);
		rig_up(&r);
	}
	rig_done(&r);
}

/* A loaded disk ends the syncs of heads in any order. The ledger is replayed by sequence, and a
 * message's id never names a younger segment than its COMMIT's: so each gift is younger. */
static void store_want__gifts_rise_whatever_head_is_durable_first(void **state)
{
	enum { COUNT = 4, ROUNDS = 6 };
	struct rig r;
	uint64_t highest = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++, highest = 0) {
		rig_init(&r, 64 * MIB, seed);
		store_recovered(r.store);
		for (unsigned round = 0; round < ROUNDS; round++) {
			uint64_t given[COUNT];
			r.n_ready = 0;
			for (unsigned i = 0; i < COUNT; i++) {
				store_want(r.store, 1);
				while (r.n_ready == i) {
					/* Any of those that are under way, not the first. */
					for (uint64_t n = fake_random(&r.fake) % 4; n; n--)
						list_push_back(
							&r.fake.ops, list_pop_front(&r.fake.ops));
					assert_true(fake_step(&r.fake));
				}
				given[i] = r.ready[i];
				if (given[i] <= highest)
					fail_msg("seed %u: %u was given after %u", (unsigned)seed,
						(unsigned)given[i], (unsigned)highest);
				highest = given[i];
			}
			for (unsigned i = 0; i < COUNT; i++)
				store_release(
					r.store, given[i]); /* dead: all get new heads at once */
		}
		fake_run(&r.fake);
		want_u64("errors", 0, r.n_errors);
		rig_done(&r);
	}
}

static void store_claim__living_receiver_keeps_its_segment(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 64 * MIB, 1);
	store_want(r.store, 1);
	fake_run(&r.fake);
	uint64_t sequence = r.ready[0];
	rig_down(&r);
	rig_up(&r);
	store_claim(r.store, sequence);
	store_recovered(r.store);
	fake_run(&r.fake);
	assert_false(rig_saw(r.forgotten, r.n_forgotten, sequence));
	store_release(r.store, sequence);
	fake_run(&r.fake);
	assert_true(rig_saw(r.forgotten, r.n_forgotten, sequence));
	rig_done(&r);
}

/* The notice of an earlier COMMIT may have died with the channel of an earlier dispatcher. */
static void store_known__not_while_claimed(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 64 * MIB, 1);
	store_want(r.store, 1);
	fake_run(&r.fake);
	struct record_ref commit = {r.ready[0], SEGMENT_HEAD + 8 * RECORD_ALIGN, 100};
	uint64_t end = commit.offset + record_span(commit.length);
	store_known(r.store, &commit);
	want_u64("given", end, store_find(r.store, commit.segment)->known_end);
	assert_false(store_has_claimed(r.store));
	rig_down(&r);
	rig_up(&r);
	store_claim(r.store, commit.segment);
	store_claim(r.store, commit.segment);
	assert_true(store_has_claimed(r.store));
	store_ref(r.store, commit.segment);
	store_known(r.store, &commit);
	want_u64("claimed", 0, store_find(r.store, commit.segment)->known_end);
	store_release(r.store, commit.segment);
	assert_false(store_has_claimed(r.store));
	store_known(r.store, &commit);
	want_u64("released", end, store_find(r.store, commit.segment)->known_end);
	rig_done(&r);
}

static void store_open__changes_nothing_before_recovered(void **state)
{
	struct rig r;
	static const char zeros[8192];

	(void)state;
	rig_init(&r, 64 * MIB, 1);
	store_want(r.store, 1);
	fake_run(&r.fake);
	rig_down(&r);
	fake_poke(&r.fake, "seg-1-77", 0, zeros, sizeof(zeros)); /* died while it was made */
	rig_up(&r);
	fake_run(&r.fake);
	want_u64("files", 2, fake_count(&r.fake));
	want_u64("errors", 0, r.n_errors);
	store_recovered(r.store);
	fake_run(&r.fake);
	assert_null(fake_octets(&r.fake, "seg-1-77", NULL));
	rig_done(&r);
}

static void store_open__sets_aside_what_it_cannot_trust(void **state)
{
	static const struct {
		const char *name, *what;
	} table[] = {
		{"seg-2-9", "a head of slot 1 in a file of slot 2"},
		{"seg-1-9", "a sequence that is there already"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct rig r;
		uint64_t size;
		rig_init(&r, 64 * MIB, 1);
		store_want(r.store, 1);
		fake_run(&r.fake);
		uint64_t sequence = r.ready[0];
		const uint8_t *octets = fake_octets(&r.fake, only(&r, 1)->name, &size);
		uint8_t *copy = malloc(size);
		assert_non_null(copy);
		memcpy(copy, octets, size);
		rig_down(&r);
		fake_poke(&r.fake, table[i].name, 0, copy, size);
		free(copy);
		rig_up(&r);
		want_u64(table[i].what, 1, r.n_errors);
		assert_string_equal(table[i].name, r.errors[0]);
		assert_non_null(store_find(r.store, sequence));
		store_recovered(r.store);
		fake_run(&r.fake);
		assert_non_null(fake_octets(&r.fake, table[i].name, NULL));
		rig_done(&r);
	}
}

static void store_open__unreadable_head_skips_sequences(void **state)
{
	struct rig r;
	uint64_t highest = 0;
	char name[32];

	(void)state;
	rig_init(&r, 64 * MIB, 1);
	for (unsigned i = 0; i < 3; i++) {
		store_want(r.store, 1);
		fake_run(&r.fake);
		highest = r.ready[i];
	}
	memcpy(name, store_find(r.store, highest)->name, sizeof(name));
	rig_down(&r);
	fake_flip(&r.fake, name, 70);
	rig_up(&r);
	want_u64("set aside", 1, r.n_errors);
	store_want(r.store, 1);
	fake_run(&r.fake);
	assert_true(r.ready[0] > highest);
	rig_done(&r);
}

static void store_release__head_that_a_receiver_forged_is_mended(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 64 * MIB, 1);
	store_want(r.store, 1);
	store_want(r.store, 2);
	fake_run(&r.fake);
	struct store_segment *mine = only(&r, 1), *other = only(&r, 2);
	struct buf forged = BUF_INIT(4096);
	struct segment_head h = mine->head;
	uint64_t sequence = mine->head.sequence;
	h.sequence = other->head.sequence;
	segment_head_encode(&h, &forged);
	fake_poke(&r.fake, mine->name, 0, forged.ptr, forged.len);
	buf_done(&forged);
	store_ref(r.store, sequence);
	store_release(r.store, sequence);
	want_u64("reported", 1, r.n_errors);
	fake_run(&r.fake);
	rig_down(&r);
	rig_up(&r);
	want_u64("set aside", 0, r.n_errors);
	assert_non_null(store_find(r.store, sequence));
	rig_done(&r);
}

static void store_want__low_disk_waits_for_room(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 6 * MIB, 1); /* 4 MiB of it are the reserve: room for two segments */
	store_recovered(r.store);
	for (uint16_t slot = 1; slot <= 2; slot++)
		store_want(r.store, slot);
	fake_run(&r.fake);
	want_u64("ready", 2, r.n_ready);
	want_u64("files: no spares on a small disk", 2, fake_count(&r.fake));
	assert_false(store_disk_is_low(r.store));
	/* A third receiver gets nothing: low. */
	store_want(r.store, 3);
	fake_run(&r.fake);
	assert_true(store_disk_is_low(r.store));
	want_u64("low was told once", 1, r.n_low);
	/* The ledger may dig into the reserve, else nothing could ever be finished. */
	assert_int_equal(ledger_append(r.ledger, 1, SPAN_LIT("x")), 0);
	fake_run(&r.fake);
	assert_non_null(store_next(r.store, SLOT_LEDGER, NULL));
	assert_null(store_next(r.store, 3, NULL));
	r.fake.room = 64 * MIB;
	store_check_disk(r.store);
	fake_run(&r.fake);
	store_check_disk(r.store);
	assert_non_null(store_next(r.store, 3, NULL));
	assert_false(store_disk_is_low(r.store));
	want_u64("room was told once", 1, r.n_room);
	rig_done(&r);
}

static void store_want__low_disk_recycles(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 6 * MIB, 1);
	store_recovered(r.store);
	store_want(r.store, 1);
	fake_run(&r.fake);
	store_want(r.store, 1);
	fake_run(&r.fake);
	want_u64("ready", 2, r.n_ready);
	store_want(r.store, 1);
	fake_run(&r.fake);
	want_u64("ready without room", 2, r.n_ready);
	store_release(r.store, r.ready[0]);
	fake_run(&r.fake);
	want_u64("ready after recycling", 3, r.n_ready);
	rig_done(&r);
}

static void store_want__failing_disk(void **state)
{
	static const struct {
		const char *what;
		int write_error, sync_error;
	} table[] = {{"write", -EIO, 0}, {"sync", 0, -EIO}, {"no room", -ENOSPC, 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct rig r;
		rig_init(&r, 64 * MIB, 1);
		store_recovered(r.store);
		r.fake.write_error = table[i].write_error;
		r.fake.sync_error = table[i].sync_error;
		store_want(r.store, 1);
		fake_run(&r.fake);
		want_u64(table[i].what, 0, r.n_ready);
		want_u64("files left behind", 0, fake_count(&r.fake));
		r.fake.write_error = r.fake.sync_error = 0;
		store_check_disk(r.store);
		fake_run(&r.fake);
		want_u64("ready afterwards", 1, r.n_ready);
		rig_done(&r);
	}
}

/* A dead segment whose new head fails is not given up: it is kept in the books, unused, and a later
 * try makes it a spare. */
static void store_release__a_failed_head_is_written_again(void **state)
{
	static const struct {
		const char *what;
		int write_error, sync_error;
	} table[] = {{"write", -EIO, 0}, {"sync", 0, -EIO}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct rig r;
		rig_init(&r, 64 * MIB, 1);
		store_recovered(r.store);
		store_want(r.store, 1);
		fake_run(&r.fake);
		uint64_t old = r.ready[0];
		r.fake.write_error = table[i].write_error;
		r.fake.sync_error = table[i].sync_error;
		store_release(r.store, old);
		fake_run(&r.fake);
		for (unsigned second = 0; second < 3; second++) {
			store_check_disk(r.store);
			fake_run(&r.fake);
		}
		want_u64("forgotten", 0, r.n_forgotten);
		want_u64("told once", 1, r.n_errors);
		assert_non_null(store_find(r.store, old));
		r.fake.write_error = r.fake.sync_error = 0;
		store_check_disk(r.store);
		fake_run(&r.fake);
		want_u64("forgotten", 1, r.n_forgotten);
		assert_null(store_find(r.store, old));
		store_want(r.store, 1);
		fake_run(&r.fake);
		want_u64("given again", 2, r.n_ready);
		want_u64("files", 2, fake_count(&r.fake));
		rig_done(&r);
	}
}

static void store_open__segment_size_follows_the_disk(void **state)
{
	static const struct {
		uint64_t room, want;
	} table[] = {{8 * MIB, MIB}, {32 * MIB, MIB}, {256 * MIB, 4 * MIB},
		{UINT64_C(1) << 40, 64 * MIB}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct fake f;
		struct store *s;
		struct store_ops ops = {0};
		struct store_limits limits = {.segment_size = 64 * MIB};
		fake_init(&f, table[i].room, 1);
		assert_int_equal(store_open(&f.seam, &limits, &ops, NULL, &s), 0);
		store_want(s, 1);
		fake_step(&f); /* the octets */
		fake_step(&f); /* the head */
		fake_step(&f); /* by way of the loop */
		assert_non_null(store_next(s, 1, NULL));
		want_u64("size", table[i].want, store_next(s, 1, NULL)->head.size);
		store_free(s);
		fake_done(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(store_want__first_segment),
		cmocka_unit_test(store_want__spare_is_given_by_way_of_the_loop),
		cmocka_unit_test(store_release__recycles_only_when_dead_and_recovered),
		cmocka_unit_test(store_unref__damaged_is_kept),
		cmocka_unit_test(store_release__crash_at_every_step),
		cmocka_unit_test(store_recovered__sequences_rise_over_many_lives),
		cmocka_unit_test(store_want__gifts_rise_whatever_head_is_durable_first),
		cmocka_unit_test(store_claim__living_receiver_keeps_its_segment),
		cmocka_unit_test(store_known__not_while_claimed),
		cmocka_unit_test(store_open__changes_nothing_before_recovered),
		cmocka_unit_test(store_open__sets_aside_what_it_cannot_trust),
		cmocka_unit_test(store_open__unreadable_head_skips_sequences),
		cmocka_unit_test(store_release__head_that_a_receiver_forged_is_mended),
		cmocka_unit_test(store_want__low_disk_waits_for_room),
		cmocka_unit_test(store_want__low_disk_recycles),
		cmocka_unit_test(store_want__failing_disk),
		cmocka_unit_test(store_release__a_failed_head_is_written_again),
		cmocka_unit_test(store_open__segment_size_follows_the_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
