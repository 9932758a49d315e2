/* Reading back what a segment promises. recover.h says what counts; docs/spool.md argues why.
 *
 * The order of questions for one COMMIT: does its own record read (else it was lost or damaged),
 * may it name what it names (else it is refused), do the records that it lists read (only asked
 * where they may be missing: in an unsealed segment). What was looked at once is remembered, so
 * that a COMMIT that lists the same record ten thousand times costs one read of it.
 *
 * The generation, size and slot come from the store's copy of the head, which nobody else writes,
 * not from the file's. */
#include "spool/recover.h"

#include "base/wire.h"

#define SCAN_WINDOW    (1024u * 1024u)
#define INDEX_ENTRY    20u /* u64 offset, u64 id, u32 length */
#define SEAL_OCTETS    64u
#define ARENA_MAX      (64u * 1024u * 1024u)
#define PAYLOAD_PLAIN  (1024u * 1024u) /* its facts take less of the arena than there is */
#define SEQUENCE_SHIFT 24u	       /* of an id */
#define BAD	       UINTPTR_MAX

/* ---- single records ---- */

static int read_header(
	const struct seam *seam, const struct store_segment *s, uint64_t offset, struct record *ret)
{
	uint8_t header[RECORD_HEADER];
	size_t got = 0;

	if (offset > s->head.size - RECORD_HEADER)
		return -EBADMSG;
	int r = seam->ops->read(s->file, offset, header, sizeof(header), &got);
	if (r < 0)
		return r;
	return got == sizeof(header) ? record_decode(&s->head.generation, offset, header, ret)
				     : -EBADMSG;
}

static int read_record(const struct seam *seam, const struct store_segment *s, uint64_t offset,
	enum record_type type, struct buf *out, struct record *ret)
{
	int r = read_header(seam, s, offset, ret);

	if (r == 0 && ret->type != type)
		r = -EBADMSG;
	buf_reset(out);
	return r < 0 ? r : segment_read_payload(seam, s->file, &s->head, ret, out);
}

/* An I/O error is damage too: one bad sector must not keep a whole queue from starting. */
static bool is_unreadable(int r)
{
	return r == -EBADMSG || r == -EIO;
}

/* The SEAL and, if it reads well, the index. */
static int read_seal(struct recover_cursor *c)
{
	struct buf seal = BUF_INIT(SEAL_OCTETS);
	struct record rec;
	int r = read_record(c->seam, c->segment, SEGMENT_SEAL_OFFSET, RECORD_SEAL, &seal, &rec);

	if (r < 0) {
		buf_done(&seal);
		/* A payload beyond what a SEAL has is none. */
		return is_unreadable(r) || r == -EMSGSIZE ? 0 : r;
	}
	struct wire w = wire_reader(buf_span(&seal));
	uint64_t end = wire_get_u64(&w), index_at = wire_get_u64(&w);
	bool good = !w.error && end >= SEGMENT_HEAD && end <= c->segment->head.size;
	buf_done(&seal);
	if (!good)
		return 0;
	c->sealed = true;
	c->end = end;
	if (index_at == 0)
		return 0;
	r = read_record(c->seam, c->segment, index_at, RECORD_INDEX, &c->index, &rec);
	c->indexed = r == 0 && c->index.len % INDEX_ENTRY == 0;
	return is_unreadable(r) ? 0 : r;
}

/* ---- what to say of failures ---- */

static void tell_damage(struct recover_cursor *c, uint64_t offset, uint64_t octets)
{
	c->counts.damaged++;
	c->segment->damaged = true;
	if (c->ops->damage)
		c->ops->damage(c->arg, c->segment, offset, octets);
}

/* A record that fails. Where nothing can have been lost it is damage, but for the very last one of
 * an unsealed segment: its writer may have been killed half-way. */
static void failed_record(struct recover_cursor *c, int error, uint64_t offset, uint64_t octets)
{
	/* What the disk cannot read may have been there: nobody can say that it was never synced.
	 */
	if (c->sealed || error == -EIO)
		tell_damage(c, offset, octets);
	else if (!c->same_boot)
		c->counts.dropped++;
	else {
		c->suspect.offset = offset;
		c->suspect.octets = octets;
	}
}

static void another_record(struct recover_cursor *c)
{
	if (c->suspect.octets)
		tell_damage(c, c->suspect.offset, c->suspect.octets);
	c->suspect.octets = 0;
}

/* ---- one COMMIT ---- */

int recover_check_commit(
	struct store *store, const struct store_segment *segment, const struct message *m)
{
	uint64_t sequence = m->id >> SEQUENCE_SHIFT;
	int result = 0;

