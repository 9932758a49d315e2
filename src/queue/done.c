/* Which messages are done although their COMMIT still stands in a segment, so that a notice that
 * comes twice is not queued twice: a bitmap of id counters for each segment (an id is the sequence
 * of its segment << 24 | a counter), kept until the owner says that the segment is gone. At most
 * 2 MiB a segment by the shape of ids; some kilobytes in practice. */
#include "queue/queue_internal.h"

#include <stdlib.h>

#define ID_COUNTER_BITS 24u

struct done_set {
	uint64_t sequence;
	size_t words;
	bool seen; /* replay met a COMMIT of the segment */
	uint64_t *bits;
};

static struct done_set *done_set(const struct queue *q, uint64_t id)
{
	return map_get_u64(q->done, id >> ID_COUNTER_BITS);
}

static struct done_set *done_set_make(struct queue *q, uint64_t id)
{
	struct done_set *s = done_set(q, id);

	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->sequence = id >> ID_COUNTER_BITS;
	if (map_put_u64(q->done, s->sequence, s) < 0)
		abort();
	return s;
}

void queue_done_add(struct queue *q, uint64_t id)
{
	struct done_set *s = done_set_make(q, id);
	uint64_t counter = id & ((UINT64_C(1) << ID_COUNTER_BITS) - 1);
	size_t word = (size_t)(counter / 64);

	if (word >= s->words) {
		size_t had = s->words;
		s->bits = queue_grow(s->bits, &s->words, word + 1, sizeof(*s->bits));
		memset(&s->bits[had], 0, (s->words - had) * sizeof(*s->bits));
	}
	s->bits[word] |= UINT64_C(1) << (counter % 64);
}

bool queue_done_has(const struct queue *q, uint64_t id)
{
	const struct done_set *s = done_set(q, id);
	uint64_t counter = id & ((UINT64_C(1) << ID_COUNTER_BITS) - 1);

	return s && counter / 64 < s->words && (s->bits[counter / 64] >> (counter % 64) & 1);
}

void queue_done_seen(struct queue *q, uint64_t id)
{
	done_set_make(q, id)->seen = true;
}

static void done_set_free(struct done_set *s)
{
	if (s)
		free(s->bits);
	free(s);
}

void queue_done_trim(struct queue *q, bool all)
{
	size_t cursor = 0;

	for (struct done_set *s; (s = map_next(q->done, &cursor));) {
		if (!all && s->seen)
			continue;
		(void)map_remove_u64(q->done, s->sequence);
		done_set_free(s);
	}
}

void queue_segment_gone(struct queue *q, uint64_t sequence)
{
	done_set_free(map_remove_u64(q->done, sequence));
}
