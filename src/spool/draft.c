/* Streaming a body into the spool. The buffer holds at most SPOOL_CHUNK octets and what one decoder
 * step adds; a small message leaves as CHUNK and COMMIT side by side in one write. */
#include "spool/draft.h"

#include <stdlib.h>

#define DRAFT_BUFFER_MAX (2u * SPOOL_CHUNK + 4096u)
#define DRAFT_HEAD_MAX	 (256u * 1024u)
#define DRAFT_PIECES_MAX 65536u
#define COMMIT_MAX	 RECORD_PAYLOAD_MAX

struct draft {
	struct writer *w;
	uint64_t id, written; /* octets in chunk records */
	struct buf buffer, head;
	struct message_piece *pieces; /* room for two more than n_pieces: head and last chunk */
	uint32_t n_pieces, room;
	bool committed;
	uint64_t commit_segment;
};

int draft_new(struct writer *w, struct draft **ret_draft)
{
	struct draft *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->w = w;
	d->buffer = BUF_INIT(DRAFT_BUFFER_MAX);
	d->head = BUF_INIT(DRAFT_HEAD_MAX);
	int r = writer_new_id(w, &d->id);
	if (r < 0) {
		free(d);
		return r;
	}
	*ret_draft = d;
	return 0;
}

void draft_free(struct draft *d)
{
	if (!d)
		return;
	buf_done(&d->buffer);
	buf_done(&d->head);
	free(d->pieces);
	free(d);
}
uint64_t draft_id(const struct draft *d)
{
	return d->id;
}

uint64_t draft_octets(const struct draft *d)
{
	return d->written + d->buffer.len;
}

struct buf *draft_buffer(struct draft *d)
{
	return &d->buffer;
}

bool draft_uses(const struct draft *d, uint64_t sequence)
{
	for (uint32_t i = 0; i < d->n_pieces; i++)
		if (!d->pieces[i].is_inline && d->pieces[i].piece.segment == sequence)
			return true;
	return d->committed && d->commit_segment == sequence;
}

