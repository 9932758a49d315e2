/* Which segments exist and what lives in them; supply.c makes new ones of dead ones.
 *
 * What the store believes about a file comes from two places: its name, which only the dispatcher
 * gives ("seg-<slot>-<number>"), and its head, which a taken-over receiver could overwrite in its
 * own files. So the slot is the name's, and a head that disagrees is set aside; a sequence that
 * stands in two heads belongs to the dispatcher's own slots first.
 *
 * A sequence number is never used twice, because message ids and the ledger's memory of them
 * derive from it. The highest one used survives in a head: recycling always makes a higher one
 * before anything is unlinked, and a file whose head cannot be read makes the store skip far ahead.
 *
 * Until store_recovered nothing in the folder is changed but for new files that are asked for, so
 * the same code lists the queue of a stopped server. */
#include "spool/store_internal.h"

#include "base/crc32c.h"
#include <stdlib.h>
#include <stdio.h>

/* Further than a spool with an unreadable head can have gone on; 40 bits of sequence are plenty. */
#define SEQUENCE_SKIP  (UINT64_C(1) << 20)
#define SEQUENCE_LIMIT (UINT64_C(1) << 40) /* ids keep 24 bits for the message (base/ident.h) */
#define SIZE_FRACTION  64u /* a new segment takes at most this part of the room there is */
#define RESERVE_MAX    (UINT64_C(256) << 20)
#define RESERVE_MIN    (UINT64_C(4) << 20)
#define RESERVE_PART   50u

struct blank {
	struct list node;
	char name[sizeof(((struct store_segment *)0)->name)];
};
struct opening {
	struct store *store;
	struct list found; /* struct segment by pub.node, in the folder's order */
	uint64_t octets;   /* of all files */
	bool unreadable;
	int error;
};

