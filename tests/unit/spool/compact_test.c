/* Compaction over the fake disk: what is moved, what is not, and every crash on the way. */
#include "rig.h"

#include "spool/compact.h"
#include <stdlib.h>

#define MIB	 (UINT64_C(1) << 20)
#define MAILS	 40u
#define SEGMENTS 4u
#define MINUTE	 (60 * UINT64_C(1000000))

/* The owner: what the queue knows, and which segments it keeps. */
struct mail {
	struct rig_mail sent;
	struct record_ref commit;
	bool alive, idle;
	uint64_t segments[SEGMENTS];
	uint32_t n_segments;
};
struct owner {
	struct rig rig;
	struct compactor *c;
	struct mail mails[MAILS];
	unsigned n, moved, damage;
	uint64_t now;
	bool refuse; /* what was copied was handed out meanwhile */
};

static struct mail *mail_of(struct owner *o, uint64_t id)
{
	for (unsigned i = 0; i < o->n; i++)
		if (o->mails[i].sent.id == id)
			return &o->mails[i];
	return NULL;
}

static bool on_walk(void *arg, uint64_t *cursor, unsigned max)
{
	struct owner *o = arg;

	for (; *cursor < o->n; ++*cursor) {
		const struct mail *m = &o->mails[*cursor];
		if (max-- == 0)
			return true;
		if (m->alive)
			compact_see(o->c, m->sent.id, &m->commit, m->sent.octets, m->idle,
				m->segments, m->n_segments);
	}
	return false;
}

static bool on_is_idle(void *arg, uint64_t id, const struct record_ref *commit)
{
	const struct mail *m = mail_of(arg, id);

	return m && m->alive && m->idle && m->commit.segment == commit->segment;
}

static void refer(struct owner *o, struct mail *m, uint64_t sequence)
{
	for (uint32_t i = 0; i < m->n_segments; i++)
		if (m->segments[i] == sequence)
			return;
	assert_true(m->n_segments < SEGMENTS);
	m->segments[m->n_segments++] = sequence;
	store_ref(o->rig.store, sequence);
}

static void let_go(struct owner *o, struct mail *m)
{
	for (uint32_t i = 0; i < m->n_segments; i++)
		store_unref(o->rig.store, m->segments[i]);
	m->n_segments = 0;
}

static void take_pieces(struct owner *o, struct mail *m, const struct message *copy)
{
	refer(o, m, m->commit.segment);
	for (uint32_t i = 0; i < copy->n_pieces; i++)
		if (!copy->pieces[i].is_inline)
			refer(o, m, copy->pieces[i].piece.segment);
}

static int on_copied(void *arg, const struct record_ref *from, const struct record_ref *to,
	const struct message *copy)
{
	struct owner *o = arg;
	struct mail *m = mail_of(o, copy->id);

	assert_non_null(m);
	want_u64("from", m->commit.segment, from->segment);
	if (o->refuse)
		return -EBUSY;
	/* As if the ledger were always durable at once. */
	struct mail old = *m;
	m->n_segments = 0;
	m->commit = *to;
	take_pieces(o, m, copy);
	let_go(o, &old);
	o->moved++;
	return 0;
}

static void on_wake(void *arg)
{
	(void)arg;
}

static void on_damage(void *arg, const struct store_segment *s, uint64_t offset)
{
	(void)s;
	(void)offset;
	((struct owner *)arg)->damage++;
}

static const struct compact_ops ops = {
	.walk = on_walk,
	.is_idle = on_is_idle,
	.copied = on_copied,
	.wake = on_wake,
	.damage = on_damage,
};

static void read_payload(struct owner *o, const struct record_ref *ref, struct buf *out)
{
	struct store_segment *s = store_find(o->rig.store, ref->segment);
	struct record rec = {.offset = ref->offset, .length = ref->length};
	uint8_t header[RECORD_HEADER];
	size_t got = 0;

	assert_non_null(s);
	want_int("read", 0,
		o->rig.fake.seam.ops->read(s->file, ref->offset, header, sizeof(header), &got));
	want_int("header", 0, record_decode(&s->head.generation, ref->offset, header, &rec));
	want_int("payload", 0,
		segment_read_payload(&o->rig.fake.seam, s->file, &s->head, &rec, out));
}

