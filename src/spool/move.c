/* See move.h. Chunk by chunk, so that memory and the time of a step are bounded: a chunk is read as
 * a whole because its checksum covers it, and only the part that the message names is copied.
 *
 * What the copy lies in would be recycled under it while nothing refers to it (our writer's segment
 * may be sealed at any time), so each of its segments gets a reference, until the owner has its
 * own. A segment that is retired may have lost what was appended to it: then the copy is given up;
 * with its COMMIT written, the ticket's answer tells the same. */
#include "spool/move.h"

#include "spool/draft.h"
#include <stdlib.h>

#define CHUNK_MAX (1u << 20) /* ours have SPOOL_CHUNK; a forged one must not take memory */
#define ARENA_MAX (64u << 20)

struct move {
	const struct seam *seam;
	struct store *store;
	struct writer *writer;
	void (*durable)(void *arg);
	void *arg;
	struct record_ref from, to;
	struct buf payload, chunk; /* of the old COMMIT; of the chunk at hand */
	struct arena *arena;
	struct message message; /* spans and inline pieces borrow from payload */
	struct message_piece *pieces;
	uint32_t n_pieces, cap_pieces, next; /* of the copy; of message.pieces, to be copied */
	uint64_t *segments;		     /* with a reference each */
	uint32_t n_segments, cap_segments;
	size_t chunk_at; /* octets of the piece at hand that are copied */
	struct writer_ticket ticket;
	int result; /* of the ticket; -EINPROGRESS */
	bool committed, lost, freed;
};

static int read_record(struct move *m, uint64_t sequence, uint64_t offset, enum record_type type,
	uint32_t max, struct buf *out, struct record *ret)
{
	const struct store_segment *s = store_find(m->store, sequence);
	uint8_t header[RECORD_HEADER];
	size_t got = 0;

	if (!s)
		return -ENOENT;
	int r = m->seam->ops->read(s->file, offset, header, sizeof(header), &got);
	if (r < 0)
		return r;
	if (got < sizeof(header) || record_decode(&s->head.generation, offset, header, ret) < 0 ||
		ret->type != type)
		return -EBADMSG;
	if (ret->length > max)
		return -EFBIG;
	buf_reset(out);
	return segment_read_payload(m->seam, s->file, &s->head, ret, out);
}

static void move_destroy(struct move *m)
{
	buf_done(&m->payload);
	buf_done(&m->chunk);
	arena_free(m->arena);
	free(m->pieces);
	free(m->segments);
	free(m);
}

int move_new(const struct seam *seam, struct store *store, struct writer *writer, uint64_t id,
	const struct record_ref *commit, void (*durable)(void *arg), void *arg,
	struct move **ret_move)
{
	struct move *m = calloc(1, sizeof(*m));
	struct record rec;

	if (!m)
		return -ENOMEM;
	*m = (struct move){.seam = seam,
		.store = store,
		.writer = writer,
		.durable = durable,
		.arg = arg,
		.from = *commit,
		.payload = BUF_INIT(RECORD_PAYLOAD_MAX),
		.chunk = BUF_INIT(CHUNK_MAX),
		.arena = arena_new(ARENA_MAX),
		.result = -EINPROGRESS};
	int r = m->arena ? 0 : -ENOMEM;
	if (r == 0)
		r = read_record(m, commit->segment, commit->offset, RECORD_COMMIT,
			RECORD_PAYLOAD_MAX, &m->payload, &rec);
	if (r == 0 && rec.id != id)
		r = -EBADMSG;
	if (r == 0)
		r = message_decode(id, buf_span(&m->payload), m->arena, &m->message);
	if (r < 0) {
		move_destroy(m);
		return r;
	}
	*ret_move = m;
	return 0;
}

void move_free(struct move *m)
{
	if (!m)
		return;
	for (uint32_t i = 0; i < m->n_segments; i++)
		store_unref(m->store, m->segments[i]);
	m->n_segments = 0;
	m->freed = true;
	/* The writer has the ticket until it answers. */
	if (!m->committed || m->result != -EINPROGRESS)
		move_destroy(m);
}

