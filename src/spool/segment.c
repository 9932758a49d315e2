/* Reading segments: the head, then records one after another. Everything read is untrusted: a
 * receiver may have been taken over, a disk may have lied. Where a record breaks off, the scan goes
 * on at the next 64-byte boundary whose octets are a header of this generation. */
#include "spool/segment.h"

#include "base/crc32c.h"
#include "base/wire.h"

#define WINDOW (256u * 1024u)
#define BLOCK  4096u /* what one bad sector costs; a header lies in one block */

void segment_head_encode(const struct segment_head *h, struct buf *out)
{
	struct buf payload = BUF_INIT(256);
	uint8_t header[RECORD_HEADER];

	wire_put_u32(&payload, SPOOL_FORMAT);
	wire_put_u64(&payload, h->sequence);
	wire_put_u16(&payload, h->slot);
	wire_put_u64(&payload, h->size);
	wire_put_u64(&payload, h->created_wall_usec);
	buf_append(&payload, h->boot_id, sizeof(h->boot_id));
	struct record r = {.type = RECORD_SEGMENT,
		.version = SPOOL_FORMAT,
		.length = (uint32_t)payload.len,
		.payload_crc = crc32c(0, payload.ptr, payload.len)};
	record_encode(&h->generation, &r, header);
	buf_append(out, header, sizeof(header));
	buf_put(out, buf_span(&payload));
	while (!out->error && out->len % RECORD_ALIGN)
		buf_char(out, 0);
	buf_done(&payload);
}

static int read_exactly(
	const struct seam *seam, struct disk_file *f, uint64_t offset, void *ptr, size_t len)
{
	size_t got = 0;
	int r = seam->ops->read(f, offset, ptr, len, &got);

	return r < 0 ? r : got == len ? 0 : -EBADMSG;
}

int segment_head_read(const struct seam *seam, struct disk_file *f, struct segment_head *ret)
{
	uint8_t octets[RECORD_HEADER + 128];
	struct segment_head h = {0};
	struct record r;
	uint64_t size;
	int e = read_exactly(seam, f, 0, octets, sizeof(octets));

	if (e == 0)
		e = seam->ops->size(f, &size);
	if (e < 0)
		return e;
	/* The head names its own generation: what stands there is taken if its CRCs agree. */
	memcpy(h.generation.octets, octets, sizeof(h.generation.octets));
	if (record_decode(&h.generation, 0, octets, &r) < 0 || r.type != RECORD_SEGMENT ||
		r.length > sizeof(octets) - RECORD_HEADER ||
		crc32c(0, octets + RECORD_HEADER, r.length) != r.payload_crc)
		return -EBADMSG;
	struct wire w = wire_reader(span_make(octets + RECORD_HEADER, r.length));
	uint32_t format = wire_get_u32(&w);
	if (format > SPOOL_FORMAT)
		return -EPROTONOSUPPORT;
	h.sequence = wire_get_u64(&w);
	h.slot = wire_get_u16(&w);
	h.size = wire_get_u64(&w);
	h.created_wall_usec = wire_get_u64(&w);
	for (size_t i = 0; i < sizeof(h.boot_id); i++)
		h.boot_id[i] = wire_get_u8(&w);
	if (w.error || h.sequence == 0 || h.size > size || h.size < SEGMENT_HEAD)
		return -EBADMSG;
	*ret = h;
	return 0;
}

int segment_scan_init(struct segment_scan *s, const struct seam *seam, struct disk_file *f)
{
	struct segment_scan scan = {.seam = seam, .file = f, .window = BUF_INIT(WINDOW)};
	int r = segment_head_read(seam, f, &scan.head);

	if (r < 0)
		return r;
	scan.next = scan.end = SEGMENT_HEAD;
	*s = scan;
	return 0;
}

void segment_scan_done(struct segment_scan *s)
{
	buf_done(&s->window);
}

/* A window of octets from `offset` on. Where part of it cannot be read, the rest of its block. */
static int window_read(struct segment_scan *s, uint64_t offset)
{
	size_t got = 0, want = (size_t)MIN((uint64_t)WINDOW, s->head.size - offset);

	buf_reset(&s->window);
	char *room = buf_reserve(&s->window, want);
	if (!room)
		return -ENOMEM;
	int r = s->seam->ops->read(s->file, offset, room, want, &got);
	if (r == -EIO) {
		want = MIN(want, BLOCK - (size_t)(offset % BLOCK));
		r = s->seam->ops->read(s->file, offset, room, want, &got);
	}
	if (r < 0)
		return r;
	s->window.len = got;
	s->window_offset = offset;
	return 0;
}

