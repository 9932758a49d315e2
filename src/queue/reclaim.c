/* Three passes over the open segments of one slot, in this order and never interleaved: sync, read,
 * release. A sync that fails marks its segment damaged, which keeps it; its records are read
 * nevertheless, because what is in the page cache is still the truth for whoever got a 250. */
#include "queue/reclaim.h"

#include "base/base.h"
#include <stdlib.h>

struct reclaim_item {
	struct disk_op op;
	struct reclaim *all;
	uint64_t sequence;
};
struct reclaim {
	struct seam *seam;
	struct store *store;
	const struct reclaim_ops *ops;
	void *arg;
	size_t n, running;
	struct reclaim_item items[];
};

static bool ended(const struct reclaim *all)
{
	return all->ops->ended && all->ops->ended(all->arg);
}

static int on_commit(
	void *arg, uint64_t id, const struct record_ref *ref, struct span payload, bool damaged)
{
	const struct reclaim *all = arg;

	(void)payload;
	(void)damaged; /* looked at again when it is taken */
	all->ops->found(all->arg, store_find(all->store, ref->segment)->head.slot, id, ref);
	return 0;
}

static void on_damage(void *arg, const struct store_segment *s, uint64_t offset, uint64_t octets)
{
	const struct reclaim *all = arg;

	all->ops->damage(all->arg, s, offset, octets);
}

static void failed(const struct reclaim *all, struct store_segment *s, int error)
{
	s->damaged = true;
	all->ops->failed(all->arg, s, error);
}

static void read_again(struct reclaim *all, uint64_t sequence)
{
	static const struct recover_ops ops = {.commit = on_commit, .damage = on_damage};
	struct store_segment *s = store_find(all->store, sequence);

	/* What recovery has not come to yet, it will read as a whole. */
	if (!s || (s->known_end == 0 && !all->ops->started(all->arg)))
		return;
	int r = spool_recover_segment(all->seam, all->store, s, s->known_end, &ops, all);
	if (r < 0)
		failed(all, s, r);
}

static void end(struct reclaim *all)
{
	for (size_t i = 0; i < all->n && !ended(all); i++)
		read_again(all, all->items[i].sequence);
	for (size_t i = 0; i < all->n && !ended(all); i++) {
		if (all->ops->released)
			all->ops->released(all->arg, all->items[i].sequence);
		store_release(all->store, all->items[i].sequence);
	}
	free(all);
}

static void on_synced(struct disk_op *op, int result)
{
	struct reclaim_item *item = CONTAINER_OF(op, struct reclaim_item, op);
	struct reclaim *all = item->all;
	struct store_segment *s =
		result < 0 && !ended(all) ? store_find(all->store, item->sequence) : NULL;

	if (s)
		failed(all, s, result);
	if (--all->running == 0)
		end(all);
}

void reclaim_slot(struct seam *seam, struct store *store, uint16_t slot,
	const struct reclaim_ops *ops, void *arg)
{
	size_t max = store_count(store) + 1;
	struct reclaim *all = calloc(1, sizeof(*all) + max * sizeof(all->items[0]));

	if (!all)
		abort();
	*all = (struct reclaim){.seam = seam, .store = store, .ops = ops, .arg = arg, .running = 1};
	for (struct store_segment *s = NULL; (s = store_next(store, slot, s)) && all->n < max;) {
		if (s->state != SEGMENT_OPEN || ops->is_given(arg, s->head.sequence))
			continue;
		struct reclaim_item *item = &all->items[all->n++];
		*item = (struct reclaim_item){
			.op.done = on_synced, .all = all, .sequence = s->head.sequence};
		all->running++;
		seam->ops->sync(s->file, &item->op);
	}
	if (--all->running == 0)
		end(all);
}
