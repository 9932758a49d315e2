/* Group commit and drafts over the fake disk. */
#include "rig.h"

#include <stdlib.h>

#define MIB (UINT64_C(1) << 20)

static void rig_ready(struct rig *r, uint64_t seed)
{
	rig_init(r, 64 * MIB, seed);
	rig_writer(r, 1);
	fake_run(&r->fake);
}

static void writer_sync__sessions_share_a_sync(void **state)
{
	struct rig r;
	struct rig_mail sent[10];

	(void)state;
	rig_ready(&r, 1);
	unsigned before = r.fake.syncs;
	for (unsigned i = 0; i < 10; i++)
		want_int("send", 0, rig_send(&r, 1, 1000, &sent[i]));
	fake_run(&r.fake);
	for (unsigned i = 0; i < 10; i++)
		want_int("ticket", 0, sent[i].result);
	/* The first begins at once, the others wait for it and go together. */
	want_u64("syncs", 2, r.fake.syncs - before);
	rig_done(&r);
}

static void writer_sync__not_before_it_is_durable(void **state)
{
	struct rig r;
	struct rig_mail first, second;

	(void)state;
	rig_ready(&r, 1);
	want_int("send", 0, rig_send(&r, 1, 1000, &first));
	want_int("send", 0, rig_send(&r, 1, 1000, &second));
	want_int("open", 1, first.result);
	assert_true(fake_step(&r.fake));
	want_int("first", 0, first.result);
	/* Appended after that sync had begun: it proves nothing about the second. */
	want_int("second", 1, second.result);
	fake_run(&r.fake);
	want_int("second", 0, second.result);
	rig_done(&r);
}

