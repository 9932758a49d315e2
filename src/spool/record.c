/* The record's 64 octets of header:
 *
 *   0  generation   16   40 id            8
 *  16  magic         4   48 payload crc   4
 *  20  type          2   52 reserved      8 (zero)
 *  22  version       2   60 header crc    4 (over octets 0 to 59)
 *  24  length        4
 *  28  reserved      4 (zero)
 *  32  offset        8
 *
 * The offset stands in the header, so a record copied elsewhere in the segment is none. */
#include "spool/record.h"

#include "base/crc32c.h"
#include "base/wire.h"

#define RECORD_MAGIC  0x44525250u /* "PRRD" */
#define HEADER_HASHED 60u

void record_encode(
	const struct generation *g, const struct record *r, uint8_t ret_header[RECORD_HEADER])
{
	struct buf b = {.ptr = (char *)ret_header, .cap = RECORD_HEADER, .max = RECORD_HEADER};

	buf_append(&b, g->octets, sizeof(g->octets));
	wire_put_u32(&b, RECORD_MAGIC);
	wire_put_u16(&b, (uint16_t)r->type);
	wire_put_u16(&b, r->version);
	wire_put_u32(&b, r->length);
	wire_put_u32(&b, 0);
	wire_put_u64(&b, r->offset);
	wire_put_u64(&b, r->id);
	wire_put_u32(&b, r->payload_crc);
	wire_put_u64(&b, 0);
	wire_put_u32(&b, crc32c(0, ret_header, HEADER_HASHED));
	assert(b.len == RECORD_HEADER && !b.error);
}

int record_decode(const struct generation *g, uint64_t offset, const uint8_t header[RECORD_HEADER],
	struct record *ret)
{
	/* Most places that are looked at are no records: the generation decides first. */
	if (memcmp(header, g->octets, sizeof(g->octets)) != 0)
		return -EBADMSG;
	struct wire w = wire_reader(
		span_make(header + sizeof(g->octets), RECORD_HEADER - sizeof(g->octets)));
	uint32_t magic = wire_get_u32(&w);
	uint16_t type = wire_get_u16(&w);
	struct record r = {.type = (enum record_type)type, .version = wire_get_u16(&w)};

	r.length = wire_get_u32(&w);
	(void)wire_get_u32(&w);
	r.offset = wire_get_u64(&w);
	r.id = wire_get_u64(&w);
	r.payload_crc = wire_get_u32(&w);
	(void)wire_get_u64(&w);
	uint32_t header_crc = wire_get_u32(&w);
	if (magic != RECORD_MAGIC || header_crc != crc32c(0, header, HEADER_HASHED) ||
		r.offset != offset || r.length > RECORD_PAYLOAD_MAX)
		return -EBADMSG;
	*ret = r;
	return 0;
}
