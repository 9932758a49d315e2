/* Group commit. A segment is in one of three places: `current` takes appends, `spare` waits, and
 * `full` holds those that take no more: full, closed, or broken by a failed write. A sync covers
 * current and full at once, each file with its own fdatasync; the group's tickets complete when the
 * last of them has answered. After that a full segment has its last data on disk: its index and
 * SEAL are written and synced, and the owner is told (sealed); a broken one is only told of
 * (retired), nothing is written into it again.
 *
 * A failed fdatasync is never retried as if it had worked: the kernel may have dropped the pages
 * and forgotten the error. Everybody who waits gets the error, also those who appended while the
 * sync ran. What was refused is wiped from the page cache: until the next power failure it would
 * read like any COMMIT, and a restart would take for durable what nobody was promised. Not so in
 * the ledger, whose entries are believed after a kill as they stand. */
#include "spool/writer.h"

#include "base/crc32c.h"
#include "base/wire.h"
#include <stdlib.h>

#define PARTS_MAX	 16u
#define RECORDS_MAX	 4u
#define IDS_PER_SEGMENT	 (UINT64_C(1) << 24)
#define INDEX_OCTETS_MAX (8u << 20)
#define SPARE_AT_PART	 16u	    /* used of the current segment */
#define SPARE_AT_ROOM	 (1u << 20) /* left in it; no one append asks for more but a huge envelope */

struct open_segment {
	struct list node; /* in writer.full */
	struct writer *w;
	struct disk_file *file;
	struct segment_head head;
	uint64_t end;
	uint64_t syncing_end, synced; /* durable below: when its last sync succeeds, and now */
	uint64_t next_id;
	struct buf index; /* of its COMMITs, as the INDEX record's payload */
	bool dirty;	  /* octets since the last fdatasync began */
	bool syncing, sealing;
	int error; /* broken: retired as soon as nothing runs */
	struct disk_op op;
};
struct writer {
	const struct seam *seam;
	const struct writer_ops *ops;
	void *arg;
	uint16_t slot;
	bool wanted, freeing, completing;
	bool ended; /* writer_end: the segments are no longer ours to write */
	struct open_segment *current, *spare;
	struct list full;
	struct list waiting; /* tickets for the next group */
	struct list group;   /* tickets of the running one */
	unsigned running;    /* fdatasyncs of the group not answered yet */
	unsigned sealing;
	int group_error;
	int untold; /* of a group that nobody waited for: the next one with tickets hears of it */
	struct writer_counts counts;
};

static const char zeros[RECORD_ALIGN];

static void segment_free(struct open_segment *s)
{
	if (!s)
		return;
	s->w->seam->ops->close(s->file);
	buf_done(&s->index);
	free(s);
}

static uint64_t room_in(const struct open_segment *s)
{
	return s ? s->head.size - s->end : 0;
}

static void ask(struct writer *w)
{
	if (w->wanted || w->freeing || w->ended || (w->current && w->spare))
		return;
	w->wanted = true;
	w->ops->need_segment(w->arg);
}

/* The spare is asked for when the current segment is in earnest use: a server that sees little mail
 * needs no more than one a slot, and what is left of this one is time enough to make the next. */
static void want(struct writer *w)
{
	if (!w->current || w->current->end > w->current->head.size / SPARE_AT_PART ||
		room_in(w->current) < SPARE_AT_ROOM)
		ask(w);
}

static void writer_flush_waiting(struct writer *w);

int writer_new(const struct seam *seam, uint16_t slot, const struct writer_ops *ops, void *arg,
	struct writer **ret_writer)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->seam = seam;
	w->ops = ops;
	w->arg = arg;
	w->slot = slot;
	list_init(&w->full);
	list_init(&w->waiting);
	list_init(&w->group);
	*ret_writer = w;
	want(w);
	return 0;
}

static void complete(struct list *tickets, int result)
{
	struct list done;

	/* A ticket's owner may ask for another sync from inside: take the list away first. */
	list_init(&done);
	for (struct list *n; (n = list_pop_front(tickets));)
		list_push_back(&done, n);
	for (struct list *n; (n = list_pop_front(&done));) {
		struct writer_ticket *t = CONTAINER_OF(n, struct writer_ticket, node);
		t->done(t, result);
	}
}

static void free_now(struct writer *w)
{
	segment_free(w->current);
	segment_free(w->spare);
	for (struct list *n; (n = list_pop_front(&w->full));)
		segment_free(CONTAINER_OF(n, struct open_segment, node));
	free(w);
}

/* Running operations point into the segments, and callbacks return into this file: the last frees.
 */