int store_slot(struct store *s, uint16_t number, struct slot **ret)
{
	for (uint32_t i = 0; i < s->n_slots; i++) {
		if (s->slots[i]->number == number) {
			*ret = s->slots[i];
			return 0;
		}
	}
	if (s->n_slots == s->cap_slots) {
		uint32_t cap = s->cap_slots ? s->cap_slots * 2 : 8;
		struct slot **more = realloc(s->slots, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->slots = more;
		s->cap_slots = cap;
	}
	struct slot *slot = calloc(1, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	slot->number = number;
	list_init(&slot->segments);
	list_init(&slot->spares);
	list_init(&slot->making);
	s->slots[s->n_slots++] = slot;
	*ret = slot;
	return 0;
}

void segment_discard(struct segment *g)
{
	if (g->store && g->pub.file)
		g->store->seam->ops->close(g->pub.file);
	free(g);
}

/* ---- opening the folder ---- */

/* "seg-<slot>-<number>", as supply.c writes it. */
static bool parse_name(const char *name, uint16_t *ret_slot, uint64_t *ret_number)
{
	struct span rest = span_str(name);
	uint64_t slot, number;

	if (rest.len >= sizeof(((struct store_segment *)0)->name) ||
		!span_equal(span_head(rest, 4), SPAN_LIT("seg-")))
		return false;
	rest = span_from(rest, 4);
	size_t dash = span_index(rest, '-');
	if (span_to_u64(span_head(rest, dash), UINT16_MAX, &slot) < 0 ||
		span_to_u64(span_from(rest, dash + 1), UINT64_MAX / 2, &number) < 0)
		return false;
	*ret_slot = (uint16_t)slot;
	*ret_number = number;
	return true;
}

/* A file that was being made when the server died: no head yet, so nobody ever wrote into it. */
static bool is_blank(const struct seam *seam, struct disk_file *f)
{
	char octets[SEGMENT_HEAD / 8];
	size_t got = 0;

	for (uint64_t at = 0; at < SEGMENT_HEAD + sizeof(octets); at += sizeof(octets)) {
		if (seam->ops->read(f, at, octets, sizeof(octets), &got) < 0)
			return false;
		for (size_t i = 0; i < got; i++)
			if (octets[i])
				return false;
		if (got < sizeof(octets))
			break;
	}
	return true;
}

static void remember_blank(struct opening *o, const char *name)
{
	struct blank *b = calloc(1, sizeof(*b));

	if (!b) {
		o->error = -ENOMEM;
		return;
	}
	memcpy(b->name, name, strlen(name) + 1);
	list_push_back(&o->store->blanks, &b->node);
}

static void set_aside(struct store *s, const char *name, int error)
{
	if (s->ops && s->ops->error)
		s->ops->error(s->arg, name, error);
}

/* The head of one file. 0: *ret_head is good; 1: blank; negative: to be set aside. */
static int examine(
	struct store *s, struct disk_file *f, uint16_t slot, struct segment_head *ret_head)
{
	struct segment_head h;
	int r = segment_head_read(s->seam, f, &h);

	if (r == -EBADMSG && is_blank(s->seam, f))
		return 1;
	if (r < 0)
		return r;
	if (h.slot != slot || h.sequence >= SEQUENCE_LIMIT || h.size > SEGMENT_SIZE_MAX)
		return -EBADMSG;
	*ret_head = h;
	return 0;
}

static void open_one(void *arg, const char *name)
{
	struct opening *o = arg;
	struct store *s = o->store;
	struct segment_head head;
	struct disk_file *f;
	uint64_t number, octets = 0;
	uint16_t slot;

	if (o->error || !parse_name(name, &slot, &number))
		return;
	s->last_name = MAX(s->last_name, number);
	int r = s->seam->ops->open(s->seam->disk, name, false, &f);
	if (r < 0) {
		o->unreadable = true;
		set_aside(s, name, r);
		return;
	}
	if (s->seam->ops->size(f, &octets) == 0)
		o->octets += octets;
	r = examine(s, f, slot, &head);
	struct segment *g = r == 0 ? calloc(1, sizeof(*g)) : NULL;
	if (!g) {
		s->seam->ops->close(f);
		if (r == 1)
			remember_blank(o, name);
		else if (r == 0)
			o->error = -ENOMEM;
		else {
			o->unreadable = true;
			set_aside(s, name, r);
		}
		return;
	}
	*g = (struct segment){
		.store = s, .pub = {.file = f, .head = head, .state = SEGMENT_SEALED}};
	memcpy(g->pub.name, name, strlen(name) + 1);
	list_push_back(&o->found, &g->pub.node);
}

static bool is_own(uint16_t slot)
{
	return slot == SLOT_DISPATCHER || slot == SLOT_LEDGER;
}

/* By sequence; of two with the same one, the dispatcher's own first. */
static int compare(const void *a, const void *b)
{
	const struct segment *x = *(struct segment *const *)a, *y = *(struct segment *const *)b;

	if (x->pub.head.sequence != y->pub.head.sequence)
		return x->pub.head.sequence < y->pub.head.sequence ? -1 : 1;
	return (int)is_own(y->pub.head.slot) - (int)is_own(x->pub.head.slot);
}

static int file_one(struct store *s, struct segment *g)
{
	int r = store_slot(s, g->pub.head.slot, &g->slot);

	if (r == 0)
		r = map_put_u64(s->by_sequence, g->pub.head.sequence, &g->pub);
	if (r == -EEXIST) {
		set_aside(s, g->pub.name, r);
		segment_discard(g);
		return 0;
	}
	if (r < 0) {
		segment_discard(g);
		return r;
	}
	list_push_back(&g->slot->segments, &g->pub.node);
	s->last_sequence = MAX(s->last_sequence, g->pub.head.sequence);
	return 0;
}

static int file_all(struct opening *o)
{
	struct segment **sorted = NULL;
	size_t n = 0, i = 0;
	int r = 0;

	list_foreach (node, &o->found)
		n++;
	if (n && !(sorted = malloc(n * sizeof(struct segment *))))
		return -ENOMEM;
	for (struct list *node; (node = list_pop_front(&o->found));)
		sorted[i++] = segment_of(node);
	if (n)
		qsort(sorted, n, sizeof(*sorted), compare);
	for (i = 0; i < n; i++) {
		if (r == 0)
			r = file_one(o->store, sorted[i]);
		else
			segment_discard(sorted[i]);
	}
	free(sorted);
	return r;
}

/* Sizes follow from the room there would be without the spool, so that a restart with a full spool
 * decides as the first start did. */
static int decide_sizes(struct store *s, const struct store_limits *limits, uint64_t octets)
{
	uint64_t room;
	int r = s->seam->ops->free_octets(s->seam->disk, &room);

	if (r < 0)
		return r;
	room += octets;
	s->reserve = limits->reserve;
	if (s->reserve == 0)
		s->reserve = MIN(RESERVE_MAX, MAX(RESERVE_MIN, room / RESERVE_PART));
	uint64_t size = MIN(limits->segment_size, (uint64_t)SEGMENT_SIZE_MAX);
	while (size > SEGMENT_SIZE_MIN && size > room / SIZE_FRACTION)
		size /= 2;
	size = MAX(size, (uint64_t)SEGMENT_SIZE_MIN);
	s->segment_size = size & ~(uint64_t)(SEGMENT_HEAD - 1);
	return 0;
}

int store_open(const struct seam *seam, const struct store_limits *limits,
	const struct store_ops *ops, void *arg, struct store **ret_store)
{
	struct store *s = calloc(1, sizeof(*s));
	struct opening o = {.store = s};

	if (!s)
		return -ENOMEM;
	*s = (struct store){.seam = seam, .ops = ops, .arg = arg, .by_sequence = map_new(0)};
	list_init(&s->dead);
	list_init(&s->blanks);
	list_init(&s->watches);
	list_init(&o.found);
	int r = s->by_sequence ? 0 : -ENOMEM;
	if (r == 0)
		r = seam->ops->list(seam->disk, open_one, &o);
	if (r == 0)
		r = o.error;
	if (r == 0)
		r = decide_sizes(s, limits, o.octets);
	if (r == 0)
		r = file_all(&o);
	for (struct list *n; (n = list_pop_front(&o.found));)
		segment_discard(segment_of(n));
	if (r < 0) {
		store_free(s);
		return r;
	}
	if (o.unreadable)
		s->last_sequence += SEQUENCE_SKIP;
	*ret_store = s;
	return 0;
}

static void free_segments(struct list *segments)
{
	for (struct list *n; (n = list_pop_front(segments));) {
		struct segment *g = segment_of(n);
		list_remove(&g->dead);
		/* A running operation points into it and frees it when it ends. */
		if (g->step == STEP_NONE) {
			segment_discard(g);
			continue;
		}
		g->store->seam->ops->close(TAKE(g->pub.file));
		g->store = NULL;
	}
}

void store_free(struct store *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->n_slots; i++) {
		free_segments(&s->slots[i]->segments);
		free_segments(&s->slots[i]->spares);
		free_segments(&s->slots[i]->making);
		free(s->slots[i]);
	}
	for (struct list *n; (n = list_pop_front(&s->blanks));)
		free(CONTAINER_OF(n, struct blank, node));
	for (struct list *n; (n = list_pop_front(&s->watches));)
		CONTAINER_OF(n, struct store_watch, node)->store = NULL;
	free(s->slots);
	map_free(s->by_sequence);
	free(s);
}

void store_recovered(struct store *s)
{
	s->recovered = true;
	for (struct list *n; (n = list_pop_front(&s->blanks));) {
		struct blank *b = CONTAINER_OF(n, struct blank, node);
		int r = s->seam->ops->unlink(s->seam->disk, b->name);
		if (r < 0)
			set_aside(s, b->name, r);
		free(b);
	}
	for (uint32_t i = 0; i < s->n_slots; i++)
		list_foreach_safe (n, tmp, &s->slots[i]->segments)
			supply_recycle_if_dead(segment_of(n));
	supply_all(s);
}

/* ---- looking up ---- */

static struct slot *find_slot(struct store *s, uint16_t number)
{
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->slots[i]->number == number)
			return s->slots[i];
	return NULL;
}

