/* The one byte encoding for packets between processes and for payloads in the spool: little-endian
 * integers, spans as u32 length + octets, tagged facts as u16 tag + span. Readers are for
 * untrusted bytes: an error sticks, later gets return zero values, check `error` once. */
#pragma once
#include "base/buf.h"

void wire_put_u8(struct buf *b, uint8_t v);
void wire_put_u16(struct buf *b, uint16_t v);
void wire_put_u32(struct buf *b, uint32_t v);
void wire_put_u64(struct buf *b, uint64_t v);
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
uint8_t wire_get_u8(struct wire *w);
uint16_t wire_get_u16(struct wire *w);
uint32_t wire_get_u32(struct wire *w);
uint64_t wire_get_u64(struct wire *w);
struct span wire_get_span(struct wire *w); /* borrows from the input */
/* Next fact; false at the end or on an error. */
bool wire_get_fact(struct wire *w, uint16_t *ret_tag, struct span *ret_value);
/* A fact's value read as u64 (1 to 8 octets little-endian). */
uint64_t wire_fact_u64(struct span value);
