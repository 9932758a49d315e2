/* The ledger: batches of entries as LEDGER records, written by a writer of a slot of its own.
 *
 * Octets go through three stages: `batch` (memory), the page cache (ledger_write), the disk
 * (ledger_sync). Without a segment the batch waits, bounded, and so do the tickets: nothing is
 * called durable that is not. An entry may stand in the ledger twice when a write failed half-way;
 * entries are absolute, the later wins, so that is no harm.
 *
 * The ledger holds one reference on each of its segments. A checkpoint begins in a fresh segment;
 * when it is durable as a whole, everything older is let go. Where any write or sync failed since
 * it began, the older ones are kept: the next checkpoint tries again.
 *
 * Replay takes what it can read: a record that is damaged is counted and the next one looked for.
 */
#include "spool/ledger.h"

#include "base/wire.h"
#include <stdlib.h>

#define BATCH_WRITE	  (64u * 1024u)
#define BATCH_MAX	  (16u * 1024u * 1024u)
#define ENTRY_HEADER	  5u /* u8 type, u32 length */
#define REPLAY_RECORD_MAX RECORD_PAYLOAD_MAX

struct ledger {
	const struct seam *seam;
	struct store *store;
	struct writer *writer;
	struct buf batch;
	struct list parked; /* tickets that wait for a segment */
	uint64_t *held;	    /* sequences that we have a reference on, rising */
	size_t n_held, cap_held;
	uint64_t octets_old, octets; /* before and since the last checkpoint_begin */
	uint64_t checkpoint_first;   /* the segment that its first record is in; 0: none yet */
	struct {
		struct writer_ticket ticket;
		uint64_t first, octets; /* what is let go: before this segment, that much */
		bool running, failed;
	} end;	     /* of the last checkpoint */
	bool active; /* something is to be written: segments may be asked for */
	bool wanted;
	bool in_checkpoint, failed;
};

/* ---- references ---- */

static int hold(struct ledger *l, uint64_t sequence)
{
	if (l->n_held == l->cap_held) {
		size_t cap = l->cap_held ? l->cap_held * 2 : 8;
		uint64_t *more = realloc(l->held, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		l->held = more;
		l->cap_held = cap;
	}
	l->held[l->n_held++] = sequence;
	store_ref(l->store, sequence);
	return 0;
}

static void let_go_before(struct ledger *l, uint64_t sequence)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n_held; i++) {
		if (l->held[i] < sequence)
			store_unref(l->store, l->held[i]);
		else
			l->held[kept++] = l->held[i];
	}
	l->n_held = kept;
}

/* ---- the writer's side ---- */

static void on_need_segment(void *arg)
{
	struct ledger *l = arg;

	/* A reader of a stopped server's queue must not make files. */
	l->wanted = true;
	if (l->active)
		store_want(l->store, SLOT_LEDGER);
}

static void on_sealed(void *arg, uint64_t sequence, uint64_t end)
{
	struct ledger *l = arg;

	(void)end;
	store_release(l->store, sequence);
}

static void on_retired(void *arg, uint64_t sequence, int error)
{
	struct ledger *l = arg;

	(void)error;
	l->failed = l->end.failed = true;
	store_release(l->store, sequence);
}

static const struct writer_ops writer_ops = {
	.need_segment = on_need_segment,
	.sealed = on_sealed,
	.retired = on_retired,
};

static void activate(struct ledger *l)
{
	if (l->active)
		return;
	l->active = true;
	if (l->wanted)
		store_want(l->store, SLOT_LEDGER);
}

int ledger_new(const struct seam *seam, struct store *store, struct ledger **ret_ledger)
{
	struct ledger *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->seam = seam;
	l->store = store;
	l->batch = BUF_INIT(BATCH_MAX);
	list_init(&l->parked);
	int r = 0;
	for (struct store_segment *s = NULL;
		r == 0 && (s = store_next(store, SLOT_LEDGER, s)) != NULL;)
		r = hold(l, s->head.sequence);
	if (r == 0)
		r = writer_new(seam, SLOT_LEDGER, &writer_ops, l, &l->writer);
	if (r < 0) {
		ledger_free(l);
		return r;
	}
	*ret_ledger = l;
	return 0;
}