static void free_when_idle(struct writer *w)
{
	if (w->running == 0 && w->sealing == 0 && !w->completing)
		free_now(w);
}

void writer_free(struct writer *w)
{
	if (!w)
		return;
	w->freeing = true;
	complete(&w->waiting, -ECANCELED);
	complete(&w->group, -ECANCELED);
	free_when_idle(w);
}

void writer_give_segment(struct writer *w, struct disk_file *f, const struct segment_head *h)
{
	struct open_segment *s = calloc(1, sizeof(*s));

	w->wanted = false;
	if (!s) {
		w->seam->ops->close(f);
		w->ops->retired(w->arg, h->sequence, -ENOMEM);
		return;
	}
	*s = (struct open_segment){.w = w,
		.file = f,
		.head = *h,
		.end = SEGMENT_HEAD,
		.syncing_end = SEGMENT_HEAD,
		.synced = SEGMENT_HEAD,
		.index = BUF_INIT(INDEX_OCTETS_MAX)};
	if (!w->current)
		w->current = s;
	else if (!w->spare)
		w->spare = s;
	else
		abort(); /* a bug: one segment is given for each that is asked for */
	want(w);
	writer_flush_waiting(w);
}

uint32_t writer_payload_max(const struct writer *w)
{
	uint64_t size = w->current ? w->current->head.size : SEGMENT_SIZE_MIN;
	uint64_t room = size - SEGMENT_HEAD - RECORD_HEADER;

	return (uint32_t)MIN(room, (uint64_t)RECORD_PAYLOAD_MAX);
}

bool writer_can_append(const struct writer *w, uint64_t octets)
{
	return room_in(w->current) >= octets || room_in(w->spare) >= octets;
}

/* The current segment takes no more. */
static void roll(struct writer *w)
{
	if (!w->current)
		return;
	list_push_back(&w->full, &w->current->node);
	w->current = TAKE(w->spare);
}

static void settle_full(struct writer *w);

/* From the end: a COMMIT stands behind what it names, and a kill may come in between. */
static void wipe(struct open_segment *s, uint64_t from, uint64_t to)
{
	static const char zero[16384];
	struct iovec iov = {(void *)(uintptr_t)zero, 0};

	while (s->head.slot != SLOT_LEDGER && !s->w->ended && from < to) {
		iov.iov_len = (size_t)MIN(to - from, (uint64_t)sizeof(zero));
		to -= iov.iov_len;
		if (s->w->seam->ops->write(s->file, to, &iov, 1) < 0)
			s->w->counts.errors++;
	}
}

int writer_new_id(struct writer *w, uint64_t *ret_id)
{
	if (w->current && w->current->next_id + 1 >= IDS_PER_SEGMENT)
		roll(w);
	if (!w->current || w->ended) {
		want(w);
		return -ENOSPC;
	}
	*ret_id = (w->current->head.sequence << 24) | ++w->current->next_id;
	return 0;
}

int writer_place(struct writer *w, uint64_t octets, uint64_t *ret_sequence, uint64_t *ret_offset)
{
	if (octets > SEGMENT_SIZE_MAX)
		return -EMSGSIZE;
	if (w->ended)
		return -ENOSPC;
	if (room_in(w->current) < octets) {
		/* A spare that is too small as well does not help: keep what there is for others.
		 */
		if (w->current && room_in(w->spare) < octets) {
			ask(w);
			return w->spare ? -EMSGSIZE : -ENOSPC;
		}
		roll(w);
	}
	want(w);
	if (!w->current)
		return -ENOSPC;
	*ret_sequence = w->current->head.sequence;
	*ret_offset = w->current->end;
	return 0;
}

int writer_append_many(struct writer *w, const struct writer_record *records, unsigned n,
	struct record_ref *ret_refs)
{
	uint8_t headers[RECORDS_MAX][RECORD_HEADER];
	struct iovec iov[RECORDS_MAX * (PARTS_MAX + 2)];
	uint64_t total = 0, sequence, at;
	int n_iov = 0;