static bool is_whole(struct owner *o, const struct mail *m)
{
	struct buf payload = BUF_INIT(1u << 20);

	read_payload(o, &m->commit, &payload);
	bool whole = rig_body_is_whole(&o->rig, m->sent.id, &m->commit, buf_span(&payload));
	buf_done(&payload);
	return whole;
}

/* Mail until the first segment is full and given back; it all lives. */
static struct owner *owner_new(uint32_t octets, uint64_t seed)
{
	struct owner *o = calloc(1, sizeof(*o));

	assert_non_null(o);
	o->now = MINUTE;
	rig_init(&o->rig, 64 * MIB, seed);
	store_recovered(o->rig.store);
	rig_writer(&o->rig, 0);
	rig_writer(&o->rig, 1);
	fake_run(&o->rig.fake);
	want_int("compactor", 0,
		compact_new(
			&o->rig.fake.seam, o->rig.store, o->rig.writers[0].writer, &ops, o, &o->c));
	while (o->n < MAILS && (o->n == 0 || o->rig.writers[1].sealed == 0)) {
		struct mail *m = &o->mails[o->n++];
		struct arena *a = arena_new(1u << 20);
		struct buf payload = BUF_INIT(1u << 20);
		struct message sent;
		want_int("send", 0, rig_send(&o->rig, 1, octets, &m->sent));
		m->alive = m->idle = true;
		m->commit = m->sent.commit;
		assert_non_null(a);
		read_payload(o, &m->commit, &payload);
		want_int("decode", 0, message_decode(m->sent.id, buf_span(&payload), a, &sent));
		take_pieces(o, m, &sent);
		buf_done(&payload);
		arena_free(a);
		fake_run(&o->rig.fake);
	}
	want_u64("sealed", 1, o->rig.writers[1].sealed);
	return o;
}

static void owner_done(struct owner *o)
{
	fake_kill(&o->rig.fake);
	writer_free(TAKE(o->rig.writers[0].writer));
	compact_free(o->c);
	rig_done(&o->rig);
	free(o);
}

/* All but the first `keep` messages end. */
static void finish(struct owner *o, unsigned keep)
{
	for (unsigned i = keep; i < o->n; i++) {
		o->mails[i].alive = false;
		let_go(o, &o->mails[i]);
	}
	fake_run(&o->rig.fake);
}

static void minutes(struct owner *o, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		o->now += MINUTE;
		for (unsigned k = 0; k < 100; k++) {
			compact_run(o->c, o->now + k, MINUTE);
			fake_run(&o->rig.fake);
		}
	}
}

static void compact_run__what_is_moved(void **state)
{
	static const struct {
		const char *what;
		uint32_t octets;
		unsigned keep;
		bool busy, refuse, damaged;
		unsigned moved;
	} table[] = {
		{"two of many", 40000, 2, false, false, false, 2},
		{"bodies of several chunks", 300000, 1, false, false, false, 0},
		{"too much lives", 40000, 5, false, false, false, 0},
		{"one is in flight", 40000, 2, true, false, false, 0},
		{"handed out while it was copied", 40000, 2, false, true, false, 0},
		{"octets that are not what was written", 40000, 2, false, false, true, 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct owner *o = owner_new(table[i].octets, 1);
		uint64_t old = o->mails[0].commit.segment;
		finish(o, table[i].keep);
		o->mails[0].idle = !table[i].busy;
		o->refuse = table[i].refuse;
		if (table[i].damaged)
			fake_flip(&o->rig.fake, store_find(o->rig.store, old)->name,
				o->mails[0].commit.offset - 1000);
		minutes(o, 3);
		print_message("%s\n", table[i].what);
		want_u64("moved", table[i].moved, o->moved);
		want_u64("damage", table[i].damaged, o->damage);
		want_u64("recycled", table[i].moved == table[i].keep,
			!store_find(o->rig.store, old));
		for (unsigned k = 0; k < table[i].keep; k++)
			if (!table[i].damaged || k)
				assert_true(is_whole(o, &o->mails[k]));
		owner_done(o);
	}
}

/* Chunks at their borders, in a message that is moved with little else around. */
static void compact_run__sizes_around_a_chunk(void **state)
{
	static const uint32_t sizes[] = {0, 1, 1000, 100000};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct owner *o = owner_new(60000, 1);
		struct mail *m = &o->mails[0];
		/* One more, first in the next segment, which is then closed. */
		want_int("send", 0, rig_send(&o->rig, 1, sizes[i], &m->sent));
		let_go(o, m);
		m->commit = m->sent.commit;
		refer(o, m, m->commit.segment);
		writer_close_segment(o->rig.writers[1].writer);
		fake_run(&o->rig.fake);
		finish(o, 1);
		minutes(o, 3);
		want_u64("moved", 1, o->moved);
		assert_true(is_whole(o, m));
		owner_done(o);
	}
}

