/* Messages as the spool has them: reading a COMMIT, and checking where its octets are.
 *
 * A COMMIT was written by a receiver, which is a stranger's first target. It may name octets only
 * in segments of its own slot, and only inside of chunks that were written for this very message:
 * otherwise a receiver that was taken over could have the mail of others delivered to itself. Once
 * a message has been taken, its COMMIT is read again for each job; the last few are kept decoded,
 * because the first job follows the notice at once, and the jobs of one message come together.
 *
 * Record and payload are read by one call: a reference tells the length. */
#include "queue/dispatcher_internal.h"
#include <stdlib.h>

#include "base/crc32c.h"

#define LOADED_KEPT (16u << 10) /* octets that a place keeps for its next message */

/* Forgets the message; its memory stays for the next one, unless it is much. */
static void loaded_reset(struct loaded *l)
{
	struct arena *arena = TAKE(l->arena);
	struct buf octets = l->octets;

	if (arena)
		arena_reset(arena);
	if (octets.cap > LOADED_KEPT)
		buf_done(&octets);
	buf_reset(&octets);
	*l = (struct loaded){.arena = arena, .octets = octets};
}

void message_unload_all(struct dispatcher *d)
{
	for (size_t i = 0; i < ARRAY_LEN(d->loaded); i++) {
		struct loaded *l = &d->loaded[i];
		arena_free(l->arena);
		buf_done(&l->octets);
		*l = (struct loaded){0};
	}
}

void message_unload_segment(struct dispatcher *d, uint64_t sequence)
{
	for (size_t i = 0; i < ARRAY_LEN(d->loaded); i++) {
		struct loaded *l = &d->loaded[i];
		if (l->valid && (l->ref.segment == sequence || l->chunk.segment == sequence))
			loaded_reset(l);
	}
}

/* `want` octets at offset, of which the first are a record's header. */
static int record_read(struct dispatcher *d, const struct store_segment *s, uint64_t offset,
	void *octets, size_t want, struct record *ret)
{
	size_t len = 0;

	if (offset < SEGMENT_HEAD || offset % RECORD_ALIGN || offset >= s->head.size)
		return -EBADMSG;
	int r = d->seam->ops->read(s->file, offset, octets, want, &len);
	if (r < 0)
		return r;
	if (len < want)
		return -EBADMSG;
	r = record_decode(&s->head.generation, offset, octets, ret);
	/* The payload must lie in the file, or reading it would be a gift of zeros. */
	if (r == 0 && ret->length > s->head.size - offset - RECORD_HEADER)
		r = -EBADMSG;
	return r;
}

static int commit_read(
	struct dispatcher *d, uint64_t id, const struct record_ref *commit, struct loaded *l)
{
	const struct store_segment *s = store_find(d->store, commit->segment);
	struct record rec;

	if (!s)
		return -ENOENT;
	if (commit->length > RECORD_PAYLOAD_MAX)
		return -EBADMSG;
	size_t want = RECORD_HEADER + commit->length;
	char *room = buf_reserve(&l->octets, want);
	if (!room)
		return l->octets.error;
	int r = record_read(d, s, commit->offset, room, want, &rec);
	if (r < 0)
		return r;
	l->octets.len = want;
	l->payload = span_from(buf_span(&l->octets), RECORD_HEADER);
	if (rec.type != RECORD_COMMIT || rec.id != id || rec.length != commit->length ||
		crc32c(0, l->payload.ptr, l->payload.len) != rec.payload_crc)
		return -EBADMSG;
	r = message_decode(id, l->payload, l->arena, &l->m);
	if (r == 0)
		r = message_ranges(&l->m, l->payload, commit, l->arena, &l->ranges, &l->n_ranges);
	return r;
}

/* The chunk's header; one that was read already is not read again. */
static int chunk_read(struct dispatcher *d, struct chunk_known *known,
	const struct store_segment *s, uint64_t offset, struct record *ret)
{
	uint8_t header[RECORD_HEADER];

	if (known->segment == s->head.sequence && known->record.offset == offset) {
		*ret = known->record;
		return 0;
	}
	int r = record_read(d, s, offset, header, sizeof(header), ret);
	if (r == 0)
		*known = (struct chunk_known){s->head.sequence, *ret};
	return r;
}

