/* One writer, many readers, no locks across processes: a sequence lock. Who steals a key reads the
 * sessions of two periods and no more, and a restart of the server forgets all. */
#include "net/tickets.h"
#include "base/clock.h"
#include <string.h>

#define READ_TRIES 100u

void tickets_rotate(struct ticket_page *page)
{
	struct ticket_key fresh;

	random_octets(&fresh, sizeof(fresh));
	__atomic_add_fetch(&page->sequence, 1, __ATOMIC_SEQ_CST);
	memmove(&page->keys[1], &page->keys[0], (TICKET_KEYS - 1) * sizeof(page->keys[0]));
	page->keys[0] = fresh;
	__atomic_add_fetch(&page->sequence, 1, __ATOMIC_SEQ_CST);
	explicit_bzero(&fresh, sizeof(fresh));
}

int tickets_read(const struct ticket_page *page, struct ticket_key ret[TICKET_KEYS])
{
	for (unsigned i = 0; i < READ_TRIES; i++) {
		uint64_t before = __atomic_load_n(&page->sequence, __ATOMIC_SEQ_CST);
		if (before % 2 == 1)
			continue;
		memcpy(ret, page->keys, sizeof(page->keys));
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (__atomic_load_n(&page->sequence, __ATOMIC_SEQ_CST) == before)
			return 0;
	}
	return -EAGAIN;
}