	/* Our own slot may hold what was moved there from others. */
	if (segment->head.slot != SLOT_DISPATCHER) {
		const struct store_segment *s = store_find(store, sequence);
		if (sequence > segment->head.sequence || (s && s->head.slot != segment->head.slot))
			return -EPERM;
	}
	for (uint32_t i = 0; i < m->n_pieces; i++) {
		const struct piece *p = &m->pieces[i].piece;
		if (m->pieces[i].is_inline)
			continue;
		const struct store_segment *s = store_find(store, p->segment);
		if (s && s->head.slot != segment->head.slot &&
			segment->head.slot != SLOT_DISPATCHER)
			return -EPERM;
		if (!s || s->head.slot == SLOT_LEDGER || p->offset > s->head.size ||
			p->length > s->head.size - p->offset)
			result = -ENODATA;
	}
	return result;
}

/* The length of the record at p->record, if it reads well to its last octet; -EBADMSG. */
static int verified_length(
	struct recover_cursor *c, struct store_segment *s, const struct piece *p, uint32_t *ret)
{
	uint64_t key = s->head.sequence << SEQUENCE_SHIFT | p->record / RECORD_ALIGN;
	uintptr_t known = (uintptr_t)map_get_u64(c->verified, key);
	struct record rec;

	if (!known) {
		int r = read_header(c->seam, s, p->record, &rec);
		if (r == 0 && rec.type != RECORD_CHUNK && rec.type != RECORD_COMMIT)
			r = -EBADMSG;
		buf_reset(&c->chunk);
		if (r == 0)
			r = segment_read_payload(c->seam, s->file, &s->head, &rec, &c->chunk);
		if (r < 0 && r != -EBADMSG)
			return r;
		known = r < 0 ? BAD : (uintptr_t)rec.length + 1;
		r = map_put_u64(c->verified, key, (void *)known);
		if (r < 0)
			return r;
	}
	if (known == BAD)
		return -EBADMSG;
	*ret = (uint32_t)(known - 1);
	return 0;
}

static int verify_pieces(struct recover_cursor *c, const struct message *m)
{
	for (uint32_t i = 0; i < m->n_pieces; i++) {
		const struct piece *p = &m->pieces[i].piece;
		uint32_t length;
		if (m->pieces[i].is_inline)
			continue;
		struct store_segment *s = store_find(c->store, p->segment);
		if (!s)
			return -EBADMSG;
		int r = verified_length(c, s, p, &length);
		if (r < 0)
			return r;
		/* message_decode has seen that the octets begin behind the header. */
		uint64_t start = p->offset - p->record - RECORD_HEADER;
		if (start > length || p->length > length - start)
			return -EBADMSG;
	}
	return 0;
}

static int offer(struct recover_cursor *c, const struct record *rec, bool damaged)
{
	struct record_ref ref = {c->segment->head.sequence, rec->offset, rec->length};

	c->counts.commits++;
	if (!c->sealed)
		segment_index_put(&c->commits, rec->offset, rec->id, rec->length);
	return c->ops->commit(c->arg, rec->id, &ref, buf_span(&c->payload), damaged);
}

/* Its envelope reads; do its octets? */
static int judge(struct recover_cursor *c, const struct record *rec, const struct message *m)
{
	int r = recover_check_commit(c->store, c->segment, m);

	if (r == -EPERM) {
		c->counts.refused++;
		if (c->ops->damage)
			c->ops->damage(c->arg, c->segment, rec->offset, record_span(rec->length));
		return 0;
	}
	if (r == 0 && !c->sealed)
		r = verify_pieces(c, m);
	if (r == 0)
		return offer(c, rec, false);
	if (r != -ENODATA && !is_unreadable(r))
		return r;
	if (!c->sealed && !c->same_boot && r != -EIO) {
		c->counts.dropped++;
		return 0;
	}
	tell_damage(c, rec->offset, record_span(rec->length));
	return offer(c, rec, true);
}

/* c->payload holds the COMMIT's payload. */
static int take_commit(struct recover_cursor *c, const struct record *rec)
{
	struct message m;

	arena_reset(c->arena);
	int r = message_decode(rec->id, buf_span(&c->payload), c->arena, &m);
	if (r == 0)
		return judge(c, rec, &m);
	/* Its CRC is right and its facts are not, or they are more than any message of ours has. */
	if (r == -EBADMSG || (r == -ENOMEM && rec->length > PAYLOAD_PLAIN)) {
		tell_damage(c, rec->offset, record_span(rec->length));
		return 0;
	}
	return r;
}

/* ---- the walk ---- */

