/* The COMMIT record's payload. Facts stand in any order but for recipients and pieces, whose order
 * is theirs; tags that this version does not know are kept as they are. */
#include "spool/message.h"

#define RCPT_FACT_OCTETS 6u /* tag and length: the least that a recipient takes */

/* What is one text or one number, by its tag: where it lives in struct message. Absent is empty or
 * 0. */
enum simple_kind { NOT_SIMPLE, TEXT, NUMBER };
static const struct simple {
	uint16_t offset, kind;
} simples[] = {
	[FACT_ARRIVAL] = {offsetof(struct message, arrival_wall_usec), NUMBER},
	[FACT_REVERSE_PATH] = {offsetof(struct message, reverse_path), TEXT},
	[FACT_SIZE] = {offsetof(struct message, size), NUMBER},
	[FACT_BODY] = {offsetof(struct message, body), NUMBER},
	[FACT_CLIENT] = {offsetof(struct message, client), TEXT},
	[FACT_HELO] = {offsetof(struct message, helo), TEXT},
	[FACT_PROTOCOL] = {offsetof(struct message, protocol), TEXT},
	[FACT_LISTENER] = {offsetof(struct message, listener), TEXT},
	[FACT_LOGIN] = {offsetof(struct message, login), TEXT},
	[FACT_UID] = {offsetof(struct message, uid), NUMBER},
	[FACT_FLAGS] = {offsetof(struct message, flags), NUMBER},
	[FACT_PARENT] = {offsetof(struct message, parent), NUMBER},
	[FACT_RELAY] = {offsetof(struct message, relay), NUMBER},
	[FACT_EVENT] = {offsetof(struct message, event), NUMBER},
	[FACT_ENVID] = {offsetof(struct message, envid), TEXT},
	[FACT_RET] = {offsetof(struct message, ret), NUMBER},
	[FACT_PRIORITY] = {offsetof(struct message, priority), NUMBER},
	[FACT_HOLD_UNTIL] = {offsetof(struct message, hold_until_wall_usec), NUMBER},
	[FACT_DELIVER_BY] = {offsetof(struct message, deliver_by_wall_usec), NUMBER},
	[FACT_DELIVER_BY_MODE] = {offsetof(struct message, deliver_by_mode), NUMBER},
	[FACT_AUTH_SENDER] = {offsetof(struct message, auth_sender), TEXT},
	[FACT_TLS] = {offsetof(struct message, tls), TEXT},
};

static void put_text(struct buf *out, uint16_t tag, struct span s)
{
	if (s.len)
		wire_put_fact(out, tag, s);
}

static void put_number(struct buf *out, uint16_t tag, uint64_t v)
{
	if (v)
		wire_put_fact_u64(out, tag, v);
}

static void put_simple(struct buf *out, const struct message *m, uint16_t tag)
{
	const char *field = (const char *)m + simples[tag].offset;

	if (simples[tag].kind == TEXT)
		put_text(out, tag, *(const struct span *)(const void *)field);
	else if (simples[tag].kind == NUMBER)
		put_number(out, tag, *(const uint64_t *)(const void *)field);
}

static void put_rcpt(struct buf *out, const struct message_rcpt *r)
{
	size_t at = wire_open_fact(out, FACT_RECIPIENT);

	wire_put_fact(out, RCPT_ADDRESS, r->address);
	put_text(out, RCPT_ORIGINAL, r->original);
	put_number(out, RCPT_FLAGS, r->flags);
	put_number(out, RCPT_NOTIFY, r->notify);
	put_text(out, RCPT_ORCPT, r->orcpt);
	wire_close_fact(out, at);
}

static void put_piece(struct buf *out, const struct message_piece *p)
{
	if (p->is_inline) {
		wire_put_fact(out, FACT_INLINE, p->octets);
		return;
	}
	wire_put_u16(out, FACT_PIECE);
	wire_put_u32(out, 28);
	wire_put_u64(out, p->piece.segment);
	wire_put_u64(out, p->piece.record);
	wire_put_u64(out, p->piece.offset);
	wire_put_u32(out, p->piece.length);
}

int message_replace_pieces(
	struct span payload, const struct message_piece *pieces, uint32_t n, struct buf *out)
{
	struct wire w = wire_reader(payload);
	struct span value;
	uint16_t tag;

	while (wire_get_fact(&w, &tag, &value))
		if (tag != FACT_INLINE && tag != FACT_PIECE)
			wire_put_fact(out, tag, value);
	for (uint32_t i = 0; i < n; i++)
		put_piece(out, &pieces[i]);
	return w.error ? w.error : out->error;
}

void message_encode(const struct message *m, struct buf *out)
{
	for (size_t tag = 0; tag < ARRAY_LEN(simples); tag++)
		put_simple(out, m, (uint16_t)tag);
	for (uint32_t i = 0; i < m->n_rcpts; i++)
		put_rcpt(out, &m->rcpts[i]);
	for (uint32_t i = 0; i < m->n_pieces; i++)
		put_piece(out, &m->pieces[i]);
	buf_put(out, m->unknown);
}

