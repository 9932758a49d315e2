/* Stacks of fibers. Each is a mapping of its own with a PROT_NONE guard page below it: two
 * mappings, which vm.max_map_count bounds. -fstack-clash-protection makes every frame touch its
 * pages in order, so that no large frame can step over the guard.
 *
 * Ended fibers leave their stack in a cache: the warmest keep their pages, the next ones give
 * them back (MADV_DONTNEED, the mapping stays), and beyond the bound the mapping goes. The cache's
 * links lie in the stacks' own top octets, which are always resident. */
#include "fiber/runtime.h"
#include "fiber/sanitizer.h"
#include <sys/mman.h>

/* Measured: a TLS handshake needs 13 KiB, regcomp 20 KiB. The sanitizers' red zones need more. */
#if FIBER_ASAN || FIBER_TSAN
#define STACK_SIZE (512u * 1024u)
#else
#define STACK_SIZE (128u * 1024u)
#endif
#define STACK_PAGE	 4096u /* the guard; rounded up by the kernel's page where that is larger */
#define STACK_CACHE_WARM 32u
#define STACK_CACHE_MAX	 256u

struct cached_stack {
	struct cached_stack *next;
	struct stack stack;
};

static struct cached_stack *cache;
static size_t cache_len;

static struct cached_stack *cache_entry(const struct stack *s)
{
	return (struct cached_stack *)(void *)(s->base + s->size - sizeof(struct cached_stack));
}

static void stack_unmap(const struct stack *s)
{
	VALGRIND_STACK_DEREGISTER(s->valgrind_id);
	/* The shadow outlives the mapping: whatever is mapped here next must not inherit it. */
	FIBER_UNPOISON(s->base, s->size);
	munmap(s->base - STACK_PAGE, s->size + STACK_PAGE);
}

int stack_get(struct stack *ret_stack)
{
	if (cache) {
		*ret_stack = cache->stack;
		cache = cache->next;
		cache_len--;
		return 0;
	}
	char *area = mmap(NULL, STACK_SIZE + STACK_PAGE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (area == MAP_FAILED)
		return -ENOMEM;
	char *base = area + STACK_PAGE;
	if (mprotect(base, STACK_SIZE, PROT_READ | PROT_WRITE) < 0) {
		munmap(area, STACK_SIZE + STACK_PAGE);
		return -ENOMEM;
	}
	FIBER_UNPOISON(base, STACK_SIZE);
	unsigned id = VALGRIND_STACK_REGISTER(base, base + STACK_SIZE);
	*ret_stack = (struct stack){base, STACK_SIZE, id};
	return 0;
}

void stack_put(struct stack *s)
{
	if (!s->base)
		return;
	if (cache_len >= STACK_CACHE_MAX) {
		stack_unmap(s);
		s->base = NULL;
		return;
	}
	/* The last function on it never returned, so that its red zones are still poisoned. */
	FIBER_UNPOISON(s->base, s->size);
	if (cache_len >= STACK_CACHE_WARM)
		madvise(s->base, s->size - STACK_PAGE, MADV_DONTNEED);
	struct cached_stack *entry = cache_entry(s);
	*entry = (struct cached_stack){cache, *s};
	cache = entry;
	cache_len++;
	s->base = NULL;
}

void stack_cache_clear(void)
{
	while (cache) {
		struct stack s = cache->stack;
		cache = cache->next;
		stack_unmap(&s);
	}
	cache_len = 0;
}
