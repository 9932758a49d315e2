/* A segment: one file of fixed size in the spool folder, used by one slot at a time, recycled to
 * the same slot only. Octets 0-4095 are the head: the SEGMENT record at 0, after sealing the SEAL
 * record at 2048. Records follow from 4096. */
#pragma once
#include "spool/record.h"
#include "spool/seam.h"

#define SEGMENT_HEAD	    4096u
#define SEGMENT_SEAL_OFFSET 2048u
#define SEGMENT_SIZE_MIN    (1u << 20)
#define SEGMENT_SIZE_MAX    (1u << 30)

/* Slot 0 is the dispatcher's own (bounces, warnings, compaction), 1..n the receivers'. */
#define SLOT_DISPATCHER 0u
#define SLOT_LEDGER	0xffffu

struct segment_head {
	uint64_t sequence; /* unique for the life of the spool; ids of messages derive from it */
	uint16_t slot;
	uint64_t size; /* octets of the file */
	uint64_t created_wall_usec;
	struct generation generation;
	uint8_t boot_id[16];
};
void segment_head_encode(const struct segment_head *h, struct buf *out); /* the whole record */
/* 0; -EBADMSG no segment head; -EPROTONOSUPPORT a newer format. */
MUST_CHECK int segment_head_read(
	const struct seam *seam, struct disk_file *f, struct segment_head *ret);

/* The end of a segment whose records up to `end` are on the disk. The INDEX record stands at `end`;
 * index: its payload, segment_index_put for each COMMIT. -ENOSPC: there is no room for it. */
void segment_index_put(struct buf *index, uint64_t offset, uint64_t id, uint32_t length);
MUST_CHECK int segment_write_index(const struct seam *seam, struct disk_file *f,
	const struct segment_head *h, uint64_t end, struct span index);
/* SEAL; index_octets 0: without an INDEX, so that all is scanned up to `end`. */
MUST_CHECK int segment_write_seal(const struct seam *seam, struct disk_file *f,
	const struct segment_head *h, uint64_t end, size_t index_octets);

/* Where octets of a message are. */
struct piece {
	uint64_t segment; /* sequence */
	uint64_t record;  /* offset of the record that holds them */
	uint64_t offset;  /* of the octets within the file */
	uint32_t length;
};
struct record_ref {
	uint64_t segment, offset;
	uint32_t length; /* payload */
};

/* Sequential reading for recovery and `queue list` on a stopped server. Resynchronises at every
 * 64-byte boundary after damage; *ret_damaged counts places where records of this generation
 * broke off before another was found (set aside and reported by the caller, never silent). */
struct segment_scan {
	const struct seam *seam;
	struct disk_file *file;
	struct segment_head head;
	uint64_t next;	     /* offset to look at */
	uint64_t end;	     /* just past the last good record */
	uint64_t damaged;    /* octets skipped between good records */
	uint64_t unreadable; /* octets that the disk does not give (EIO): passed over in blocks */
	struct buf window;
	uint64_t window_offset;
};
MUST_CHECK int segment_scan_init(
	struct segment_scan *s, const struct seam *seam, struct disk_file *f);
void segment_scan_done(struct segment_scan *s);
/* 1: a record with a good header; 0: no more; negative: read error (not EIO). */
MUST_CHECK int segment_scan_next(struct segment_scan *s, struct record *ret_record);
/* Reads and verifies a payload: -EBADMSG when its CRC is wrong. */
MUST_CHECK int segment_read_payload(const struct seam *seam, struct disk_file *f,
	const struct segment_head *h, const struct record *r, struct buf *out);