static void writer_sync__failure_retires_the_segment(void **state)
{
	static const struct {
		const char *what;
		int write_error, sync_error, send, result;
	} table[] = {
		{"sync", 0, -EIO, 0, -EIO},
		{"write", -EIO, 0, -EIO, 1},
		{"no room", -ENOSPC, 0, -ENOSPC, 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct rig r;
		struct rig_mail bad = {.result = 1}, good;
		rig_ready(&r, 1);
		r.fake.write_error = table[i].write_error;
		r.fake.sync_error = table[i].sync_error;
		want_int(table[i].what, table[i].send, rig_send(&r, 1, 1000, &bad));
		while (bad.result == 1 && fake_step(&r.fake))
			;
		r.fake.write_error = r.fake.sync_error = 0;
		want_int(table[i].what, table[i].result, bad.result);
		store_check_disk(r.store);
		fake_run(&r.fake);
		want_u64("retired", 1, r.writers[1].retired);
		want_int("afterwards", 0, rig_send(&r, 1, 1000, &good));
		fake_run(&r.fake);
		want_int("afterwards", 0, good.result);
		if (table[i].send == 0)
			assert_true(good.commit.segment != bad.commit.segment);
		rig_done(&r);
	}
}

struct found {
	const uint64_t *ids;
	unsigned counts[4];
	unsigned damaged;
};

static int on_found(
	void *arg, uint64_t id, const struct record_ref *ref, struct span payload, bool damaged)
{
	struct found *f = arg;

	(void)ref;
	(void)payload;
	f->damaged += damaged;
	for (unsigned i = 0; i < ARRAY_LEN(f->counts); i++)
		f->counts[i] += f->ids[i] == id;
	return 0;
}

/* What a restart would find of these four. */
static struct found find(struct rig *r, const uint64_t ids[4])
{
	static const struct recover_ops ops = {.commit = on_found};
	struct found f = {.ids = ids};

	rig_down(r);
	rig_up(r);
	for (struct store_segment *s = NULL; (s = store_next(r->store, 1, s)) != NULL;)
		want_int("recover", 0,
			spool_recover_segment(&r->fake.seam, r->store, s, 0, &ops, &f));
	return f;
}

/* One group over two files, of which one fails: what the other has durable was refused with the
 * rest, so a restart must find none of it, nor a COMMIT whose octets were in the file that failed.
 */
static void writer_sync__a_refused_group_leaves_nothing(void **state)
{
	unsigned refused = 0;

	(void)state;
	for (unsigned works = 0; works < 6; works++) {
		struct rig r;
		struct rig_mail m[4];
		rig_ready(&r, 1);
		want_int("durable before", 0, rig_send(&r, 1, 700u * 1000u, &m[0]));
		fake_run(&r.fake);
		want_int("begins a sync", 0, rig_send(&r, 1, 1000, &m[1]));
		want_int("in the old file", 0, rig_send(&r, 1, 100u * 1000u, &m[2]));
		want_int("in both", 0, rig_send(&r, 1, 300u * 1000u, &m[3]));
		assert_true(m[2].commit.segment != m[3].commit.segment);
		r.fake.sync_error = -EIO;
		r.fake.syncs_before = works;
		while (m[3].result == 1 && fake_step(&r.fake))
			;
		r.fake.sync_error = 0;
		fake_run(&r.fake);
		const uint64_t ids[4] = {m[0].id, m[1].id, m[2].id, m[3].id};
		struct found f = find(&r, ids);
		for (unsigned i = 0; i < ARRAY_LEN(m); i++)
			want_u64("found", m[i].result == 0, f.counts[i]);
		want_u64("damaged", 0, f.damaged);
		refused += m[1].result == 0 && m[2].result < 0;
		rig_done(&r);
	}
	assert_true(refused > 0);
}

/* A quiet server has one segment a slot; a busy one has its next in time. */
static void writer_need_segment__spare_when_in_earnest_use(void **state)
{
	static const struct store_limits limits = {.segment_size = 8 * MIB, .reserve = 4 * MIB};
	struct rig r;
	struct rig_mail m;

	(void)state;
	rig_init(&r, 1024 * MIB, 1);
	rig_down(&r);
	rig_up_with(&r, &limits);
	rig_writer(&r, 1);
	fake_run(&r.fake);
	want_int("send", 0, rig_send(&r, 1, 256u << 10, &m));
	fake_run(&r.fake);
	want_u64("files", 1, fake_count(&r.fake));
	want_int("send", 0, rig_send(&r, 1, 512u << 10, &m));
	fake_run(&r.fake);
	want_u64("given", 2, r.n_ready);
	rig_done(&r);
}

static void writer_close_segment__seals_after_the_last_sync(void **state)
{
	struct rig r;
	struct rig_mail m;

	(void)state;
	rig_ready(&r, 1);
	writer_close_segment(r.writers[1].writer);
	fake_run(&r.fake);
	want_u64("nothing to seal", 0, r.writers[1].sealed);
	want_int("send", 0, rig_send(&r, 1, 1000, &m));
	writer_close_segment(r.writers[1].writer);
	want_u64("sealed", 0, r.writers[1].sealed);
	fake_run(&r.fake);
	want_u64("sealed", 1, r.writers[1].sealed);
	want_int("ticket", 0, m.result);
	assert_true(writer_idle(r.writers[1].writer));
	rig_done(&r);
}

static void writer_append__no_segment(void **state)
{
	struct rig r;
	struct rig_mail m;

	(void)state;
	rig_init(&r, MIB, 1); /* no room for any */
	rig_writer(&r, 1);
	fake_run(&r.fake);
	want_int("send", -ENOSPC, rig_send(&r, 1, 1000, &m));
	assert_false(writer_can_append(r.writers[1].writer, 1));
	r.fake.room = 64 * MIB;
	store_check_disk(r.store);
	fake_run(&r.fake);
	want_int("send", 0, rig_send(&r, 1, 1000, &m));
	rig_done(&r);
}

/* A segment is closed, nobody waits for its sync, and that fails: who asks afterwards asks for all
 * that was appended. */
static void writer_sync__hears_of_a_failure_before_it(void **state)
{
	struct rig r;
	struct rig_mail mail;
	struct record_ref ref;
	struct span octets = SPAN_LIT("an entry");

	(void)state;
	rig_ready(&r, 1);
	struct writer *w = r.writers[1].writer;
	want_int("append", 0, writer_append(w, RECORD_CHUNK, 1, &octets, 1, &ref));
	r.fake.sync_error = -EIO;
	writer_close_segment(w);
	fake_run(&r.fake);
	want_u64("retired", 1, r.writers[1].retired);
	r.fake.sync_error = 0;
	store_check_disk(r.store);
	fake_run(&r.fake);
	want_int("send", 0, rig_send(&r, 1, 100, &mail));
	fake_run(&r.fake);
	want_int("ticket", -EIO, mail.result);
	/* Told once. */
	store_check_disk(r.store);
	fake_run(&r.fake);
	want_int("send", 0, rig_send(&r, 1, 100, &mail));
	fake_run(&r.fake);
	want_int("ticket", 0, mail.result);
	rig_done(&r);
}

/* The segment may have another use by the time that the sync answers. */
static void writer_end__writes_nothing_more(void **state)
{
	static const int results[] = {0, -EIO};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(results); i++) {
		struct rig r;
		struct rig_mail waits, late;
		uint64_t size = 0;
		rig_ready(&r, 1);
		want_int("send", 0, rig_send(&r, 1, 1000, &waits));
		writer_close_segment(r.writers[1].writer);
		const char *name = store_find(r.store, waits.commit.segment)->name;
		const uint8_t *octets = fake_octets(&r.fake, name, &size);
		uint8_t *before = malloc(size);
		assert_non_null(before);
		memcpy(before, octets, size);
		writer_end(r.writers[1].writer);
		r.fake.sync_error = results[i];
		fake_run(&r.fake);
		want_int("ticket", results[i], waits.result);
		assert_memory_equal(before, fake_octets(&r.fake, name, NULL), size);
		want_u64("told", 0, r.writers[1].sealed + r.writers[1].retired);
		want_int("afterwards", -ENOSPC, rig_send(&r, 1, 10, &late));
		free(before);
		rig_done(&r);
	}
}

