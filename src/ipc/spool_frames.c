/* What a receiver and the dispatcher tell each other about segments and commits. */
#include "ipc/spool_frames.h"

static void get_octets(struct wire *w, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = wire_get_u8(w);
}

void segment_give_encode(const struct segment_give *g, struct buf *out)
{
	wire_put_u64(out, g->sequence);
	wire_put_u64(out, g->size);
	wire_put_u16(out, g->slot);
	wire_put_u64(out, g->created_wall_usec);
	buf_append(out, g->generation, sizeof(g->generation));
	buf_append(out, g->boot_id, sizeof(g->boot_id));
}

int segment_give_decode(struct span payload, struct segment_give *ret)
{
	struct wire w = wire_reader(payload);
	struct segment_give g = {.sequence = wire_get_u64(&w), .size = wire_get_u64(&w)};

	g.slot = wire_get_u16(&w);
	g.created_wall_usec = wire_get_u64(&w);
	get_octets(&w, g.generation, sizeof(g.generation));
	get_octets(&w, g.boot_id, sizeof(g.boot_id));
	if (w.error)
		return -EBADMSG;
	*ret = g;
	return 0;
}

void commit_notice_encode(const struct commit_notice *n, struct buf *out)
{
	wire_put_u64(out, n->id);
	wire_put_u64(out, n->segment);
	wire_put_u64(out, n->offset);
	wire_put_u32(out, n->length);
}

bool commit_notice_next(struct wire *w, struct commit_notice *ret)
{
	if (w->error || w->rest.len == 0)
		return false;
	struct commit_notice n = {.id = wire_get_u64(w), .segment = wire_get_u64(w)};
	n.offset = wire_get_u64(w);
	n.length = wire_get_u32(w);
	if (w->error)
		return false;
	*ret = n;
	return true;
}
