/* Encoding of the ledger's entries. Little-endian by wire.h; the type stands outside, in the
 * ledger's batch. A recipient is u32 index, u8 state, u8 flags, u8 mask, then the fields that the
 * mask names, so that the common HANDED entry of one recipient is 23 octets. An unknown state or
 * mask bit comes from a newer program: -EBADMSG, set aside by the caller, never skipped silently.
 */
#include "queue/entries.h"

enum mask {
	MASK_ORIGIN = 1,
	MASK_ATTEMPTS = 2,
	MASK_EVENT = 4,
	MASK_DUE = 8,
	MASK_ADDRESS = 16,
	MASK_NOTE = 32,
	MASK_KNOWN = 63,
};

void entry_put(struct buf *b, const struct entry *e)
{
	switch (e->type) {
	case ENTRY_HANDED:
	case ENTRY_OUTCOME:
		wire_put_u64(b, e->id);
		wire_put_u64(b, e->job);
		break;
	case ENTRY_STATE:
		wire_put_u64(b, e->id);
		wire_put_u8(b, e->flags);
		wire_put_u8(b, e->crashes);
		wire_put_span(b, e->via);
		break;
	case ENTRY_BOUNCED:
		wire_put_u64(b, e->id);
		wire_put_u32(b, e->event);
		break;
	case ENTRY_DONE:
	case ENTRY_VOID:
		wire_put_u64(b, e->id);
		break;
	case ENTRY_BEGIN:
		wire_put_u64(b, e->job);
		break;
	case ENTRY_SEGMENT:
		wire_put_u64(b, e->sequence);
		wire_put_u64(b, e->known_end);
		break;
	case ENTRY_MOVED:
		wire_put_u64(b, e->id);
		wire_put_u64(b, e->sequence);
		wire_put_u64(b, e->offset);
		wire_put_u32(b, e->length);
		break;
	case ENTRY_END:
	case ENTRY_BOOT:
		break;
	}
}

void entry_put_rcpt(struct buf *b, const struct entry_rcpt *r)
{
	uint8_t mask = 0;

	mask |= r->origin != r->index ? MASK_ORIGIN : 0;
	mask |= r->attempts ? MASK_ATTEMPTS : 0;
	mask |= r->event ? MASK_EVENT : 0;
	mask |= r->due_wall_usec ? MASK_DUE : 0;
	mask |= r->address.len ? MASK_ADDRESS : 0;
	mask |= r->has_note ? MASK_NOTE : 0;
	wire_put_u32(b, r->index);
	wire_put_u8(b, (uint8_t)r->state);
	wire_put_u8(b, r->flags);
	wire_put_u8(b, mask);
	if (mask & MASK_ORIGIN)
		wire_put_u32(b, r->origin);
	if (mask & MASK_ATTEMPTS)
		wire_put_u16(b, r->attempts);
	if (mask & MASK_EVENT)
		wire_put_u32(b, r->event);
	if (mask & MASK_DUE)
		wire_put_u64(b, r->due_wall_usec);
	if (mask & MASK_ADDRESS)
		wire_put_span(b, r->address);
	if (mask & MASK_NOTE) {
		wire_put_u16(b, r->code);
		wire_put_u8(b, r->remote_said);
		wire_put_span(b, r->enhanced);
		wire_put_span(b, r->text);
		wire_put_span(b, r->remote);
	}
}

int entry_get(uint8_t type, struct span payload, struct entry *ret)
{
	struct wire w = wire_reader(payload);
	struct entry e = {.type = (enum entry_type)type};
	bool rcpts = false;

	switch (e.type) {
	case ENTRY_HANDED:
	case ENTRY_OUTCOME:
		e.id = wire_get_u64(&w);
		e.job = wire_get_u64(&w);
		rcpts = true;
		break;
	case ENTRY_STATE:
		e.id = wire_get_u64(&w);
		e.flags = wire_get_u8(&w);
		e.crashes = wire_get_u8(&w);
		e.via = wire_get_span(&w);
		rcpts = true;
		break;
	case ENTRY_BOUNCED:
		e.id = wire_get_u64(&w);
		e.event = wire_get_u32(&w);
		break;
	case ENTRY_DONE:
	case ENTRY_VOID:
		e.id = wire_get_u64(&w);
		break;
	case ENTRY_BEGIN:
		e.job = wire_get_u64(&w);
		break;
	case ENTRY_SEGMENT:
		e.sequence = wire_get_u64(&w);
		e.known_end = wire_get_u64(&w);
		break;
	case ENTRY_MOVED:
		e.id = wire_get_u64(&w);
		e.sequence = wire_get_u64(&w);
		e.offset = wire_get_u64(&w);
		e.length = wire_get_u32(&w);
		break;
	case ENTRY_END:
	case ENTRY_BOOT:
		break;
	default:
		return -EBADMSG;
	}
	if (w.error < 0 || (!rcpts && w.rest.len))
		return -EBADMSG;
	e.rcpts = w;
	*ret = e;
	return 0;
}

bool entry_next_rcpt(struct wire *w, struct entry_rcpt *ret)
{
	if (w->error < 0 || !w->rest.len)
		return false;
	struct entry_rcpt r = {.index = wire_get_u32(w)};
	uint8_t state = wire_get_u8(w);
	r.flags = wire_get_u8(w);
	uint8_t mask = wire_get_u8(w);
	if (w->error >= 0 && (state >= ENTRY_RCPT_STATES || (mask & ~MASK_KNOWN)))
		w->error = -EBADMSG;
	r.state = (enum entry_rcpt_state)state;
	r.origin = mask & MASK_ORIGIN ? wire_get_u32(w) : r.index;
	if (mask & MASK_ATTEMPTS)
		r.attempts = wire_get_u16(w);
	if (mask & MASK_EVENT)
		r.event = wire_get_u32(w);
	if (mask & MASK_DUE)
		r.due_wall_usec = wire_get_u64(w);
	if (mask & MASK_ADDRESS)
		r.address = wire_get_span(w);
	if (mask & MASK_NOTE) {
		r.has_note = true;
		r.code = wire_get_u16(w);
		r.remote_said = wire_get_u8(w) != 0;
		r.enhanced = wire_get_span(w);
		r.text = wire_get_span(w);
		r.remote = wire_get_span(w);
	}
	if (w->error < 0)
		return false;
	*ret = r;
	return true;
}
