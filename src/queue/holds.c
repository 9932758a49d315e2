/* Who keeps which segment alive.
 *
 * Nearly all messages lie whole in the segment of their COMMIT: for these nothing is remembered but
 * the store's count, and the COMMIT's reference, which the queue has, tells the rest. Only of those
 * in several segments, and of those that compaction moves, is there a list here.
 *
 * A report that is durable and not yet taken as mail counts in no segment: without the second half
 * of this file, one that is sealed or retired by the very sync that made the report durable would
 * be recycled under it. */
#include "queue/holds.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Chunks of a large body lie behind one another: looking at the last few finds nearly all doubles,
 * and a segment that is counted twice is also given back twice. */
#define LOOK_BACK 8u

struct hold_span {
	uint64_t id;
	uint32_t n;
	uint64_t segments[];
};

int holds_init(struct holds *h, struct store *store, uint64_t seed)
{
	*h = (struct holds){.store = store, .spans = map_new(seed), .moved = map_new(seed)};
	list_init(&h->reports);
	if (h->spans && h->moved)
		return 0;
	holds_done(h);
	return -ENOMEM;
}

static void free_spans(struct map *m)
{
	size_t cursor = 0;

	if (!m)
		return;
	for (struct hold_span *s; (s = map_next(m, &cursor));)
		free(s);
	map_free(m);
}

void holds_done(struct holds *h)
{
	free_spans(TAKE(h->spans));
	free_spans(TAKE(h->moved));
	free(TAKE(h->ended));
	h->n_ended = 0;
}

/* ---- messages ---- */

static bool has(const uint64_t *a, uint32_t n, uint64_t v)
{
	for (uint32_t i = 0; i < n; i++)
		if (a[i] == v)
			return true;
	return false;
}

static uint32_t collect(const struct holds *h, const struct message *m,
	const struct record_ref *commit, uint64_t *segments)
{
	uint32_t n = 1;

	segments[0] = commit->segment;
	for (uint32_t i = 0; i < m->n_pieces; i++) {
		const struct message_piece *p = &m->pieces[i];
		uint32_t from = n > LOOK_BACK ? n - LOOK_BACK : 0;
		if (p->is_inline || p->piece.segment == commit->segment ||
			has(segments + from, n - from, p->piece.segment) ||
			!store_find(h->store, p->piece.segment))
			continue;
		segments[n++] = p->piece.segment;
	}
	return n;
}

int holds_take(struct holds *h, const struct message *m, const struct record_ref *commit)
{
	struct hold_span *s = malloc(sizeof(*s) + (m->n_pieces + 1) * sizeof(s->segments[0]));

	if (!s)
		return -ENOMEM;
	s->id = m->id;
	s->n = collect(h, m, commit, s->segments);
	free(map_remove_u64(h->spans, m->id));
	if (s->n > 1 && map_put_u64(h->spans, m->id, s) < 0) {
		free(s);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < s->n; i++)
		store_ref(h->store, s->segments[i]);
	if (s->n == 1)
		free(s);
	return 0;
}

static void give_back(struct holds *h, struct hold_span *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		store_unref(h->store, s->segments[i]);
	free(s);
}

void holds_release(struct holds *h, uint64_t id, const struct record_ref *commit)
{
	struct hold_span *s = map_remove_u64(h->spans, id);

	if (s)
		give_back(h, s);
	else
		store_unref(h->store, commit->segment);
}

const uint64_t *holds_segments(
	const struct holds *h, uint64_t id, const struct record_ref *commit, uint32_t *ret_n)
{
	const struct hold_span *s = map_get_u64(h->spans, id);

	*ret_n = s ? s->n : 1;
	return s ? s->segments : &commit->segment;
}

/* ---- moving ---- */

/* What the message holds as an object of its own; NULL without memory. */
static struct hold_span *detach(struct holds *h, uint64_t id, const struct record_ref *commit)
{
	struct hold_span *s = map_remove_u64(h->spans, id);

	if (s)
		return s;
	s = malloc(sizeof(*s) + sizeof(s->segments[0]));
	if (!s)
		return NULL;
	*s = (struct hold_span){.id = id, .n = 1};
	s->segments[0] = commit->segment;
	return s;
}

static void attach(struct holds *h, struct hold_span *s)
{
	/* There was room for it a moment ago. */
	if (s->n > 1 && map_put_u64(h->spans, s->id, s) < 0)
		abort();
	if (s->n == 1)
		free(s);
}

int holds_move(struct holds *h, const struct message *m, const struct record_ref *from,
	const struct record_ref *to)
{
	struct hold_span *old = detach(h, m->id, from);

	if (!old)
		return -ENOMEM;
	int r = map_put_u64(h->moved, m->id, old);
	if (r == 0) {
		r = holds_take(h, m, to);
		if (r < 0)
			(void)map_remove_u64(h->moved, m->id);
	}
	if (r < 0)
		attach(h, old);
	return r;
}

bool holds_moving(const struct holds *h, uint64_t id)
{
	return map_get_u64(h->moved, id) != NULL;
}

void holds_moved(struct holds *h, uint64_t id)
{
	struct hold_span *old = map_remove_u64(h->moved, id);

	assert(old);
	give_back(h, old);
}

/* ---- our own reports ---- */

static bool needed(const struct holds *h, uint64_t sequence)
{
	list_foreach (n, &h->reports) {
		const struct hold_report *r = CONTAINER_OF(n, struct hold_report, node);
		if (r->draft && draft_uses(r->draft, sequence))
			return true;
	}
	return false;
}

static void release_ended(struct holds *h)
{
	size_t kept = 0;

	for (size_t i = 0; i < h->n_ended; i++) {
		if (needed(h, h->ended[i])) {
			h->ended[kept++] = h->ended[i];
			continue;
		}
		/* Whatever stands in it has been taken or given up. */
		struct store_segment *s = store_find(h->store, h->ended[i]);
		if (s)
			s->known_end = s->head.size;
		store_release(h->store, h->ended[i]);
	}
	h->n_ended = kept;
}

void holds_report(struct holds *h, struct hold_report *r)
{
	list_push_back(&h->reports, &r->node);
}

void holds_report_end(struct holds *h, struct hold_report *r)
{
	list_remove(&r->node);
	release_ended(h);
}

void holds_own_ended(struct holds *h, uint64_t sequence)
{
	uint64_t *more = realloc(h->ended, (h->n_ended + 1) * sizeof(*more));

	if (!more)
		abort(); /* it would never be released */
	h->ended = more;
	h->ended[h->n_ended++] = sequence;
	release_ended(h);
}
