/* The one byte encoding: packets between processes, payloads in the spool.
 *
 * Little-endian on every machine (endian.h, and memcpy instead of casts), so that a spool moves
 * between machines. Writers lean on buf's sticky error; readers have one of their own. The reader's
 * invariant: `rest` only shrinks, always lies inside the input, and is empty after an error, so
 * that no loop over untrusted bytes can run longer than they are. A span's length is checked
 * against what is left before anything is taken: a length is a claim of the peer's, never a reason
 * to allocate. */
#include "base/wire.h"

void wire_put_span(struct buf *b, struct span s)
{
	if (s.len > UINT32_MAX) {
		b->error = b->error ? b->error : -EMSGSIZE;
		return;
	}
	wire_put_u32(b, (uint32_t)s.len);
	buf_put(b, s);
}

void wire_put_fact(struct buf *b, uint16_t tag, struct span s)
{
	wire_put_u16(b, tag);
	wire_put_span(b, s);
}

void wire_put_fact_u64(struct buf *b, uint16_t tag, uint64_t v)
{
	uint32_t octets = 1;

	/* The shortest form: facts are many and most of them small. */
	while (octets < 8 && v >> (8 * octets))
		octets++;
	wire_put_u16(b, tag);
	wire_put_u32(b, octets);
	v = htole64(v);
	buf_append(b, &v, octets);
}

size_t wire_open_fact(struct buf *b, uint16_t tag)
{
	wire_put_u16(b, tag);
	wire_put_u32(b, 0);
	return b->len;
}

void wire_close_fact(struct buf *b, size_t at)
{
	if (b->error)
		return;
	if (b->len - at > UINT32_MAX) {
		b->error = -EMSGSIZE;
		return;
	}
	uint32_t le = htole32((uint32_t)(b->len - at));
	memcpy(b->ptr + at - sizeof(le), &le, sizeof(le));
}

/* The next len octets, or an error that sticks. */
static bool take(struct wire *w, size_t len, struct span *ret_octets)
{
	if (w->error || len > w->rest.len) {
		w->error = -EBADMSG;
		w->rest.len = 0;
		return false;
	}
	*ret_octets = span_head(w->rest, len);
	w->rest = span_from(w->rest, len);
	return true;
}

static uint64_t le_value(struct span s)
{
	uint64_t le = 0;

	if (s.len > 0)
		memcpy(&le, s.ptr, MIN(s.len, sizeof(le)));
	return le64toh(le);
}

struct span wire_get_span(struct wire *w)
{
	struct span s = SPAN_NULL;
	uint32_t len = wire_get_u32(w);

	if (!take(w, len, &s))
		return SPAN_NULL;
	return s;
}

bool wire_get_fact(struct wire *w, uint16_t *ret_tag, struct span *ret_value)
{
	if (w->error || w->rest.len == 0)
		return false;
	uint16_t tag = wire_get_u16(w);
	struct span value = wire_get_span(w);
	if (w->error)
		return false;
	*ret_tag = tag;
	*ret_value = value;
	return true;
}

uint64_t wire_fact_u64(struct span value)
{
	/* More than 8 octets come from a future version or a broken peer: no value we can name. */
	return value.len <= 8 ? le_value(value) : 0;
}