void ledger_free(struct ledger *l)
{
	if (!l)
		return;
	for (struct list *n; (n = list_pop_front(&l->parked));) {
		struct writer_ticket *t = CONTAINER_OF(n, struct writer_ticket, node);
		t->done(t, -ECANCELED);
	}
	writer_free(l->writer);
	buf_done(&l->batch);
	free(l->held);
	free(l);
}

/* ---- writing ---- */

/* How much of the batch makes one record: whole entries, about 64 KiB, at most `max`. */
static size_t record_cut(const struct ledger *l, size_t max)
{
	size_t at = 0;

	while (at < l->batch.len) {
		struct wire w = wire_reader(span_from(buf_span(&l->batch), at));
		(void)wire_get_u8(&w);
		size_t next = at + ENTRY_HEADER + wire_get_span(&w).len;
		if (next > max)
			break;
		at = next;
		if (at >= BATCH_WRITE)
			break;
	}
	return at;
}

static int write_some(struct ledger *l)
{
	/* Before the first segment its size is unknown, and the append says so. */
	size_t len = record_cut(l, writer_payload_max(l->writer));
	struct span part = span_head(buf_span(&l->batch), len);
	struct record_ref ref;

	if (len == 0)
		return -EMSGSIZE;
	int r = writer_append(l->writer, RECORD_LEDGER, 0, &part, 1, &ref);
	if (r < 0)
		return r;
	if (l->in_checkpoint && l->checkpoint_first == 0)
		l->checkpoint_first = ref.segment;
	if (l->end.running && l->end.first == 0)
		l->end.first = ref.segment; /* all of it was still waiting in the batch */
	l->octets += record_span(len);
	buf_consume(&l->batch, len);
	return 0;
}

int ledger_write(struct ledger *l)
{
	while (l->batch.len > 0) {
		int r = write_some(l);
		/* A broken segment has been retired by this: the spare may do better. */
		if (r < 0 && r != -ENOSPC && r != -EMSGSIZE)
			r = write_some(l);
		if (r < 0)
			return r;
	}
	return 0;
}

int ledger_append(struct ledger *l, uint8_t type, struct span payload)
{
	activate(l);
	/* One entry fits one record of the smallest segment. */
	if (payload.len > SEGMENT_SIZE_MIN - SEGMENT_HEAD - RECORD_HEADER - ENTRY_HEADER)
		return -EMSGSIZE;
	if (l->batch.len + payload.len + ENTRY_HEADER > BATCH_MAX)
		return -ENOSPC;
	/* All or nothing: half an entry would spoil what follows. */
	if (!buf_reserve(&l->batch, payload.len + ENTRY_HEADER)) {
		int error = l->batch.error;
		l->batch.error = 0;
		return error;
	}
	wire_put_u8(&l->batch, type);
	wire_put_span(&l->batch, payload);
	return l->batch.len >= BATCH_WRITE ? ledger_write(l) : 0;
}

static void retry_parked(struct ledger *l)
{
	if (list_empty(&l->parked) || ledger_write(l) < 0)
		return;
	for (struct list *n; (n = list_pop_front(&l->parked));)
		writer_sync(l->writer, CONTAINER_OF(n, struct writer_ticket, node));
}

void ledger_sync(struct ledger *l, struct writer_ticket *t)
{
	activate(l);
	list_push_back(&l->parked, &t->node);
	retry_parked(l);
}

void ledger_give(struct ledger *l, struct store_segment *s)
{
	struct disk_file *f;
	int r = l->seam->ops->open(l->seam->disk, s->name, false, &f);

	if (r == 0) {
		r = hold(l, s->head.sequence);
		if (r < 0)
			l->seam->ops->close(f);
	}
	if (r < 0) {
		store_release(l->store, s->head.sequence);
		store_want(l->store, SLOT_LEDGER);
		return;
	}
	l->wanted = false;
	writer_give_segment(l->writer, f, &s->head);
	retry_parked(l);
	/* What filled up meanwhile; should that fail, it waits on in the batch as before. */
	if (l->batch.len >= BATCH_WRITE && ledger_write(l) < 0)
		return;
}

