/* See reseal.h. One operation after another on the store's own file; should the store be freed in
 * between, the operation that runs ends the whole and touches nothing more. */
#include "spool/reseal.h"

#include "spool/store_internal.h"
#include <stdlib.h>

enum reseal_step { RESEAL_RECORDS, RESEAL_INDEX, RESEAL_SEAL };
struct reseal {
	struct store_watch watch; /* store NULL: it is gone */
	struct disk_op op;
	uint64_t sequence, end;
	enum reseal_step step;
	struct buf index;
	void (*done)(void *arg, const char *name, int result);
	void *arg;
};

static void reseal_free(struct reseal *r)
{
	list_remove(&r->watch.node);
	buf_done(&r->index);
	free(r);
}

static void reseal_end(struct reseal *r, const struct store_segment *s, int result)
{
	if (r->done)
		r->done(r->arg, s->name, result);
	store_unref(r->watch.store, r->sequence);
	reseal_free(r);
}

static void synced(struct disk_op *op, int result)
{
	struct reseal *r = CONTAINER_OF(op, struct reseal, op);
	struct store *store = r->watch.store;

	if (!store) {
		reseal_free(r);
		return;
	}
	struct store_segment *s = store_find(store, r->sequence);
	const struct seam *seam = store->seam;
	assert(s); /* our reference keeps it */
	if (result == 0 && r->step == RESEAL_RECORDS)
		result = segment_write_index(seam, s->file, &s->head, r->end, buf_span(&r->index));
	else if (result == 0 && r->step == RESEAL_INDEX)
		result = segment_write_seal(seam, s->file, &s->head, r->end, r->index.len);
	if (result < 0 || r->step == RESEAL_SEAL) {
		reseal_end(r, s, result);
		return;
	}
	r->step++;
	seam->ops->sync(s->file, &r->op);
}

void reseal_begin(struct store *store, struct store_segment *s, uint64_t end, struct span index,
	void (*done)(void *arg, const char *name, int result), void *arg)
{
	struct reseal *r = calloc(1, sizeof(*r));

	/* It is for the next start only: without memory it stays as it is. */
	if (!r)
		return;
	*r = (struct reseal){.watch.store = store,
		.op.done = synced,
		.sequence = s->head.sequence,
		.end = end,
		.index = BUF_INIT(RECORD_PAYLOAD_MAX),
		.done = done,
		.arg = arg};
	buf_put(&r->index, index);
	if (r->index.error) {
		reseal_free(r);
		return;
	}
	list_push_back(&store->watches, &r->watch.node);
	store_ref(store, s->head.sequence);
	store->seam->ops->sync(s->file, &r->op);
}