/* The header's octets at `offset`, from a window that moves forward. 0: behind the end. */
static int window_at(struct segment_scan *s, uint64_t offset, const uint8_t **ret)
{
	if (offset + RECORD_HEADER > s->head.size)
		return 0;
	if (offset < s->window_offset ||
		offset + RECORD_HEADER > s->window_offset + s->window.len) {
		int r = window_read(s, offset);
		if (r < 0)
			return r;
		if (s->window.len < RECORD_HEADER)
			return 0;
	}
	*ret = (const uint8_t *)s->window.ptr + (offset - s->window_offset);
	return 1;
}

/* What is behind the last record of a segment is tens of megabytes of zeros, or of what earlier
 * generations left: passed over by the first octets of this one. How far, in the window. */
static uint64_t pass_over(const struct segment_scan *s, uint64_t at, const uint8_t *header)
{
	const uint64_t end = s->window_offset + s->window.len - RECORD_HEADER;
	uint64_t first, found;

	memcpy(&first, s->head.generation.octets, sizeof(first));
	for (memcpy(&found, header, sizeof(found)); found != first && at + RECORD_ALIGN <= end;
		memcpy(&found, header, sizeof(found))) {
		at += RECORD_ALIGN;
		header += RECORD_ALIGN;
	}
	return at;
}

int segment_scan_next(struct segment_scan *s, struct record *ret_record)
{
	const uint8_t *header = NULL;
	uint64_t at = s->next;

	for (;; at += RECORD_ALIGN) {
		int r = window_at(s, at, &header);
		if (r == -EIO) {
			uint64_t octets = BLOCK - at % BLOCK;
			s->unreadable += octets;
			at += octets - RECORD_ALIGN;
			continue;
		}
		if (r <= 0)
			return r;
		struct record rec;
		uint64_t passed = pass_over(s, at, header) - at;
		at += passed;
		header += passed;
		if (record_decode(&s->head.generation, at, header, &rec) < 0)
			continue;
		if (at + RECORD_HEADER + rec.length > s->head.size)
			continue;
		/* Octets between two records of this generation were records once. */
		s->damaged += at - s->end;
		s->next = s->end = at + record_span(rec.length);
		*ret_record = rec;
		return 1;
	}
}

int segment_read_payload(const struct seam *seam, struct disk_file *f, const struct segment_head *h,
	const struct record *r, struct buf *out)
{
	size_t before = out->len;

	if (r->length > RECORD_PAYLOAD_MAX || r->offset + RECORD_HEADER + r->length > h->size)
		return -EBADMSG;
	char *room = buf_reserve(out, r->length ? r->length : 1);
	if (!room)
		return out->error;
	int e = read_exactly(seam, f, r->offset + RECORD_HEADER, room, r->length);
	if (e < 0)
		return e;
	if (crc32c(0, room, r->length) != r->payload_crc)
		return -EBADMSG;
	out->len = before + r->length;
	return 0;
}

/* ---- the end of a segment ---- */

static int write_record(const struct seam *seam, struct disk_file *f, const struct segment_head *h,
	enum record_type type, uint64_t offset, struct span payload)
{
	uint8_t header[RECORD_HEADER];
	struct record r = {.type = type,
		.version = SPOOL_FORMAT,
		.length = (uint32_t)payload.len,
		.offset = offset,
		.payload_crc = crc32c(0, payload.ptr, payload.len)};
	struct iovec iov[2] = {
		{header, sizeof(header)}, {(void *)(uintptr_t)payload.ptr, payload.len}};

	record_encode(&h->generation, &r, header);
	return seam->ops->write(f, offset, iov, payload.len ? 2 : 1);
}

void segment_index_put(struct buf *index, uint64_t offset, uint64_t id, uint32_t length)
{
	wire_put_u64(index, offset);
	wire_put_u64(index, id);
	wire_put_u32(index, length);
}

int segment_write_index(const struct seam *seam, struct disk_file *f, const struct segment_head *h,
	uint64_t end, struct span index)
{
	if (index.len > RECORD_PAYLOAD_MAX || end > h->size ||
		record_span(index.len) > h->size - end)
		return -ENOSPC;
	return write_record(seam, f, h, RECORD_INDEX, end, index);
}

int segment_write_seal(const struct seam *seam, struct disk_file *f, const struct segment_head *h,
	uint64_t end, size_t index_octets)
{
	struct buf b = BUF_INIT(64);

	wire_put_u64(&b, end);
	wire_put_u64(&b, index_octets ? end : 0);
	wire_put_u32(&b, (uint32_t)index_octets);
	int r = b.error ? b.error
			: write_record(seam, f, h, RECORD_SEAL, SEGMENT_SEAL_OFFSET, buf_span(&b));
	buf_done(&b);
	return r;
}
