/* What a segment promises after every accident that this room claims to survive. */
#include "rig.h"

#include "base/crc32c.h"
#include "spool/reseal.h"
#include <stdlib.h>

#define MIB	 (UINT64_C(1) << 20)
#define SENT_MAX 64u

static void ignore(struct writer_ticket *t, int result)
{
	(void)t;
	(void)result;
}

struct found {
	struct rig *rig;
	uint64_t ids[SENT_MAX + 16];
	unsigned n, damaged, damages;
	bool check_bodies;
};

static int on_commit(
	void *arg, uint64_t id, const struct record_ref *ref, struct span payload, bool damaged)
{
	struct found *f = arg;

	assert_true(f->n < ARRAY_LEN(f->ids));
	f->ids[f->n++] = id;
	f->damaged += damaged;
	if (f->check_bodies && !damaged)
		assert_true(rig_body_is_whole(f->rig, id, ref, payload));
	return 0;
}

static void on_damage(void *arg, const struct store_segment *s, uint64_t offset, uint64_t octets)
{
	(void)s;
	(void)offset;
	assert_true(octets > 0);
	((struct found *)arg)->damages++;
}

static const struct recover_ops ops = {.commit = on_commit, .damage = on_damage};

static struct found recover_all(struct rig *r)
{
	struct found f = {.rig = r, .check_bodies = true};

	for (uint16_t slot = 0; slot < RIG_SLOTS; slot++)
		for (struct store_segment *s = NULL; (s = store_next(r->store, slot, s));)
			want_int("recover", 0,
				spool_recover_segment(&r->fake.seam, r->store, s, 0, &ops, &f));
	return f;
}

static unsigned times(const struct found *f, uint64_t id)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->n; i++)
		n += f->ids[i] == id;
	return n;
}

static void again(struct rig *r)
{
	rig_down(r);
	rig_up(r);
}

/* ---- crashes ---- */

/* Sessions come and go, syncs end when they like, then it all stops. */
static unsigned mixed_load(struct rig *r, struct rig_mail *sent)
{
	static const uint32_t sizes[] = {0, 1, 100, 5000, 131072, 131073, 400000};
	unsigned n = 0, turns = 10 + (unsigned)(fake_random(&r->fake) % 50);

	for (unsigned i = 0; i < turns && n < SENT_MAX; i++) {
		uint32_t octets = sizes[fake_random(&r->fake) % ARRAY_LEN(sizes)];
		uint16_t slot = (uint16_t)(fake_random(&r->fake) % RIG_SLOTS);
		if (rig_send(r, slot, octets, &sent[n]) == 0)
			n++;
		for (uint64_t steps = fake_random(&r->fake) % 4; steps; steps--)
			fake_step(&r->fake);
	}
	return n;
}

static void crash(bool power, uint64_t seed)
{
	struct rig r;
	struct rig_mail *sent = calloc(SENT_MAX, sizeof(*sent));

	assert_non_null(sent);
	rig_init(&r, 64 * MIB, seed);
	store_recovered(r.store);
	for (uint16_t slot = 0; slot < RIG_SLOTS; slot++) {
		r.writers[slot].keep = true;
		rig_writer(&r, slot);
		r.writers[slot].keep = true;
	}
	fake_run(&r.fake);
	unsigned n = mixed_load(&r, sent);
	if (power)
		fake_power_loss(&r.fake);
	again(&r);
	struct found f = recover_all(&r);
	for (unsigned i = 0; i < n; i++) {
		unsigned got = times(&f, sent[i].id);
		/* 250 was said, or nothing can have been lost. */
		bool must = sent[i].result == 0 || !power;
		if (got > 1 || (must && got == 0))
			fail_msg("seed %llu: message %u of %u, ticket %d: found %u times",
				(unsigned long long)seed, i, n, sent[i].result, got);
	}
	want_u64("damage told", 0, f.damages);
	rig_done(&r);
	free(sent);
}

static void recover__power_loss(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 150; seed++)
		crash(true, seed);
}

static void recover__kill(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 50; seed++)
		crash(false, seed);
}

/* ---- one receiver with a few messages ---- */