	assert(n <= RECORDS_MAX);
	struct record rec[RECORDS_MAX];
	for (unsigned i = 0; i < n; i++) {
		uint64_t length = 0;
		uint32_t crc = 0;
		assert(records[i].n_parts <= PARTS_MAX);
		for (unsigned j = 0; j < records[i].n_parts; j++) {
			length += records[i].parts[j].len;
			crc = crc32c(crc, records[i].parts[j].ptr, records[i].parts[j].len);
		}
		if (length > RECORD_PAYLOAD_MAX)
			return -EMSGSIZE;
		rec[i] = (struct record){.type = records[i].type,
			.version = SPOOL_FORMAT,
			.length = (uint32_t)length,
			.id = records[i].id,
			.payload_crc = crc};
		total += record_span(length);
	}
	int r = writer_place(w, total, &sequence, &at);
	if (r < 0)
		return r;
	struct open_segment *s = w->current;
	uint64_t start = at;
	for (unsigned i = 0; i < n; i++) {
		uint64_t pad = record_span(rec[i].length) - RECORD_HEADER - rec[i].length;
		rec[i].offset = at;
		record_encode(&s->head.generation, &rec[i], headers[i]);
		iov[n_iov++] = (struct iovec){headers[i], RECORD_HEADER};
		for (unsigned j = 0; j < records[i].n_parts; j++)
			if (records[i].parts[j].len)
				iov[n_iov++] =
					(struct iovec){(void *)(uintptr_t)records[i].parts[j].ptr,
						records[i].parts[j].len};
		if (pad)
			iov[n_iov++] = (struct iovec){(void *)(uintptr_t)zeros, (size_t)pad};
		ret_refs[i] = (struct record_ref){sequence, at, rec[i].length};
		at += record_span(rec[i].length);
	}
	r = w->seam->ops->write(s->file, start, iov, n_iov);
	if (r < 0) {
		/* What stands before may still become durable; nothing more is written here. */
		w->counts.errors++;
		s->error = r;
		wipe(s, start, at);
		roll(w);
		settle_full(w);
		return r;
	}
	s->end = at;
	s->dirty = true;
	for (unsigned i = 0; i < n; i++)
		if (rec[i].type == RECORD_COMMIT)
			segment_index_put(&s->index, rec[i].offset, rec[i].id, rec[i].length);
	w->counts.records += n;
	w->counts.octets += total;
	return 0;
}

int writer_append(struct writer *w, enum record_type type, uint64_t id, const struct span *parts,
	unsigned n_parts, struct record_ref *ret_ref)
{
	struct writer_record r = {type, id, parts, n_parts};

	return writer_append_many(w, &r, 1, ret_ref);
}

/* ---- the end of a segment ---- */

static void seal_done(struct disk_op *op, int result)
{
	struct open_segment *s = CONTAINER_OF(op, struct open_segment, op);
	struct writer *w = s->w;
	uint64_t sequence = s->head.sequence, end = s->end;

	w->sealing--;
	list_remove(&s->node);
	segment_free(s);
	if (w->freeing) {
		free_when_idle(w);
		return;
	}
	/* Its messages are durable in any case: without a SEAL recovery scans it. */
	if (result < 0)
		w->counts.errors++;
	w->ops->sealed(w->arg, sequence, end);
}

static void seal(struct open_segment *s)
{
	const struct seam *seam = s->w->seam;
	struct span index = buf_span(&s->index);

	s->sealing = true;
	s->w->sealing++;
	/* No room for the index, or too many COMMITs: recovery scans this segment instead. */
	if (s->index.error || segment_write_index(seam, s->file, &s->head, s->end, index) < 0)
		index.len = 0;
	if (segment_write_seal(seam, s->file, &s->head, s->end, index.len) < 0)
		s->w->counts.errors++;
	s->op.done = seal_done;
	seam->ops->sync(s->file, &s->op);
}

/* Full segments with nothing unsynced end here. */
static void settle_full(struct writer *w)
{
	list_foreach_safe (n, tmp, &w->full) {
		struct open_segment *s = CONTAINER_OF(n, struct open_segment, node);
		/* Broken by a write, with octets that tickets may wait for: the next sync decides.
		 */
		if (s->syncing || s->sealing || s->dirty)
			continue;
		if (w->ended) {
			list_remove(&s->node);
			segment_free(s);
			continue;
		}
		if (!s->error) {
			seal(s);
			continue;
		}
		uint64_t sequence = s->head.sequence;
		int error = s->error;
		list_remove(&s->node);
		segment_free(s);
		w->ops->retired(w->arg, sequence, error);
	}
	want(w);
}

/* ---- the sync ---- */

static void start_group(struct writer *w);

static void writer_flush_waiting(struct writer *w)
{
	if (w->running == 0 && list_empty(&w->group) && !w->freeing && !list_empty(&w->waiting))
		start_group(w);
}

/* The group as a whole was refused, also what its other file has on the disk by now: a message
 * answered with an error must not come back at the next start, nor a COMMIT that names octets of
 * the file that failed. So whatever was not durable before is broken, wherever it stands. */