struct store_segment *store_next(struct store *s, uint16_t slot, struct store_segment *after)
{
	struct slot *sl = find_slot(s, slot);

	if (!sl)
		return NULL;
	struct list *n = after ? after->node.next : sl->segments.next;
	return n == &sl->segments ? NULL : CONTAINER_OF(n, struct store_segment, node);
}

bool store_next_slot(struct store *s, uint32_t *cursor, uint16_t *ret_slot)
{
	if (*cursor >= s->n_slots)
		return false;
	*ret_slot = s->slots[(*cursor)++]->number;
	return true;
}

struct store_segment *store_find(struct store *s, uint64_t sequence)
{
	struct store_segment *p = map_get_u64(s->by_sequence, sequence);

	/* Being recycled: nobody may begin to use it again. */
	if (p && CONTAINER_OF(p, struct segment, pub)->step != STEP_NONE)
		return NULL;
	return p;
}

uint64_t store_count(const struct store *s)
{
	return map_count(s->by_sequence);
}

/* ---- life ---- */

static struct segment *find(struct store *s, uint64_t sequence)
{
	struct store_segment *p = store_find(s, sequence);

	return p ? CONTAINER_OF(p, struct segment, pub) : NULL;
}

void store_claim(struct store *s, uint64_t sequence)
{
	struct segment *g = find(s, sequence);

	assert(!s->recovered);
	if (!g || g->pub.claimed)
		return;
	g->pub.state = SEGMENT_OPEN;
	g->pub.claimed = true;
	s->claimed++;
}