struct few {
	struct rig r;
	struct rig_mail sent[8];
	unsigned n;
	char name[32]; /* of the segment that they lie in */
	uint64_t sequence;
};

static void send_one(struct few *f, uint32_t octets)
{
	want_int("send", 0, rig_send(&f->r, 1, octets, &f->sent[f->n]));
	fake_run(&f->r.fake);
	want_int("ticket", 0, f->sent[f->n].result);
	f->n++;
}

static void few_init(struct few *f, unsigned n)
{
	memset(f, 0, sizeof(*f));
	rig_init(&f->r, 64 * MIB, 1);
	rig_writer(&f->r, 1);
	fake_run(&f->r.fake);
	struct store_segment *s = store_next(f->r.store, 1, NULL);
	memcpy(f->name, s->name, sizeof(f->name));
	f->sequence = s->head.sequence;
	for (unsigned i = 0; i < n; i++)
		send_one(f, 3000);
}

static void few_seal(struct few *f)
{
	writer_close_segment(f->r.writers[1].writer);
	fake_run(&f->r.fake);
	want_u64("sealed", 1, f->r.writers[1].sealed);
}

/* Where the chunk of a message is: side by side with its COMMIT, before it. */
static uint64_t chunk_of(const struct rig_mail *m)
{
	return m->commit.offset - record_span(m->octets);
}