static void refuse_unsynced(struct writer *w, struct open_segment *s)
{
	if (!s || s->sealing || (s->synced == s->end && !s->error))
		return;
	if (!s->error)
		s->error = w->group_error;
	s->dirty = false; /* no second try */
	wipe(s, s->synced, s->end);
	if (s == w->current)
		roll(w);
}

static void settle_unsynced(struct writer *w)
{
	list_foreach (n, &w->full) {
		struct open_segment *s = CONTAINER_OF(n, struct open_segment, node);
		if (w->group_error < 0)
			refuse_unsynced(w, s);
		else if (!s->sealing)
			s->synced = s->syncing_end;
	}
	if (w->group_error < 0)
		refuse_unsynced(w, w->current);
	else if (w->current)
		w->current->synced = w->current->syncing_end;
}

static void group_ended(struct writer *w)
{
	int result = w->group_error;

	w->counts.syncs++;
	settle_unsynced(w);
	if (result < 0) {
		/* Octets appended meanwhile may lie in the file that failed. */
		for (struct list *n; (n = list_pop_front(&w->waiting));)
			list_push_back(&w->group, n);
	}
	/* Whoever asks next asks for all that was appended, and that may be gone. */
	if (result < 0 && list_empty(&w->group))
		w->untold = result;
	w->completing = true;
	complete(&w->group, result);
	w->completing = false;
	if (w->freeing) {
		free_when_idle(w);
		return;
	}
	settle_full(w);
	/* A ticket's owner may have begun the next group already: those who came later wait for the
	 * one after, because that sync began before their octets were written. */
	writer_flush_waiting(w);
}

static void sync_done(struct disk_op *op, int result)
{
	struct open_segment *s = CONTAINER_OF(op, struct open_segment, op);
	struct writer *w = s->w;

	s->syncing = false;
	w->running--;
	if (w->freeing) {
		free_when_idle(w);
		return;
	}
	if (result < 0) {
		w->counts.errors++;
		w->group_error = s->error = result;
	}
	if (w->running == 0)
		group_ended(w);
}

static void begin_sync(struct open_segment *s)
{
	s->syncing_end = s->end;
	s->dirty = false;
	s->syncing = true;
	s->w->running++;
	s->op.done = sync_done;
	s->w->seam->ops->sync(s->file, &s->op);
}

static void start_group(struct writer *w)
{
	for (struct list *n; (n = list_pop_front(&w->waiting));)
		list_push_back(&w->group, n);
	w->group_error = 0;
	/* Held up by one, so that an answer cannot end the group before all have begun. */
	w->running++;
	list_foreach_safe (n, tmp, &w->full) {
		struct open_segment *s = CONTAINER_OF(n, struct open_segment, node);
		if (s->dirty && !s->syncing && !s->sealing)
			begin_sync(s);
	}
	if (w->current && w->current->dirty)
		begin_sync(w->current);
	bool nothing = w->running == 1;
	w->running--;
	/* All of it was durable already, and says so through the loop: an empty group cannot call
	 * tickets from inside writer_sync. The next real sync takes them along. */
	if (nothing && w->current) {
		begin_sync(w->current);
	} else if (nothing) {
		/* No segment at all: nothing was appended, so nothing can be promised. */
		for (struct list *n; (n = list_pop_front(&w->group));)
			list_push_back(&w->waiting, n);
	}
	if (w->running && !list_empty(&w->group) && w->untold) {
		w->group_error = w->untold;
		w->untold = 0;
	}
}

void writer_flush(struct writer *w)
{
	if (w->running == 0 && list_empty(&w->group) && !w->freeing &&
		(!list_empty(&w->waiting) || !list_empty(&w->full)))
		start_group(w);
}

void writer_sync(struct writer *w, struct writer_ticket *t)
{
	list_push_back(&w->waiting, &t->node);
	w->counts.commits++;
	if (w->running || !list_empty(&w->group))
		return;
	if (w->ops->want_flush)
		w->ops->want_flush(w->arg);
	else
		start_group(w);
}

void writer_end(struct writer *w)
{
	w->ended = true;
}

void writer_close_segment(struct writer *w)
{
	if (!w->current || w->current->end == SEGMENT_HEAD)
		return;
	roll(w);
	if (w->running == 0)
		settle_full(w);
	writer_flush(w);
}

bool writer_idle(const struct writer *w)
{
	return w->running == 0 && w->sealing == 0 && list_empty(&w->waiting) &&
	       list_empty(&w->group) && list_empty(&w->full) && !(w->current && w->current->dirty);
}

const struct writer_counts *writer_counts(const struct writer *w)
{
	return &w->counts;
}