bool store_has_claimed(const struct store *s)
{
	return s->claimed > 0;
}

void store_known(struct store *s, const struct record_ref *commit)
{
	struct store_segment *p = store_find(s, commit->segment);

	if (p && !p->claimed)
		p->known_end = MAX(p->known_end, commit->offset + record_span(commit->length));
}

/* The head as it was written; a receiver that was taken over may have changed it, and its lies
 * would be believed at the next start. */
static void mend_head(struct store *s, struct segment *g)
{
	struct segment_head h;
	struct buf b = BUF_INIT(SEGMENT_HEAD);

	if (segment_head_read(s->seam, g->pub.file, &h) == 0 &&
		h.sequence == g->pub.head.sequence && h.slot == g->pub.head.slot &&
		h.size == g->pub.head.size &&
		memcmp(&h.generation, &g->pub.head.generation, sizeof(h.generation)) == 0)
		return;
	set_aside(s, g->pub.name, -EBADMSG);
	segment_head_encode(&g->pub.head, &b);
	struct iovec iov = {b.ptr, b.len};
	int r = b.error ? b.error : s->seam->ops->write(g->pub.file, 0, &iov, 1);
	if (r < 0)
		set_aside(s, g->pub.name, r);
	buf_done(&b);
}

void store_release(struct store *s, uint64_t sequence)
{
	struct segment *g = find(s, sequence);

	if (!g || g->pub.state != SEGMENT_OPEN)
		return;
	mend_head(s, g);
	g->pub.state = SEGMENT_SEALED;
	s->claimed -= g->pub.claimed;
	g->pub.claimed = false;
	supply_recycle_if_dead(g);
	supply_slot(s, g->slot);
}

void store_ref(struct store *s, uint64_t sequence)
{
	struct segment *g = find(s, sequence);

	/* Whoever takes a reference has just seen something alive in it. */
	assert(g && g->step == STEP_NONE);
	g->pub.live++;
	list_remove(&g->dead);
}

void store_unref(struct store *s, uint64_t sequence)
{
	struct segment *g = find(s, sequence);

	assert(g && g->pub.live > 0);
	if (--g->pub.live == 0)
		supply_recycle_if_dead(g);
}

int store_open_for_write(struct store *s, uint64_t sequence, int *ret_fd)
{
	struct segment *g = find(s, sequence);

	if (!g)
		return -ENOENT;
	if (!s->seam->ops->open_write_fd)
		return -EOPNOTSUPP;
	return s->seam->ops->open_write_fd(s->seam->disk, g->pub.name, ret_fd);
}
