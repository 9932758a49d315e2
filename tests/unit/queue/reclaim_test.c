/* What a dead writer leaves behind: nothing that it made durable is lost, and nothing is released
 * before all of it has been read. */
#include "../spool/rig.h"

#include "queue/reclaim.h"

#define SLOT 1u

struct owner {
	struct rig rig;
	bool given, not_started, gone;
	unsigned found, damage, failed, released;
	uint64_t ids[8];
	bool found_last; /* a COMMIT came behind a release */
	int error;
};

static bool on_given(void *arg, uint64_t sequence)
{
	(void)sequence;
	return ((const struct owner *)arg)->given;
}

static bool on_started(void *arg)
{
	return !((const struct owner *)arg)->not_started;
}

static bool on_ended(void *arg)
{
	return ((const struct owner *)arg)->gone;
}

static void on_found(void *arg, uint16_t slot, uint64_t id, const struct record_ref *ref)
{
	struct owner *o = arg;

	assert_int_equal(slot, SLOT);
	assert_non_null(store_find(o->rig.store, ref->segment));
	assert_true(o->found < ARRAY_LEN(o->ids));
	o->ids[o->found++] = id;
	o->found_last = o->released > 0;
	store_ref(o->rig.store, ref->segment);
}

static void on_damage(void *arg, const struct store_segment *s, uint64_t offset, uint64_t octets)
{
	(void)s;
	(void)offset;
	(void)octets;
	((struct owner *)arg)->damage++;
}

static void on_failed(void *arg, const struct store_segment *s, int error)
{
	struct owner *o = arg;

	assert_true(s->damaged);
	o->failed++;
	o->error = error;
}

static void on_released(void *arg, uint64_t sequence)
{
	(void)sequence;
	((struct owner *)arg)->released++;
}

static const struct reclaim_ops ops = {
	.is_given = on_given,
	.started = on_started,
	.ended = on_ended,
	.found = on_found,
	.damage = on_damage,
	.failed = on_failed,
	.released = on_released,
};

/* Four messages in two segments, durable; the first of them has been noticed; their writer dies. */
static void owner_init(struct owner *o, struct rig_mail mails[4])
{
	*o = (struct owner){.given = false};
	rig_init(&o->rig, UINT64_C(64) << 20, 3);
	rig_writer(&o->rig, SLOT);
	o->rig.writers[SLOT].keep = true;
	fake_run(&o->rig.fake);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(rig_send(&o->rig, SLOT, 400000, &mails[i]), 0);
		writer_flush(o->rig.writers[SLOT].writer);
		fake_run(&o->rig.fake);
		assert_int_equal(mails[i].result, 0);
	}
	assert_true(mails[0].commit.segment != mails[3].commit.segment);
	store_known(o->rig.store, &mails[0].commit);
	store_ref(o->rig.store, mails[0].commit.segment);
	writer_free(TAKE(o->rig.writers[SLOT].writer));
}

static void owner_done(struct owner *o)
{
	rig_done(&o->rig);
}

static void reclaim_slot__table(void **state)
{
	static const struct {
		const char *what;
		bool given, not_started;
		int sync_error;
		unsigned found;
		bool failed, released;
	} table[] = {
		{"as it is", false, false, 0, 3, false, true},
		{"somebody alive writes there", true, false, 0, 0, false, false},
		{"recovery has yet to read the second", false, true, 0, 1, false, true},
		{"a sync that fails", false, false, -EIO, 3, true, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct owner o;
		struct rig_mail mails[4];
		owner_init(&o, mails);
		o.given = table[i].given;
		o.not_started = table[i].not_started;
		if (o.not_started) /* as of a segment that was there at the start */
			store_find(o.rig.store, mails[3].commit.segment)->known_end = 0;
		o.rig.fake.sync_error = table[i].sync_error;
		o.rig.fake.syncs_before = 1;
		reclaim_slot(&o.rig.fake.seam, o.rig.store, SLOT, &ops, &o);
		assert_int_equal(o.found + o.released, 0); /* the disk comes first */
		fake_run(&o.rig.fake);
		want_int(table[i].what, table[i].failed, o.failed > 0);
		want_int(table[i].what, table[i].sync_error, o.error);
		want_u64(table[i].what, table[i].found, o.found);
		want_u64(table[i].what, table[i].released, o.released > 0);
		for (unsigned k = 0; k < o.found; k++)
			want_u64(table[i].what, mails[k + 1].id, o.ids[k]);
		assert_false(o.found_last);
		want_u64(table[i].what, 0, o.damage);
		owner_done(&o);
	}
}

static void reclaim_slot__owner_that_ends_is_left_alone(void **state)
{
	(void)state;
	struct owner o;
	struct rig_mail mails[4];
	owner_init(&o, mails);
	reclaim_slot(&o.rig.fake.seam, o.rig.store, SLOT, &ops, &o);
	o.gone = true;
	fake_run(&o.rig.fake);
	want_u64("nothing", 0, o.found + o.released + o.failed + o.damage);
	owner_done(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reclaim_slot__table),
		cmocka_unit_test(reclaim_slot__owner_that_ends_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