uint64_t ledger_octets(const struct ledger *l)
{
	return l->octets_old + l->octets;
}

/* ---- checkpoint ---- */

int ledger_checkpoint_begin(struct ledger *l)
{
	activate(l);
	int r = ledger_write(l);
	if (r < 0)
		return r;
	writer_close_segment(l->writer);
	l->octets_old += l->octets;
	l->octets = 0;
	l->checkpoint_first = 0;
	l->in_checkpoint = true;
	l->failed = false;
	return 0;
}

static void end_done(struct writer_ticket *t, int result)
{
	struct ledger *l = CONTAINER_OF(t, struct ledger, end.ticket);

	l->end.running = false;
	if (result == -ECANCELED)
		return; /* the ledger is being freed */
	if (result < 0 || l->end.failed || l->end.first == 0)
		l->octets_old += l->end.octets; /* kept until the next checkpoint */
	else
		let_go_before(l, l->end.first);
}

void ledger_checkpoint_end(struct ledger *l)
{
	bool was = l->in_checkpoint;

	l->in_checkpoint = false;
	/* Not whole, or the one before is still on its way: nothing is let go this time. */
	if (!was || l->end.running || l->failed)
		return;
	l->end.ticket.done = end_done;
	l->end.first = l->checkpoint_first;
	l->end.octets = l->octets_old;
	l->end.running = true;
	l->end.failed = false;
	l->octets_old = 0;
	ledger_sync(l, &l->end.ticket);
}

/* ---- replay ---- */

struct replay {
	struct ledger *ledger;
	int (*each)(void *arg, uint8_t type, struct span payload);
	void *arg;
	uint64_t damaged;
};

static int replay_batch(struct replay *p, struct span batch)
{
	struct wire w = wire_reader(batch);

	while (w.rest.len && !w.error) {
		size_t before = w.rest.len;
		uint8_t type = wire_get_u8(&w);
		struct span payload = wire_get_span(&w);
		if (w.error) {
			p->damaged += before;
			break;
		}
		int r = p->each(p->arg, type, payload);
		if (r != 0)
			return r;
	}
	return 0;
}

static int replay_records(struct replay *p, struct segment_scan *scan, uint64_t *ret_octets)
{
	struct ledger *l = p->ledger;
	struct buf payload = BUF_INIT(REPLAY_RECORD_MAX);
	struct record rec;
	int r;

	while ((r = segment_scan_next(scan, &rec)) == 1) {
		if (rec.type != RECORD_LEDGER)
			continue;
		*ret_octets += record_span(rec.length);
		buf_reset(&payload);
		r = segment_read_payload(l->seam, scan->file, &scan->head, &rec, &payload);
		if (r == -EBADMSG || r == -EIO) {
			p->damaged += record_span(rec.length);
			/* Its length may be a lie too: what lies inside may be records. */
			continue;
		}
		if (r == 0)
			r = replay_batch(p, buf_span(&payload));
		if (r != 0)
			break;
	}
	buf_done(&payload);
	return r;
}

/* 0; what `each` said; a read error. */
static int replay_segment(struct replay *p, struct store_segment *s)
{
	struct segment_scan scan;
	uint64_t octets = 0;
	int r = segment_scan_init(&scan, p->ledger->seam, s->file);

	if (r == -EBADMSG || r == -EIO) {
		p->damaged += s->head.size;
		return 0;
	}
	if (r < 0)
		return r;
	r = replay_records(p, &scan, &octets);
	p->damaged += MAX(scan.damaged, scan.unreadable);
	p->ledger->octets += octets;
	s->known_end = scan.end;
	segment_scan_done(&scan);
	return r;
}

int ledger_replay(struct ledger *l, int (*each)(void *arg, uint8_t type, struct span payload),
	void *arg, uint64_t *ret_damaged)
{
	struct replay p = {.ledger = l, .each = each, .arg = arg};

	for (struct store_segment *s = NULL; (s = store_next(l->store, SLOT_LEDGER, s)) != NULL;) {
		int r = replay_segment(&p, s);
		if (r != 0)
			return r;
	}
	*ret_damaged = p.damaged;
	return 0;
}
