/* One transaction's small allocations: taken one by one, given back all at once.
 *
 * A list of blocks; the newest small block is filled from its front. A request too large to share
 * a block gets one of its own, behind the current one, so that a long header does not end the
 * block in use. The ceiling counts what was handed out (rounded to 16), which also bounds what is
 * allocated: a block is at least half filled before the next one is taken, or it is the last. */
#include "base/arena.h"

#include <stdlib.h>

#define ARENA_ALIGN 16
/* With malloc's own header a block stays within a page. */
#define ARENA_BLOCK_OCTETS 4064
#define ARENA_OWN_BLOCK	   (ARENA_BLOCK_OCTETS / 2)

struct block {
	struct block *next;
	size_t cap, used;
	/* malloc aligns the block, the size of this head keeps the data aligned. */
	_Alignas(ARENA_ALIGN) char data[];
};

struct arena {
	struct block *blocks; /* the first one is the one being filled */
	size_t handed_out;
	size_t max;
};

struct arena *arena_new(size_t max_octets)
{
	struct arena *a = calloc(1, sizeof(*a));

	if (a)
		a->max = max_octets;
	return a;
}

static void blocks_free(struct block *b)
{
	while (b) {
		struct block *next = b->next;
		free(b);
		b = next;
	}
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	blocks_free(a->blocks);
	free(a);
}

void arena_freep(struct arena **a)
{
	arena_free(TAKE(*a));
}

void arena_reset(struct arena *a)
{
	struct block *keep = NULL;

	/* Keep one of the ordinary size: one large message must not pin its memory. */
	for (struct block **p = &a->blocks; *p; p = &(*p)->next) {
		if ((*p)->cap == ARENA_BLOCK_OCTETS) {
			keep = *p;
			*p = keep->next;
			break;
		}
	}
	blocks_free(a->blocks);
	if (keep) {
		keep->next = NULL;
		keep->used = 0;
	}
	a->blocks = keep;
	a->handed_out = 0;
}

static struct block *block_add(struct arena *a, size_t n)
{
	bool own = n > ARENA_OWN_BLOCK;
	size_t cap = own ? n : ARENA_BLOCK_OCTETS;
	struct block *b = malloc(sizeof(*b) + cap);

	if (!b)
		return NULL;
	b->cap = cap;
	b->used = 0;
	if (own && a->blocks) {
		b->next = a->blocks->next;
		a->blocks->next = b;
	} else {
		b->next = a->blocks;
		a->blocks = b;
	}
	return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct block *b = a->blocks;

	if (n > SIZE_MAX - 2 * ARENA_ALIGN - sizeof(struct block))
		return NULL;
	n = MAX((n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1), (size_t)ARENA_ALIGN);
	if (n > a->max - a->handed_out)
		return NULL;
	if (!b || n > b->cap - b->used)
		b = block_add(a, n);
	if (!b)
		return NULL;
	void *p = b->data + b->used;
	b->used += n;
	a->handed_out += n;
	return memset(p, 0, n);
}

char *arena_str(struct arena *a, struct span s)
{
	char *p = s.len < SIZE_MAX ? arena_alloc(a, s.len + 1) : NULL;

	if (p && s.len)
		memcpy(p, s.ptr, s.len);
	return p;
}

struct span arena_span(struct arena *a, struct span s)
{
	char *p = arena_str(a, s);

	return p ? span_make(p, s.len) : SPAN_NULL;
}