struct counts {
	uint32_t rcpts, pieces;
	size_t unknown;
};

static bool is_known(uint16_t tag)
{
	return tag >= FACT_ARRIVAL && tag <= FACT_TLS;
}

static int count(struct span payload, struct counts *ret)
{
	struct wire w = wire_reader(payload);
	uint16_t tag;
	struct span value;

	while (wire_get_fact(&w, &tag, &value)) {
		if (tag == FACT_RECIPIENT)
			ret->rcpts++;
		else if (tag == FACT_PIECE || tag == FACT_INLINE)
			ret->pieces++;
		else if (!is_known(tag))
			ret->unknown += RCPT_FACT_OCTETS + value.len;
	}
	return w.error;
}

static int get_rcpt(struct span value, struct message_rcpt *r)
{
	struct wire w = wire_reader(value);
	uint16_t tag;
	struct span v;

	while (wire_get_fact(&w, &tag, &v)) {
		if (tag == RCPT_ADDRESS)
			r->address = v;
		else if (tag == RCPT_ORIGINAL)
			r->original = v;
		else if (tag == RCPT_FLAGS)
			r->flags = wire_fact_u64(v);
		else if (tag == RCPT_NOTIFY)
			r->notify = wire_fact_u64(v);
		else if (tag == RCPT_ORCPT)
			r->orcpt = v;
	}
	return w.error || r->address.len == 0 ? -EBADMSG : 0;
}

static int get_piece(struct span value, struct message_piece *p)
{
	struct wire w = wire_reader(value);

	p->piece.segment = wire_get_u64(&w);
	p->piece.record = wire_get_u64(&w);
	p->piece.offset = wire_get_u64(&w);
	p->piece.length = wire_get_u32(&w);
	/* The octets lie inside the record that is named, else one piece could reach into
	 * another's. */
	if (w.error || w.rest.len || p->piece.record < SEGMENT_HEAD ||
		p->piece.record % RECORD_ALIGN ||
		p->piece.offset < p->piece.record + RECORD_HEADER ||
		p->piece.offset > p->piece.record + RECORD_HEADER + RECORD_PAYLOAD_MAX)
		return -EBADMSG;
	return 0;
}

static void get_simple(struct message *m, uint16_t tag, struct span v)
{
	char *field = (char *)m + simples[tag].offset;

	if (simples[tag].kind == TEXT)
		*(struct span *)(void *)field = v;
	else
		*(uint64_t *)(void *)field = wire_fact_u64(v);
}

int message_decode(uint64_t id, struct span payload, struct arena *a, struct message *ret)
{
	struct message m = {.id = id};
	struct counts n = {0};
	struct wire w = wire_reader(payload);
	struct span v;
	uint16_t tag;

	if (count(payload, &n) < 0)
		return -EBADMSG;
	m.rcpts = arena_alloc(a, (n.rcpts + 1) * sizeof(*m.rcpts));
	m.pieces = arena_alloc(a, (n.pieces + 1) * sizeof(*m.pieces));
	char *unknown = arena_alloc(a, n.unknown + 1);
	if (!m.rcpts || !m.pieces || !unknown)
		return -ENOMEM;
	struct buf kept = {.ptr = unknown, .cap = n.unknown + 1, .max = n.unknown + 1};
	while (wire_get_fact(&w, &tag, &v)) {
		int r = 0;
		if (tag == FACT_RECIPIENT)
			r = get_rcpt(v, &m.rcpts[m.n_rcpts++]);
		else if (tag == FACT_PIECE)
			r = get_piece(v, &m.pieces[m.n_pieces++]);
		else if (tag == FACT_INLINE)
			m.pieces[m.n_pieces++] =
				(struct message_piece){.is_inline = true, .octets = v};
		else if (tag < ARRAY_LEN(simples) && simples[tag].kind != NOT_SIMPLE)
			get_simple(&m, tag, v);
		else
			wire_put_fact(&kept, tag, v);
		if (r < 0)
			return r;
	}
	m.unknown = buf_span(&kept);
	*ret = m;
	return 0;
}

int message_ranges(const struct message *m, struct span payload, const struct record_ref *commit,
	struct arena *a, struct piece **ret_pieces, uint32_t *ret_n)
{
	struct piece *out = arena_alloc(a, ((size_t)m->n_pieces + 1) * sizeof(*out));

	if (!out)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->n_pieces; i++) {
		const struct message_piece *p = &m->pieces[i];
		if (!p->is_inline) {
			out[i] = p->piece;
			continue;
		}
		out[i] = (struct piece){.segment = commit->segment,
			.record = commit->offset,
			.offset = commit->offset + RECORD_HEADER +
				  (uint64_t)(p->octets.ptr - payload.ptr),
			.length = (uint32_t)p->octets.len};
	}
	*ret_pieces = out;
	*ret_n = m->n_pieces;
	return 0;
}