int message_load(struct dispatcher *d, uint64_t id, const struct record_ref *commit,
	struct loaded **ret_loaded)
{
	struct loaded *l = &d->loaded[id % ARRAY_LEN(d->loaded)];

	if (!l->valid || l->id != id || l->ref.segment != commit->segment ||
		l->ref.offset != commit->offset) {
		loaded_reset(l);
		l->octets.max = RECORD_HEADER + RECORD_PAYLOAD_MAX;
		if (!l->arena)
			l->arena = arena_new(MESSAGE_ARENA_MAX);
		int r = l->arena ? commit_read(d, id, commit, l) : -ENOMEM;
		if (r < 0) {
			loaded_reset(l);
			return r;
		}
		l->id = id;
		l->ref = *commit;
		l->valid = true;
	}
	*ret_loaded = l;
	return 0;
}

/* ---- where its octets are ---- */

static int check_chunk(struct dispatcher *d, struct loaded *l, const struct store_segment *s,
	const struct piece *p)
{
	struct record rec;
	int r = chunk_read(d, &l->chunk, s, p->record, &rec);

	if (r < 0)
		return r;
	if (rec.type != RECORD_CHUNK || rec.id != l->id || p->offset < p->record + RECORD_HEADER ||
		p->offset - p->record - RECORD_HEADER > rec.length ||
		p->length > rec.length - (p->offset - p->record - RECORD_HEADER))
		return -EBADMSG;
	return 0;
}

int message_chunk_crc(
	struct dispatcher *d, struct loaded *l, const struct piece *p, struct job_range *range)
{
	const struct store_segment *s = store_find(d->store, p->segment);
	struct record rec;
	int r = s ? chunk_read(d, &l->chunk, s, p->record, &rec) : -ENOENT;

	if (r < 0)
		return r;
	range->checked = p->offset == p->record + RECORD_HEADER && p->length == rec.length;
	range->crc = rec.payload_crc;
	return 0;
}

/* What was given back and holds nothing may be on its way to another use: a COMMIT there is a lie.
 */
static bool segment_stays(const struct dispatcher *d, const struct store_segment *s)
{
	return !d->recycling || s->state == SEGMENT_OPEN || s->live > 0;
}

int message_check_commit(struct dispatcher *d, const struct record_ref *commit, uint16_t slot)
{
	const struct store_segment *s = store_find(d->store, commit->segment);

	return s && s->head.slot == slot && segment_stays(d, s) ? 0 : -ENOENT;
}

int message_check_pieces(struct dispatcher *d, struct loaded *l, uint16_t slot)
{
	const struct message *m = &l->m;

	for (uint32_t i = 0; slot != SLOT_DISPATCHER && i < m->n_pieces; i++) {
		const struct piece *p = &m->pieces[i].piece;
		if (m->pieces[i].is_inline)
			continue;
		const struct store_segment *s = store_find(d->store, p->segment);
		if (!s || s->head.slot != slot || !segment_stays(d, s))
			return -EPERM;
		int r = check_chunk(d, l, s, p);
		if (r < 0)
			return r;
	}
	return 0;
}

int message_head(struct dispatcher *d, const struct loaded *l, size_t max, struct buf *out)
{
	for (uint32_t i = 0; i < l->n_ranges && out->len < max; i++) {
		const struct piece *p = &l->ranges[i];
		const struct store_segment *s = store_find(d->store, p->segment);
		size_t want = MIN((size_t)p->length, max - out->len), len = 0;
		char *space = buf_reserve(out, want);
		if (!s || !space)
			return s ? out->error : -ENOENT;
		int r = d->seam->ops->read(s->file, p->offset, space, want, &len);
		if (r < 0)
			return r;
		out->len += len;
		if (len < want)
			return -EBADMSG;
	}
	return 0;
}
