/* The ordered table. Invariants: no block is empty; keys ascend through and across the blocks. A
 * full block is cut at the place of insertion when that lies in its second half: ids of one segment
 * only grow, so that the ids of each segment come to have blocks of their own, nearly full. */
#include "queue/table.h"

#include <stdlib.h>
#include <string.h>

void table_done(struct table *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->blocks[i]);
	free(t->blocks);
	*t = (struct table){0};
}

/* The last block whose first key is at most `key`, or the first block. */
static size_t block_of(const struct table *t, uint64_t key)
{
	size_t low = 0, high = t->n;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;
		if (t->blocks[mid]->items[0].key <= key)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* The place of the first key that is at least `key`. */
static uint32_t place_in(const struct table_block *b, uint64_t key)
{
	uint32_t low = 0, high = b->n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (b->items[mid].key < key)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void *table_get(const struct table *t, uint64_t key)
{
	if (!t->n)
		return NULL;
	const struct table_block *b = t->blocks[block_of(t, key)];
	uint32_t i = place_in(b, key);
	return i < b->n && b->items[i].key == key ? b->items[i].value : NULL;
}

static struct table_block *block_insert(struct table *t, size_t at)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 16;
		struct table_block **more = realloc(t->blocks, cap * sizeof(struct table_block *));
		if (!more)
			return NULL;
		t->blocks = more;
		t->cap = cap;
	}
	struct table_block *b = malloc(sizeof(*b));
	if (!b)
		return NULL;
	b->n = 0;
	memmove(&t->blocks[at + 1], &t->blocks[at], (t->n - at) * sizeof(struct table_block *));
	t->blocks[at] = b;
	t->n++;
	return b;
}

static void block_remove(struct table *t, size_t at)
{
	free(t->blocks[at]);
	memmove(&t->blocks[at], &t->blocks[at + 1], (t->n - at - 1) * sizeof(struct table_block *));
	t->n--;
}

/* Makes room around place i of the full block `at`: returns the block to insert into. */
static struct table_block *block_split(struct table *t, size_t at, uint32_t *i)
{
	struct table_block *b = t->blocks[at];
	struct table_block *after = block_insert(t, at + 1);
	if (!after)
		return NULL;
	uint32_t keep = MAX(*i, b->n / 2);
	after->n = b->n - keep;
	memcpy(after->items, &b->items[keep], after->n * sizeof(b->items[0]));
	b->n = keep;
	if (*i < keep || (*i == keep && keep < TABLE_BLOCK))
		return b;
	*i -= keep;
	return after;
}

int table_put(struct table *t, uint64_t key, void *value)
{
	assert(value);
	if (!t->n && !block_insert(t, 0))
		return -ENOMEM;
	size_t at = block_of(t, key);
	struct table_block *b = t->blocks[at];
	uint32_t i = place_in(b, key);
	if (i < b->n && b->items[i].key == key)
		return -EEXIST;
	if (b->n == TABLE_BLOCK) {
		b = block_split(t, at, &i);
		if (!b)
			return -ENOMEM;
	}
	memmove(&b->items[i + 1], &b->items[i], (b->n - i) * sizeof(b->items[0]));
	b->items[i] = (struct table_item){key, value};
	b->n++;
	t->count++;
	return 0;
}

/* Joins the block with the next when both are nearly empty. */
static void block_join(struct table *t, size_t at)
{
	if (at + 1 >= t->n)
		return;
	struct table_block *b = t->blocks[at], *after = t->blocks[at + 1];
	if (b->n + after->n > TABLE_BLOCK / 2)
		return;
	memcpy(&b->items[b->n], after->items, after->n * sizeof(b->items[0]));
	b->n += after->n;
	block_remove(t, at + 1);
}

void *table_remove(struct table *t, uint64_t key)
{
	if (!t->n)
		return NULL;
	size_t at = block_of(t, key);
	struct table_block *b = t->blocks[at];
	uint32_t i = place_in(b, key);
	if (i >= b->n || b->items[i].key != key)
		return NULL;
	void *value = b->items[i].value;
	memmove(&b->items[i], &b->items[i + 1], (b->n - i - 1) * sizeof(b->items[0]));
	b->n--;
	t->count--;
	if (!b->n)
		block_remove(t, at);
	else if (b->n < TABLE_BLOCK / 4) {
		block_join(t, at);
		if (at > 0)
			block_join(t, at - 1);
	}
	return value;
}

void *table_from(const struct table *t, uint64_t from, uint64_t *ret_key)
{
	if (!t->n)
		return NULL;
	size_t at = block_of(t, from);
	uint32_t i = place_in(t->blocks[at], from);
	if (i == t->blocks[at]->n) {
		if (++at == t->n)
			return NULL;
		i = 0;
	}
	*ret_key = t->blocks[at]->items[i].key;
	return t->blocks[at]->items[i].value;
}
