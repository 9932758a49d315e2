/* The one byte encoding for packets between processes and for payloads in the spool: little-endian
 * integers, spans as u32 length + octets, tagged facts as u16 tag + span. Readers are for
 * untrusted bytes: an error sticks, later gets return zero values, check `error` once. */
#pragma once
#include "base/buf.h"
#include <endian.h>

/* Integers are inline: everything that goes between processes is made of them. */
static inline void wire_put_u8(struct buf *b, uint8_t v)
{
	buf_append(b, &v, sizeof(v));
}
static inline void wire_put_u16(struct buf *b, uint16_t v)
{
	v = htole16(v);
	buf_append(b, &v, sizeof(v));
}
static inline void wire_put_u32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	buf_append(b, &v, sizeof(v));
}
static inline void wire_put_u64(struct buf *b, uint64_t v)
{
	v = htole64(v);
	buf_append(b, &v, sizeof(v));
}
void wire_put_span(struct buf *b, struct span s);
void wire_put_fact(struct buf *b, uint16_t tag, struct span s);
void wire_put_fact_u64(struct buf *b, uint16_t tag, uint64_t v);
/* A fact whose value is written between the two: its length is filled in at the close. */
size_t wire_open_fact(struct buf *b, uint16_t tag);
void wire_close_fact(struct buf *b, size_t at);

struct wire {
	struct span rest;
	int error; /* 0 or -EBADMSG */
};
static inline struct wire wire_reader(struct span s)
{
	return (struct wire){s, 0};
}
/* The next len octets into ret, or an error that sticks, and ret as it was. */
static inline void wire_take(struct wire *w, void *ret, size_t len)
{
	if (w->error || len > w->rest.len) {
		w->error = -EBADMSG;
		w->rest.len = 0;
		return;
	}
	memcpy(ret, w->rest.ptr, len);
	w->rest.ptr += len;
	w->rest.len -= len;
}
static inline uint8_t wire_get_u8(struct wire *w)
{
	uint8_t v = 0;

	wire_take(w, &v, sizeof(v));
	return v;
}
static inline uint16_t wire_get_u16(struct wire *w)
{
	uint16_t v = 0;

	wire_take(w, &v, sizeof(v));
	return le16toh(v);
}
static inline uint32_t wire_get_u32(struct wire *w)
{
	uint32_t v = 0;

	wire_take(w, &v, sizeof(v));
	return le32toh(v);
}
static inline uint64_t wire_get_u64(struct wire *w)
{
	uint64_t v = 0;

	wire_take(w, &v, sizeof(v));
	return le64toh(v);
}
struct span wire_get_span(struct wire *w); /* borrows from the input */
/* Next fact; false at the end or on an error. */
bool wire_get_fact(struct wire *w, uint16_t *ret_tag, struct span *ret_value);
/* A fact's value read as u64 (1 to 8 octets little-endian). */
uint64_t wire_fact_u64(struct span value);