/* A copy may stand beside the message, or be it; nothing is ever in neither place. */
struct seen {
	struct owner *o;
	unsigned times[MAILS], damaged, damages;
};

static int on_commit(
	void *arg, uint64_t id, const struct record_ref *ref, struct span payload, bool damaged)
{
	struct seen *s = arg;

	for (unsigned i = 0; i < s->o->n; i++)
		s->times[i] += s->o->mails[i].sent.id == id;
	s->damaged += damaged;
	assert_true(rig_body_is_whole(&s->o->rig, id, ref, payload));
	return 0;
}

static void on_octets(void *arg, const struct store_segment *s, uint64_t offset, uint64_t octets)
{
	(void)s;
	(void)offset;
	(void)octets;
	((struct seen *)arg)->damages++;
}

static bool crash_after(unsigned steps, bool power)
{
	static const struct recover_ops recover = {.commit = on_commit, .damage = on_octets};
	struct owner *o = owner_new(40000, steps + 1);
	struct seen seen = {.o = o};
	bool ended = false;

	finish(o, 2);
	for (unsigned i = 0; i < steps; i++) {
		o->now += MINUTE / 20;
		compact_run(o->c, o->now, MINUTE);
		bool more = fake_step(&o->rig.fake);
		ended = o->moved == 2 && !more;
	}
	if (power)
		fake_power_loss(&o->rig.fake);
	fake_kill(&o->rig.fake);
	writer_free(TAKE(o->rig.writers[0].writer));
	compact_free(o->c);
	rig_down(&o->rig);
	rig_up(&o->rig);
	for (uint16_t slot = 0; slot < RIG_SLOTS; slot++)
		for (struct store_segment *s = NULL; (s = store_next(o->rig.store, slot, s));)
			want_int("recover", 0,
				spool_recover_segment(
					&o->rig.fake.seam, o->rig.store, s, 0, &recover, &seen));
	for (unsigned i = 0; i < 2; i++)
		if (seen.times[i] == 0)
			fail_msg("message %u is lost after %u steps", i, steps);
	want_u64("damaged", 0, seen.damaged + seen.damages);
	rig_done(&o->rig);
	free(o);
	return ended;
}

static void compact_run__crash_at_every_step(void **state)
{
	(void)state;
	for (int power = 0; power < 2; power++) {
		unsigned steps = 1;
		while (!crash_after(steps, power) && steps < 200)
			steps++;
		print_message("%u steps\n", steps);
		assert_in_range(steps, 20, 199);
	}
}

/* Our writer's disk fails in the middle: the message stays where it is, and is moved later. */
static void compact_run__failing_disk(void **state)
{
	static const struct {
		int write_error, sync_error;
		unsigned writes_before;
	} table[] = {{-EIO, 0, 0}, {-EIO, 0, 1}, {0, -EIO, 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct owner *o = owner_new(40000, 1);
		finish(o, 1);
		compact_run(o->c, o->now, MINUTE);
		o->now += MINUTE + 1;
		o->rig.fake.write_error = table[i].write_error;
		o->rig.fake.writes_before = table[i].writes_before;
		o->rig.fake.sync_error = table[i].sync_error;
		for (unsigned k = 0; k < 10; k++) {
			compact_run(o->c, o->now + k, MINUTE);
			fake_run(&o->rig.fake);
		}
		want_u64("moved", 0, o->moved);
		assert_true(is_whole(o, &o->mails[0]));
		o->rig.fake.write_error = o->rig.fake.sync_error = 0;
		store_check_disk(o->rig.store);
		fake_run(&o->rig.fake);
		minutes(o, 12);
		want_u64("moved", 1, o->moved);
		assert_true(is_whole(o, &o->mails[0]));
		owner_done(o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compact_run__what_is_moved),
		cmocka_unit_test(compact_run__sizes_around_a_chunk),
		cmocka_unit_test(compact_run__crash_at_every_step),
		cmocka_unit_test(compact_run__failing_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