static void recover__flipped_octets(void **state)
{
	enum where { COMMIT, COMMIT_HEADER, CHUNK, LAST_COMMIT, SEAL, INDEX };
	static const struct {
		const char *what;
		bool sealed, other_boot;
		enum where where;
		unsigned commits, damaged, damages;
	} table[] = {
		{"sealed, a COMMIT", true, true, COMMIT, 3, 0, 1},
		{"sealed, a COMMIT's header", true, true, COMMIT_HEADER, 3, 0, 1},
		{"sealed, a chunk: found when it is sent", true, true, CHUNK, 4, 0, 0},
		{"sealed, the seal: as unsealed", true, true, SEAL, 4, 0, 0},
		{"sealed, the index: scanned", true, true, INDEX, 4, 0, 0},
		{"same boot, a COMMIT", false, false, COMMIT, 3, 0, 1},
		{"same boot, a COMMIT's header", false, false, COMMIT_HEADER, 3, 0, 1},
		{"same boot, a chunk: held", false, false, CHUNK, 4, 1, 1},
		{"same boot, the tail of a killed writer", false, false, LAST_COMMIT, 3, 0, 0},
		{"other boot, a COMMIT that was never synced", false, true, COMMIT, 3, 0, 0},
		{"other boot, a chunk that was never synced", false, true, CHUNK, 3, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct few f;
		few_init(&f, 4);
		uint64_t end = f.sent[3].commit.offset + record_span(f.sent[3].commit.length);
		const uint64_t places[] = {
			[COMMIT] = f.sent[1].commit.offset + RECORD_HEADER + 3,
			[COMMIT_HEADER] = f.sent[1].commit.offset + 3,
			[CHUNK] = chunk_of(&f.sent[1]) + RECORD_HEADER + 99,
			[LAST_COMMIT] = f.sent[3].commit.offset + RECORD_HEADER + 3,
			[SEAL] = SEGMENT_SEAL_OFFSET + 3,
			[INDEX] = end + RECORD_HEADER + 3,
		};
		if (table[i].sealed)
			few_seal(&f);
		fake_flip(&f.r.fake, f.name, places[table[i].where]);
		if (table[i].other_boot)
			f.r.fake.seam.boot_id[0]++;
		again(&f.r);
		struct found found = {.rig = &f.r};
		struct store_segment *s = store_find(f.r.store, f.sequence);
		want_int(table[i].what, 0,
			spool_recover_segment(&f.r.fake.seam, f.r.store, s, 0, &ops, &found));
		want_u64(table[i].what, table[i].commits, found.n);
		want_u64(table[i].what, table[i].damaged, found.damaged);
		want_u64(table[i].what, table[i].damages, found.damages);
		want_u64(table[i].what, table[i].damages > 0, s->damaged);
		rig_done(&f.r);
	}
}

/* One bad sector costs what lies in it, and is told, whatever the segment promises. */
static void recover__unreadable_block(void **state)
{
	static const struct {
		const char *what;
		bool sealed, other_boot;
		unsigned least;
	} table[] = {
		{"sealed", true, true, 6},
		{"same boot", false, false, 6},
		{"other boot", false, true, 6},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct few f;
		few_init(&f, 8);
		if (table[i].sealed)
			few_seal(&f);
		if (table[i].other_boot)
			f.r.fake.seam.boot_id[0]++;
		again(&f.r);
		f.r.fake.bad_from = f.sent[3].commit.offset & ~UINT64_C(4095);
		f.r.fake.bad_to = f.r.fake.bad_from + 4096;
		struct found found = {.rig = &f.r};
		struct store_segment *s = store_find(f.r.store, f.sequence);
		want_int(table[i].what, 0,
			spool_recover_segment(&f.r.fake.seam, f.r.store, s, 0, &ops, &found));
		if (found.n < table[i].least || found.n >= 9)
			fail_msg("%s: %u messages", table[i].what, found.n);
		assert_true(found.damages > 0 && s->damaged);
		f.r.fake.bad_to = 0;
		rig_done(&f.r);
	}
}

/* ---- sealing what was found unsealed ---- */

static void on_resealed(void *arg, const char *name, int result)
{
	(void)name;
	*(int *)arg = result;
}

/* Recovers the segment as the dispatcher does and begins to seal it; true: it was read by its index
 * already. */
static bool recover_and_seal(struct few *f, struct found *found, int *result)
{
	struct store_segment *s = store_find(f->r.store, f->sequence);
	struct recover_cursor c;
	uint64_t end;

	want_int("begin", 0, recover_begin(&c, &f->r.fake.seam, f->r.store, s, 0, &ops, found));
	int r;
	while ((r = recover_step(&c, 2)) == 1)
		;
	want_int("end", 0, r);
	bool indexed = c.indexed;
	if (recover_may_seal(&c, &end))
		reseal_begin(f->r.store, s, end, buf_span(&c.commits), on_resealed, result);
	recover_done(&c);
	return indexed;
}

static void reseal_begin__next_start_reads_the_index(void **state)
{
	static const struct {
		const char *what;
		bool other_boot, torn, damaged;
		unsigned commits;
		bool seals;
	} table[] = {
		{"killed", false, false, false, 4, true},
		{"power failure", true, false, false, 4, true},
		{"power failure, a COMMIT is torn", true, true, false, 3, true},
		{"damaged", false, false, true, 3, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct few f;
		int result = 1;
		few_init(&f, 4);
		if (table[i].torn || table[i].damaged)
			fake_flip(&f.r.fake, f.name, f.sent[1].commit.offset + RECORD_HEADER + 3);
		if (table[i].other_boot)
			f.r.fake.seam.boot_id[0]++;
		again(&f.r);
		struct found found = {.rig = &f.r, .check_bodies = true};
		assert_false(recover_and_seal(&f, &found, &result));
		/* Kept meanwhile, and not longer. */
		want_u64("held", table[i].seals, store_find(f.r.store, f.sequence)->live);
		fake_run(&f.r.fake);
		want_int(table[i].what, table[i].seals ? 0 : 1, result);
		again(&f.r);
		struct found second = {.rig = &f.r, .check_bodies = true};
		want_u64(table[i].what, table[i].seals, recover_and_seal(&f, &second, &result));
		want_u64(table[i].what, table[i].commits, second.n);
		want_u64("damage", table[i].damaged ? 1 : 0, second.damages);
		rig_done(&f.r);
	}
}

/* A power failure at any moment of it finds the same messages and no damage. */
static void reseal_begin__power_loss_at_every_step(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		for (unsigned steps = 0; steps < 5; steps++) {
			struct few f;
			int result = 1;
			few_init(&f, 4);
			f.r.fake.random = seed;
			fake_flip(&f.r.fake, f.name, f.sent[1].commit.offset + RECORD_HEADER + 3);
			f.r.fake.seam.boot_id[0]++;
			again(&f.r);
			struct found found = {.rig = &f.r};
			(void)recover_and_seal(&f, &found, &result);
			for (unsigned k = 0; k < steps; k++)
				fake_step(&f.r.fake);
			fake_power_loss(&f.r.fake);
			again(&f.r);
			struct found second = {.rig = &f.r, .check_bodies = true};
			(void)recover_and_seal(&f, &second, &result);
			want_u64("commits", 3, second.n);
			want_u64("damage", 0, second.damages);
			rig_done(&f.r);
		}
	}
}

/* ---- */

static void recover__stale_generation(void **state)
{
	struct few f;

	(void)state;
	few_init(&f, 6);
	store_recovered(f.r.store);
	few_seal(&f); /* nobody refers to it: recycled */
	fake_run(&f.r.fake);
	assert_true(rig_saw(f.r.forgotten, f.r.n_forgotten, f.sequence));
	/* Until that file is in use again, then a shorter message than those before. */
	struct rig_mail last = {0};
	for (unsigned i = 0; i < 8; i++) {
		want_int("send", 0, rig_send(&f.r, 1, 100, &last));
		fake_run(&f.r.fake);
		struct store_segment *s = store_find(f.r.store, last.commit.segment);
		if (strcmp(s->name, f.name) == 0)
			break;
		store_ref(f.r.store, last.commit.segment);
		writer_close_segment(f.r.writers[1].writer);
		fake_run(&f.r.fake);
	}
	assert_string_equal(f.name, store_find(f.r.store, last.commit.segment)->name);
	again(&f.r);
	struct found found = recover_all(&f.r);
	want_u64("the new one", 1, times(&found, last.id));
	for (unsigned i = 0; i < f.n; i++)
		want_u64("an old one", 0, times(&found, f.sent[i].id));
	want_u64("damage told", 0, found.damages);
	rig_done(&f.r);
}

/* A sender who knew the format, and even a copy of a real record, sends them as a body. */
static void recover__body_that_imitates_records(void **state)
{
	struct few f;
	struct draft *d = NULL;
	struct rig_mail m = {.ticket.done = ignore};
	struct message_rcpt rcpt = {.address = SPAN_LIT("b@example.org")};
	struct message msg = {.rcpts = &rcpt, .n_rcpts = 1};
	struct generation none = {{0}};
	uint8_t header[RECORD_HEADER];

	(void)state;
	few_init(&f, 1);
	struct buf body = BUF_INIT(65536);
	const uint8_t *octets = fake_octets(&f.r.fake, f.name, NULL);
	/* 64-aligned within the body, as records are. */
	for (unsigned i = 0; i < 4; i++)
		buf_append(&body, octets + chunk_of(&f.sent[0]),
			record_span(3000) + record_span(f.sent[0].commit.length));
	for (uint64_t at = 0; at < 16384; at += RECORD_ALIGN) {
		struct record r = {.type = RECORD_COMMIT, .version = 1, .offset = 4096 + at};
		record_encode(&none, &r, header);
		buf_append(&body, header, sizeof(header));
	}
	want_int("draft", 0, draft_new(f.r.writers[1].writer, &d));
	want_int("append", 0, draft_append(d, buf_span(&body)));
	want_int("commit", 0, draft_commit(d, &msg, &m.ticket, &m.commit));
	draft_free(d);
	buf_done(&body);
	rig_down(&f.r);
	/* Its chunk's header is lost, so that the scan goes through the body. */
	fake_flip(&f.r.fake, f.name,
		f.sent[0].commit.offset + record_span(f.sent[0].commit.length) + 5);
	f.r.fake.seam.boot_id[0]++;
	rig_up(&f.r);
	struct found found = recover_all(&f.r);
	want_u64("commits", 1, found.n);
	want_u64("the real one", 1, times(&found, f.sent[0].id));
	rig_done(&f.r);
}

static void recover__message_over_several_segments(void **state)
{
	struct few f;

	(void)state;
	few_init(&f, 1);
	f.r.writers[1].keep = true;
	struct draft *d = NULL;
	struct rig_mail *m = &f.sent[1];
	want_int("draft", 0, draft_new(f.r.writers[1].writer, &d));
	draft_free(d);
	/* 2.5 MiB in segments of 1 MiB; they come while it is written. */
	struct message_rcpt rcpt = {.address = SPAN_LIT("b@example.org")};
	struct message msg = {.rcpts = &rcpt, .n_rcpts = 1};
	static char block[65536];
	want_int("draft", 0, draft_new(f.r.writers[1].writer, &d));
	for (unsigned i = 0; i < 40; i++) {
		want_int("append", 0, draft_append(d, span_make(block, sizeof(block))));
		fake_run(&f.r.fake);
	}
	m->id = draft_id(d);
	m->ticket.done = ignore;
	want_int("commit", 0, draft_commit(d, &msg, &m->ticket, &m->commit));
	assert_true(draft_uses(d, f.sequence));
	draft_free(d);
	rig_down(&f.r);
	f.r.fake.seam.boot_id[0]++; /* each chunk is verified */
	rig_up(&f.r);
	struct found found = {.rig = &f.r};
	for (struct store_segment *s = NULL; (s = store_next(f.r.store, 1, s));)
		want_int("recover", 0,
			spool_recover_segment(&f.r.fake.seam, f.r.store, s, 0, &ops, &found));
	want_u64("found", 1, times(&found, m->id));
	assert_true(f.sequence != m->commit.segment);
	want_u64("damaged", 0, found.damaged);
	rig_done(&f.r);
}

/* ---- what a receiver that was taken over writes ---- */

static void forge(struct rig *r, uint16_t slot, uint64_t offset, uint64_t id, const struct piece *p)
{
	struct store_segment *s = store_next(r->store, slot, NULL);
	struct message_rcpt rcpt = {.address = SPAN_LIT("b@example.org")};
	struct message_piece piece = {.piece = *p};
	struct message m = {.rcpts = &rcpt, .n_rcpts = 1, .pieces = &piece, .n_pieces = 1};
	struct buf b = BUF_INIT(4096);
	uint8_t header[RECORD_HEADER];

	message_encode(&m, &b);
	struct record rec = {.type = RECORD_COMMIT,
		.version = 1,
		.length = (uint32_t)b.len,
		.offset = offset,
		.id = id,
		.payload_crc = crc32c(0, b.ptr, b.len)};
	record_encode(&s->head.generation, &rec, header);
	fake_poke(&r->fake, s->name, offset, header, sizeof(header));
	fake_poke(&r->fake, s->name, offset + RECORD_HEADER, b.ptr, b.len);
	buf_done(&b);
}

static void recover__forged_commit(void **state)
{
	enum what { OWN, FOREIGN_OCTETS, FOREIGN_ID, FUTURE_ID, BEYOND_RECORD, LEDGER, MISSING };
	static const struct {
		const char *what;
		enum what which;
		unsigned found, refused, dropped;
	} table[] = {
		{"its own", OWN, 1, 0, 0},
		{"another slot's octets", FOREIGN_OCTETS, 0, 1, 0},
		{"another slot's id", FOREIGN_ID, 0, 1, 0},
		{"an id to come", FUTURE_ID, 0, 1, 0},
		{"beyond the record that it names", BEYOND_RECORD, 0, 0, 1},
		{"the ledger", LEDGER, 0, 1, 0},
		{"a segment that is not there", MISSING, 0, 0, 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct rig r;
		struct rig_mail mine, other;
		rig_init(&r, 64 * MIB, 1);
		rig_writer(&r, 1);
		rig_writer(&r, 2);
		want_int("ledger", 0, ledger_append(r.ledger, 1, SPAN_LIT("secret")));
		fake_run(&r.fake);
		want_int("ledger", 0, ledger_write(r.ledger));
		want_int("send", 0, rig_send(&r, 1, 3000, &mine));
		want_int("send", 0, rig_send(&r, 2, 3000, &other));
		fake_run(&r.fake);
		uint64_t id = mine.id + 1;
		struct piece p = {mine.commit.segment, chunk_of(&mine),
			chunk_of(&mine) + RECORD_HEADER, 3000};
		switch (table[i].which) {
		case OWN:
			break;
		case FOREIGN_OCTETS:
			p.segment = other.commit.segment;
			break;
		case FOREIGN_ID:
			id = other.id + 1;
			break;
		case FUTURE_ID:
			id += UINT64_C(100) << 24;
			break;
		case BEYOND_RECORD:
			p.length += 200;
			break;
		case LEDGER:
			p.segment = store_next(r.store, SLOT_LEDGER, NULL)->head.sequence;
			p.record = SEGMENT_HEAD;
			p.offset = SEGMENT_HEAD + RECORD_HEADER;
			p.length = 1;
			break;
		case MISSING:
			p.segment = 99;
			break;
		}
		forge(&r, 1, mine.commit.offset + record_span(mine.commit.length), id, &p);
		r.fake.seam.boot_id[0]++;
		again(&r);
		struct recover_cursor c;
		struct found found = {.rig = &r};
		struct store_segment *s = store_find(r.store, mine.commit.segment);
		want_int("begin", 0, recover_begin(&c, &r.fake.seam, r.store, s, 0, &ops, &found));
		want_int("step", 0, recover_step(&c, 1000));
		want_u64(table[i].what, table[i].found, times(&found, id));
		want_u64(table[i].what, 1, times(&found, mine.id));
		want_u64(table[i].what, table[i].refused, c.counts.refused);
		want_u64(table[i].what, table[i].dropped, c.counts.dropped);
		assert_false(s->damaged);
		recover_done(&c);
		rig_done(&r);
	}
}

/* A COMMIT that names one record very often costs one read of it, and a step is a step. */
static void recover__in_slices_from_the_known_end(void **state)
{
	struct few f;
	struct recover_cursor c;
	struct found found = {0};

	(void)state;
	few_init(&f, 3);
	struct store_segment *s = store_find(f.r.store, f.sequence);
	found.rig = &f.r;
	want_int("begin", 0, recover_begin(&c, &f.r.fake.seam, f.r.store, s, 0, &ops, &found));
	want_int("chunk", 1, recover_step(&c, 1));
	want_u64("after the chunk", 0, found.n);
	want_int("commit", 1, recover_step(&c, 1));
	want_u64("after the COMMIT", 1, found.n);
	want_int("rest", 0, recover_step(&c, 100));
	want_u64("after the rest", 3, found.n);
	recover_done(&c);
	/* The receiver lives on, then dies: only what is new. */
	uint64_t known = s->known_end;
	want_u64(
		"known end", f.sent[2].commit.offset + record_span(f.sent[2].commit.length), known);
	send_one(&f, 500);
	found.n = 0;
	want_int("recover", 0,
		spool_recover_segment(&f.r.fake.seam, f.r.store, s, known, &ops, &found));
	want_u64("new", 1, found.n);
	want_u64("the new one", f.sent[3].id, found.ids[0]);
	rig_done(&f.r);
}

static void recover__index_spares_reading_the_rest(void **state)
{
	struct few f;

	(void)state;
	few_init(&f, 4);
	few_seal(&f);
	struct store_segment *s = store_find(f.r.store, f.sequence);
	struct found found = {.rig = &f.r};
	/* A step of the index is a COMMIT, not a record. */
	struct recover_cursor c;
	want_int("begin", 0, recover_begin(&c, &f.r.fake.seam, f.r.store, s, 0, &ops, &found));
	want_int("four and the end", 1, recover_step(&c, 4));
	want_u64("found", 4, found.n);
	want_int("end", 0, recover_step(&c, 1));
	recover_done(&c);
	rig_done(&f.r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recover__power_loss),
		cmocka_unit_test(recover__kill),
		cmocka_unit_test(recover__flipped_octets),
		cmocka_unit_test(recover__unreadable_block),
		cmocka_unit_test(reseal_begin__next_start_reads_the_index),
		cmocka_unit_test(reseal_begin__power_loss_at_every_step),
		cmocka_unit_test(recover__stale_generation),
		cmocka_unit_test(recover__body_that_imitates_records),
		cmocka_unit_test(recover__message_over_several_segments),
		cmocka_unit_test(recover__forged_commit),
		cmocka_unit_test(recover__in_slices_from_the_known_end),
		cmocka_unit_test(recover__index_spares_reading_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