static int pin(struct move *m, uint64_t sequence)
{
	for (uint32_t i = 0; i < m->n_segments; i++)
		if (m->segments[i] == sequence)
			return 0;
	if (m->n_segments == m->cap_segments) {
		uint32_t cap = m->cap_segments ? m->cap_segments * 2 : 4;
		uint64_t *more = realloc(m->segments, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		m->segments = more;
		m->cap_segments = cap;
	}
	m->segments[m->n_segments++] = sequence;
	store_ref(m->store, sequence);
	return 0;
}

static int piece_add(struct move *m, const struct message_piece *p)
{
	if (m->n_pieces == m->cap_pieces) {
		uint32_t cap = m->cap_pieces ? m->cap_pieces * 2 : 8;
		struct message_piece *more = realloc(m->pieces, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		m->pieces = more;
		m->cap_pieces = cap;
	}
	m->pieces[m->n_pieces++] = *p;
	return 0;
}

/* The octets of a piece, verified; *ret borrows from m->chunk. */
static int piece_read(struct move *m, const struct piece *p, struct span *ret)
{
	struct record rec;
	int r = read_record(m, p->segment, p->record, RECORD_CHUNK, CHUNK_MAX, &m->chunk, &rec);

	if (r < 0)
		return r;
	if (p->offset < p->record + RECORD_HEADER)
		return -EBADMSG;
	uint64_t start = p->offset - p->record - RECORD_HEADER;
	if (start > m->chunk.len || p->length > m->chunk.len - start)
		return -EBADMSG;
	*ret = span_make(m->chunk.ptr + start, p->length);
	return 0;
}

static int copy_piece(struct move *m, const struct message_piece *p, uint64_t *ret_octets)
{
	struct message_piece copy = {0};
	struct record_ref ref;
	struct span octets;

	if (p->is_inline) {
		m->next++;
		return piece_add(m, p);
	}
	int r = piece_read(m, &p->piece, &octets);
	if (r < 0)
		return r;
	octets = span_head(span_from(octets, m->chunk_at), SPOOL_CHUNK);
	r = writer_append(m->writer, RECORD_CHUNK, m->message.id, &octets, 1, &ref);
	if (r < 0)
		return r;
	*ret_octets = record_span(octets.len);
	copy.piece =
		(struct piece){ref.segment, ref.offset, ref.offset + RECORD_HEADER, ref.length};
	m->chunk_at += octets.len;
	if (m->chunk_at >= p->piece.length) {
		m->chunk_at = 0;
		m->next++;
	}
	r = pin(m, ref.segment);
	return r < 0 ? r : piece_add(m, &copy);
}

static void on_ticket(struct writer_ticket *t, int result)
{
	struct move *m = CONTAINER_OF(t, struct move, ticket);

	m->result = result;
	if (m->freed)
		move_destroy(m);
	else if (result != -ECANCELED)
		m->durable(m->arg);
}

static int commit(struct move *m, uint64_t *ret_octets)
{
	struct buf payload = BUF_INIT(RECORD_PAYLOAD_MAX);
	int r = message_replace_pieces(buf_span(&m->payload), m->pieces, m->n_pieces, &payload);

	struct span octets = buf_span(&payload);
	if (r == 0)
		r = writer_append(m->writer, RECORD_COMMIT, m->message.id, &octets, 1, &m->to);
	if (r == 0) {
		*ret_octets = record_span(octets.len);
		m->message.pieces = m->pieces;
		m->message.n_pieces = m->n_pieces;
		m->committed = true;
		m->ticket.done = on_ticket;
		writer_sync(m->writer, &m->ticket);
		r = pin(m, m->to.segment);
	}
	buf_done(&payload);
	return r < 0 ? r : -EINPROGRESS;
}

int move_step(struct move *m, uint64_t *ret_octets)
{
	*ret_octets = 0;
	if (m->committed)
		return m->result == 0 && m->lost ? -EIO : m->result;
	if (m->lost)
		return -EIO;
	if (m->next == m->message.n_pieces)
		return commit(m, ret_octets);
	int r = copy_piece(m, &m->message.pieces[m->next], ret_octets);
	return r < 0 ? r : 1;
}

void move_retired(struct move *m, uint64_t sequence)
{
	for (uint32_t i = 0; i < m->n_segments; i++)
		m->lost = m->lost || m->segments[i] == sequence;
}

bool move_is_committing(const struct move *m)
{
	return m->committed;
}

bool move_commit_ref(const struct move *m, struct record_ref *ret)
{
	*ret = m->to;
	return m->committed;
}

const struct record_ref *move_from(const struct move *m)
{
	return &m->from;
}

const struct message *move_message(const struct move *m)
{
	return &m->message;
}
