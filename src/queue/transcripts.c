/* A list searched from end to end: it is read when an operator asks, and 256 are few. It is the
 * dispatcher's, because deliverers come and go, and because `queue show` is answered here; it is
 * not in the ledger, because a transcript is worth less than a write (docs/tracing.md). */
#include "queue/transcripts.h"

#include <stdlib.h>

struct kept {
	struct list node;
	uint64_t message, wall_usec;
	size_t len;
	char text[];
};

void transcripts_init(struct transcripts *t)
{
	*t = (struct transcripts){0};
	list_init(&t->kept);
}

static void drop(struct transcripts *t, struct kept *k)
{
	list_remove(&k->node);
	t->n--;
	t->octets -= k->len;
	free(k);
}

void transcripts_done(struct transcripts *t)
{
	list_foreach_safe (n, next, &t->kept)
		drop(t, CONTAINER_OF(n, struct kept, node));
}

void transcripts_add(struct transcripts *t, uint64_t message, uint64_t wall_usec, struct span text)
{
	if (text.len == 0)
		return;
	if (text.len > TRANSCRIPT_TEXT_MAX)
		text = span_from(text, text.len - TRANSCRIPT_TEXT_MAX);
	struct kept *k = malloc(sizeof(*k) + text.len);
	if (!k)
		return;
	k->message = message;
	k->wall_usec = wall_usec;
	k->len = text.len;
	memcpy(k->text, text.ptr, text.len);
	list_push_back(&t->kept, &k->node);
	t->n++;
	t->octets += k->len;
	while (t->n > TRANSCRIPTS_KEPT_MAX || t->octets > TRANSCRIPTS_OCTETS_MAX)
		drop(t, CONTAINER_OF(t->kept.next, struct kept, node));
}

unsigned transcripts_find(
	const struct transcripts *t, uint64_t message, struct transcript_shown *ret, unsigned max)
{
	unsigned n = 0;
	list_foreach (node, &t->kept) {
		const struct kept *k = CONTAINER_OF(node, const struct kept, node);
		if (k->message != message)
			continue;
		if (n == max && max > 0) { /* the newest ones */
			memmove(ret, ret + 1, (max - 1) * sizeof(*ret));
			n--;
		}
		if (n < max)
			ret[n++] =
				(struct transcript_shown){k->wall_usec, span_make(k->text, k->len)};
	}
	return n;
}
