/* The record: the one shape of everything in the spool. 64-byte aligned, 64 octets of header, then
 * the payload, zero padded to 64. The generation is 128 random bits of this use of the segment,
 * never shown to SMTP peers, so neither stale octets of an earlier use nor octets chosen by a
 * sender ever parse as a record. CRC32C over the payload, and over the header that holds it.
 * docs/spool.md has the table of the layout. Little-endian. */
#pragma once
#include "base/buf.h"

#define RECORD_ALIGN	   64u
#define RECORD_HEADER	   64u
#define SPOOL_FORMAT	   1u
#define RECORD_PAYLOAD_MAX (32u * 1024u * 1024u)

enum record_type {
	RECORD_SEGMENT = 1, /* first record of a segment, offset 0 */
	RECORD_CHUNK = 2,   /* octets of a body */
	RECORD_COMMIT = 3,  /* envelope, facts, pieces: the message exists */
	RECORD_INDEX = 4,   /* of the COMMITs of a sealed segment */
	RECORD_SEAL = 5,    /* at SEGMENT_SEAL_OFFSET, written after the last sync */
	RECORD_LEDGER = 6,  /* a batch of ledger entries */
};

struct generation {
	uint8_t octets[16];
};
struct record {
	enum record_type type;
	uint16_t version;
	uint32_t length; /* of the payload */
	uint64_t offset; /* of the header within its segment */
	uint64_t id;	 /* message id, or 0 */
	uint32_t payload_crc;
};
/* Octets that a record with that payload occupies. */
static inline uint64_t record_span(uint64_t payload)
{
	return (RECORD_HEADER + payload + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1);
}
/* Fills 64 octets. payload_crc is crc32c(0, payload). */
void record_encode(
	const struct generation *g, const struct record *r, uint8_t ret_header[RECORD_HEADER]);
/* Header octets read at `offset`: 0, or -EBADMSG when they are no record of this generation. The
 * payload is not looked at. */
MUST_CHECK int record_decode(const struct generation *g, uint64_t offset,
	const uint8_t header[RECORD_HEADER], struct record *ret);