int recover_begin(struct recover_cursor *c, const struct seam *seam, struct store *store,
	struct store_segment *segment, uint64_t from_offset, const struct recover_ops *ops,
	void *arg)
{
	static const uint8_t unknown[sizeof(seam->boot_id)];
	uint64_t from = MAX(from_offset, (uint64_t)SEGMENT_HEAD);

	*c = (struct recover_cursor){.seam = seam,
		.store = store,
		.segment = segment,
		.ops = ops,
		.arg = arg,
		.from = from,
		.end = segment->head.size,
		.index = BUF_INIT(RECORD_PAYLOAD_MAX),
		.payload = BUF_INIT(RECORD_PAYLOAD_MAX),
		.chunk = BUF_INIT(RECORD_PAYLOAD_MAX),
		.commits = BUF_INIT(RECORD_PAYLOAD_MAX),
		.arena = arena_new(ARENA_MAX),
		.verified = map_new(0)};
	c->scan = (struct segment_scan){.seam = seam,
		.file = segment->file,
		.head = segment->head,
		.next = from,
		.end = from,
		.window = BUF_INIT(SCAN_WINDOW)};
	c->same_boot = memcmp(segment->head.boot_id, seam->boot_id, sizeof(unknown)) == 0 &&
		       memcmp(unknown, seam->boot_id, sizeof(unknown)) != 0;
	int r = c->arena && c->verified ? read_seal(c) : -ENOMEM;
	if (r < 0)
		recover_done(c);
	return r;
}

void recover_done(struct recover_cursor *c)
{
	segment_scan_done(&c->scan);
	buf_done(&c->index);
	buf_done(&c->commits);
	buf_done(&c->payload);
	buf_done(&c->chunk);
	arena_free(TAKE(c->arena));
	map_free(TAKE(c->verified));
}

/* A sealed segment by its index: the COMMITs only, wherever they are. */
static int step_index(struct recover_cursor *c)
{
	struct wire w = wire_reader(span_from(buf_span(&c->index), c->index_at));
	uint64_t offset = wire_get_u64(&w), id = wire_get_u64(&w);
	uint32_t length = wire_get_u32(&w);
	struct record rec;

	if (c->index_at >= c->index.len)
		return 0;
	c->index_at += INDEX_ENTRY;
	if (offset < c->from)
		return 1;
	int r = read_record(c->seam, c->segment, offset, RECORD_COMMIT, &c->payload, &rec);
	if (r == 0 && rec.id != id)
		r = -EBADMSG;
	if (is_unreadable(r)) {
		failed_record(c, r, offset, record_span(length));
		return 1;
	}
	if (r == 0)
		r = take_commit(c, &rec);
	return r < 0 ? r : 1;
}

static void tell_gap(struct recover_cursor *c, uint64_t offset, uint64_t octets)
{
	if (c->sealed || c->same_boot)
		tell_damage(c, offset, octets);
	else
		c->counts.gaps++;
}

static int step_scan(struct recover_cursor *c)
{
	uint64_t before = c->scan.end, gaps = c->scan.damaged, lost = c->scan.unreadable;
	struct record rec;
	int r = segment_scan_next(&c->scan, &rec);

	/* Also behind the last record that reads: more may stand there. */
	if (c->scan.unreadable > lost)
		tell_damage(c, before, c->scan.unreadable - lost);
	if (r <= 0)
		return r;
	if (rec.offset >= c->end)
		return 0; /* the index, which did not read well */
	another_record(c);
	if (c->scan.damaged > gaps && c->scan.unreadable == lost)
		tell_gap(c, before, c->scan.damaged - gaps);
	if (rec.type != RECORD_COMMIT)
		return 1;
	buf_reset(&c->payload);
	r = segment_read_payload(c->seam, c->segment->file, &c->segment->head, &rec, &c->payload);
	if (is_unreadable(r)) {
		failed_record(c, r, rec.offset, record_span(rec.length));
		return 1;
	}
	if (r == 0)
		r = take_commit(c, &rec);
	return r < 0 ? r : 1;
}

static void ended(struct recover_cursor *c)
{
	uint64_t end = c->sealed ? c->end : c->scan.end;

	/* The tail of a writer that was killed: never acknowledged. */
	if (c->suspect.octets)
		c->counts.dropped++;
	c->suspect.octets = 0;
	c->segment->known_end = MAX(c->segment->known_end, end);
}

bool recover_may_seal(const struct recover_cursor *c, uint64_t *ret_end)
{
	*ret_end = c->scan.end;
	return !c->sealed && c->from == SEGMENT_HEAD && c->commits.len > 0 && !c->commits.error &&
	       !c->segment->damaged;
}

int recover_step(struct recover_cursor *c, unsigned max_records)
{
	for (unsigned i = 0; i < max_records; i++) {
		int r = c->indexed ? step_index(c) : step_scan(c);
		if (r == 0)
			ended(c);
		if (r <= 0)
			return r;
	}
	return 1;
}

int spool_recover_segment(const struct seam *seam, struct store *store,
	struct store_segment *segment, uint64_t from_offset, const struct recover_ops *ops,
	void *arg)
{
	struct recover_cursor c;
	int r = recover_begin(&c, seam, store, segment, from_offset, ops, arg);

	if (r < 0)
		return r;
	do
		r = recover_step(&c, 1024);
	while (r == 1);
	recover_done(&c);
	return r;
}
