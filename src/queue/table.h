/* An ordered table from u64 to a borrowed pointer: the queue's messages by id. Two levels: a sorted
 * array of blocks, each a sorted array of items. Unlike base/map it can be walked in order by a
 * cursor that stays valid whatever is put or removed meanwhile (`queue list`, checkpoints), and at
 * a million messages it costs less memory. put, get, remove: O(log n) and a short memmove. */
#pragma once
#include "base/base.h"

#define TABLE_BLOCK 255u

struct table_item {
	uint64_t key;
	void *value;
};
struct table_block {
	uint32_t n;
	struct table_item items[TABLE_BLOCK];
};
struct table {
	struct table_block **blocks;
	size_t n, cap;
	size_t count;
};

void table_done(struct table *t); /* values are the caller's */
void *table_get(const struct table *t, uint64_t key);
MUST_CHECK int table_put(struct table *t, uint64_t key, void *value); /* 0, -EEXIST, -ENOMEM */
void *table_remove(struct table *t, uint64_t key);		      /* the value, or NULL */
/* The first item whose key is at least `from`, or NULL; *ret_key is its key. */
void *table_from(const struct table *t, uint64_t from, uint64_t *ret_key);
