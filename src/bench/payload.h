/* The messages of a run: a header with the token, and a body of text lines cut from one pool, so
 * that nothing is generated or summed while the clock runs. */
#pragma once
#include "bench/token.h"

#define PAYLOAD_LINE	76u
#define PAYLOAD_MAX	(UINT64_C(256) << 20)
#define PAYLOAD_MIX_MAX 16u

/* Sizes: "4K"; "1K-64K", evenly between; "4K:80,64K:15,1M:5", by weight. */
struct payload_sizes {
	size_t n;
	struct {
		uint64_t low, high, weight;
	} parts[PAYLOAD_MIX_MAX];
	uint64_t weights;
};
MUST_CHECK int payload_sizes_parse(struct span text, struct payload_sizes *ret_sizes);
uint64_t payload_size_pick(const struct payload_sizes *s, uint64_t random);
uint64_t payload_size_max(const struct payload_sizes *s);

struct payload_pool;
MUST_CHECK int payload_pool_new(uint64_t max_octets, struct payload_pool **ret_pool);
void payload_pool_free(struct payload_pool *p);
/* A body such that with about head_octets of header the message has `size` octets, in whole lines;
 * ret_crc is its CRC32C. Valid while the pool is. */
struct span payload_body(
	struct payload_pool *p, uint64_t size, uint64_t head_octets, uint32_t *ret_crc);
/* Header and empty line. */
void payload_head(
	const struct token *t, struct span from, struct span to, const char *date, struct buf *out);