static int grow_pieces(struct draft *d)
{
	if (d->n_pieces + 2 < d->room)
		return 0;
	if (d->n_pieces >= DRAFT_PIECES_MAX)
		return -EMSGSIZE;
	uint32_t room = d->room ? d->room * 2 : 4;
	struct message_piece *grown = realloc(d->pieces, room * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	d->pieces = grown;
	d->room = room;
	return 0;
}

static void add_piece(struct draft *d, const struct record_ref *ref)
{
	d->pieces[d->n_pieces++] =
		(struct message_piece){.piece = {.segment = ref->segment,
					       .record = ref->offset,
					       .offset = ref->offset + RECORD_HEADER,
					       .length = ref->length}};
}

static int write_chunk(struct draft *d, size_t len)
{
	struct span octets = span_head(buf_span(&d->buffer), len);
	struct record_ref ref;
	int r = grow_pieces(d);

	if (r == 0)
		r = writer_append(d->w, RECORD_CHUNK, d->id, &octets, 1, &ref);
	if (r < 0)
		return r;
	add_piece(d, &ref);
	d->written += len;
	buf_consume(&d->buffer, len);
	return 0;
}

int draft_flush_full(struct draft *d)
{
	int r = d->buffer.error;

	while (r == 0 && d->buffer.len >= SPOOL_CHUNK)
		r = write_chunk(d, SPOOL_CHUNK);
	return r;
}

int draft_append(struct draft *d, struct span octets)
{
	int r = 0;

	while (r == 0 && octets.len) {
		size_t n = MIN(octets.len, (size_t)SPOOL_CHUNK);
		buf_put(&d->buffer, span_head(octets, n));
		octets = span_from(octets, n);
		r = draft_flush_full(d);
	}
	return r;
}

/* Takes what [from, from + len) has of piece i out of it: 1 when the piece is gone, too. */
static int cut_piece(struct draft *d, uint32_t i, uint64_t from, uint64_t len)
{
	struct piece *p = &d->pieces[i].piece;

	d->written -= len;
	if (len == p->length) {
		memmove(d->pieces + i, d->pieces + i + 1,
			(d->n_pieces - i - 1) * sizeof(*d->pieces));
		d->n_pieces--;
		return 1;
	}
	if (from == 0) {
		p->offset += len;
		p->length -= (uint32_t)len;
	} else if (from + len == p->length) {
		p->length -= (uint32_t)len;
	} else {
		memmove(d->pieces + i + 1, d->pieces + i, (d->n_pieces - i) * sizeof(*d->pieces));
		d->n_pieces++;
		struct piece *rest = &d->pieces[i + 1].piece;
		p->length = (uint32_t)from;
		rest->offset += from + len;
		rest->length -= (uint32_t)(from + len);
	}
	return 0;
}

int draft_cut(struct draft *d, uint64_t from, uint32_t len)
{
	uint64_t start = 0, end = from + len;

	assert(!d->committed);
	if (end > draft_octets(d))
		return -EINVAL;
	int r = grow_pieces(d); /* one piece may become two */
	if (r < 0)
		return r;
	/* In the order of the octets; `end` moves up as they go. */
	for (uint32_t i = 0; i < d->n_pieces && start < end;) {
		uint64_t length = d->pieces[i].piece.length;
		uint64_t low = MAX(from, start), high = MIN(end, start + length);
		if (low >= high) {
			start += length;
			i++;
			continue;
		}
		end -= high - low;
		if (cut_piece(d, i, low - start, high - low) == 1)
			continue;
		start += d->pieces[i].piece.length;
		i++;
	}
	if (end > from) { /* the rest is not on disk yet */
		size_t at = (size_t)(from - d->written), n = (size_t)(end - from);
		memmove(d->buffer.ptr + at, d->buffer.ptr + at + n, d->buffer.len - at - n);
		d->buffer.len -= n;
	}
	return 0;
}

int draft_prepend(struct draft *d, struct span octets)
{
	buf_put(&d->head, octets);
	return d->head.error;
}

/* The pieces in order: the head inline, then the chunks; the last one, still in the buffer, will
 * stand at `chunk_at`. Room for both was kept by grow_pieces. */
static void list_pieces(struct draft *d, const struct record_ref *chunk, struct message *m)
{
	if (chunk->length)
		add_piece(d, chunk);
	if (d->head.len) {
		memmove(d->pieces + 1, d->pieces, d->n_pieces * sizeof(*d->pieces));
		d->pieces[0] =
			(struct message_piece){.is_inline = true, .octets = buf_span(&d->head)};
		d->n_pieces++;
	}
	m->pieces = d->pieces;
	m->n_pieces = d->n_pieces;
}

int draft_commit(struct draft *d, struct message *m, struct writer_ticket *ticket,
	struct record_ref *ret_ref)
{
	struct buf payload = BUF_INIT(COMMIT_MAX);
	struct span body = buf_span(&d->buffer), commit;
	struct record_ref chunk = {.length = (uint32_t)body.len}, refs[2];
	uint64_t chunk_octets = body.len ? record_span(body.len) : 0;

	assert(!d->committed);
	if (d->buffer.error || d->head.error)
		return d->buffer.error ? d->buffer.error : d->head.error;
	int r = grow_pieces(d);
	if (r < 0)
		return r;
	m->id = d->id;
	m->size = d->written + body.len + d->head.len;
	uint32_t pieces_before = d->n_pieces;
	/* Twice at most: the COMMIT's length does not depend on where the chunk will stand, and its
	 * place is known once there is room for both. */
	list_pieces(d, &chunk, m);
	message_encode(m, &payload);
	uint64_t total = chunk_octets + record_span(payload.len);
	r = payload.error ? payload.error
			  : writer_place(d->w, total, &chunk.segment, &chunk.offset);
	if (r == 0 && chunk_octets) {
		struct piece *last = &d->pieces[d->n_pieces - 1].piece;
		*last = (struct piece){
			chunk.segment, chunk.offset, chunk.offset + RECORD_HEADER, chunk.length};
		buf_reset(&payload);
		message_encode(m, &payload);
	}
	commit = buf_span(&payload);
	struct writer_record records[2] = {
		{RECORD_CHUNK, d->id, &body, 1}, {RECORD_COMMIT, d->id, &commit, 1}};
	unsigned first = chunk_octets ? 0 : 1;
	if (r == 0)
		r = writer_append_many(d->w, records + first, 2 - first, refs + first);
	buf_done(&payload);
	if (r < 0) {
		/* Back to the chunks that were there, so that the owner may try again. */
		if (d->head.len)
			memmove(d->pieces, d->pieces + 1, (d->n_pieces - 1) * sizeof(*d->pieces));
		d->n_pieces = pieces_before;
		return r;
	}
	d->committed = true;
	d->commit_segment = refs[1].segment;
	*ret_ref = refs[1];
	writer_sync(d->w, ticket);
	return 0;
}