static void writer_free__tells_who_waits(void **state)
{
	struct rig r;
	struct rig_mail sent[3];

	(void)state;
	rig_ready(&r, 1);
	for (unsigned i = 0; i < 3; i++)
		want_int("send", 0, rig_send(&r, 1, 1000, &sent[i]));
	writer_free(TAKE(r.writers[1].writer));
	for (unsigned i = 0; i < 3; i++)
		want_int("ticket", -ECANCELED, sent[i].result);
	rig_done(&r);
}

static void writer_new_id__unique_over_segments(void **state)
{
	struct rig r;
	uint64_t last = 0, id;

	(void)state;
	rig_ready(&r, 1);
	for (unsigned i = 0; i < 1000; i++) {
		struct rig_mail m;
		if (i % 100 == 99) {
			want_int("send", 0, rig_send(&r, 1, 10, &m));
			writer_close_segment(r.writers[1].writer);
			fake_run(&r.fake);
		}
		want_int("id", 0, writer_new_id(r.writers[1].writer, &id));
		assert_true(id > last);
		last = id;
	}
	rig_done(&r);
}

static void draft__sizes_around_a_chunk(void **state)
{
	static const uint32_t sizes[] = {0, 1, 63, 64, 65, SPOOL_CHUNK - 1, SPOOL_CHUNK,
		SPOOL_CHUNK + 1, 2 * SPOOL_CHUNK, 5 * SPOOL_CHUNK + 7};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct rig r;
		struct rig_mail m;
		struct buf payload = BUF_INIT(1u << 20);
		rig_ready(&r, 1);
		want_int("send", 0, rig_send(&r, 1, sizes[i], &m));
		fake_run(&r.fake);
		want_int("ticket", 0, m.result);
		struct store_segment *s = store_find(r.store, m.commit.segment);
		const uint8_t *octets = fake_octets(&r.fake, s->name, NULL);
		struct record rec;
		want_int("header", 0,
			record_decode(&s->head.generation, m.commit.offset,
				octets + m.commit.offset, &rec));
		want_int("payload", 0,
			segment_read_payload(&r.fake.seam, s->file, &s->head, &rec, &payload));
		assert_true(rig_body_is_whole(&r, m.id, &m.commit, buf_span(&payload)));
		buf_done(&payload);
		rig_done(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writer_sync__sessions_share_a_sync),
		cmocka_unit_test(writer_sync__not_before_it_is_durable),
		cmocka_unit_test(writer_sync__failure_retires_the_segment),
		cmocka_unit_test(writer_sync__a_refused_group_leaves_nothing),
		cmocka_unit_test(writer_need_segment__spare_when_in_earnest_use),
		cmocka_unit_test(writer_close_segment__seals_after_the_last_sync),
		cmocka_unit_test(writer_append__no_segment),
		cmocka_unit_test(writer_sync__hears_of_a_failure_before_it),
		cmocka_unit_test(writer_end__writes_nothing_more),
		cmocka_unit_test(writer_free__tells_who_waits),
		cmocka_unit_test(writer_new_id__unique_over_segments),
		cmocka_unit_test(draft__sizes_around_a_chunk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
