/* See compact.h. Two phases take turns: a survey walks over all live messages, a slice a call, and
 * counts what lives in the segments that it suspects of being nearly dead; then their messages are
 * moved one after another, within a budget of octets a second.
 *
 * A suspect is a sealed segment without damage that a survey found alive a pause ago already:
 * most mail is gone by then, and what is left is deferred or held. It is emptied if the survey saw
 * every one of its references, none of them in flight, and their octets together are a small part
 * of it. A large message that spans segments counts in full for each, so that copying is never
 * dearer than what it frees. The dispatcher's own segments are suspects like the others: copies of
 * copies, as the rest dies.
 *
 * The move (move.c) itself: chunks as the budget allows, then the COMMIT, then the wait. */
#include "spool/compact.h"

#include "spool/move.h"
#include <stdlib.h>

#define SUSPECTS_MAX	 16u
#define SUSPECT_LIVE_MAX 4096u /* messages; more are not nearly dead, whatever their size */
#define WALK_SLICE	 5000u
#define STALL_USEC	 (30 * UINT64_C(1000000)) /* without a segment to write to */

struct item {
	uint64_t id;
	struct record_ref commit;
};
struct suspect {
	uint64_t sequence, octets;
	struct item *items;
	uint32_t n, cap, next;
	bool busy;
};
enum phase { PHASE_WAIT, PHASE_SURVEY, PHASE_MOVE };
struct compactor {
	const struct seam *seam;
	struct store *store;
	struct writer *writer;
	const struct compact_ops *ops;
	void *arg;
	enum phase phase;
	uint64_t pause, next_survey, cursor, second, stalled_since;
	uint64_t allowance; /* octets that may be copied in this second */
	struct suspect suspects[SUSPECTS_MAX];
	unsigned n_suspects, at;
	struct move *move;
	struct compact_counts counts;
};

int compact_new(const struct seam *seam, struct store *store, struct writer *writer,
	const struct compact_ops *ops, void *arg, struct compactor **ret_compactor)
{
	struct compactor *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->seam = seam;
	c->store = store;
	c->writer = writer;
	c->ops = ops;
	c->arg = arg;
	*ret_compactor = c;
	return 0;
}

static void suspects_free(struct compactor *c)
{
	for (unsigned i = 0; i < c->n_suspects; i++)
		free(c->suspects[i].items);
	c->n_suspects = c->at = 0;
}

void compact_free(struct compactor *c)
{
	if (!c)
		return;
	move_free(c->move);
	suspects_free(c);
	free(c);
}

const struct compact_counts *compact_counts(const struct compactor *c)
{
	return &c->counts;
}

bool compact_is_committing(const struct compactor *c)
{
	return c->move && move_is_committing(c->move);
}

void compact_retired(struct compactor *c, uint64_t sequence)
{
	if (c->move)
		move_retired(c->move, sequence);
}

/* ---- the survey ---- */

static void suspect_segments(struct compactor *c, uint16_t slot, uint64_t now)
{
	for (struct store_segment *s = NULL; (s = store_next(c->store, slot, s));) {
		if (s->state != SEGMENT_SEALED || s->live == 0 || s->live > SUSPECT_LIVE_MAX ||
			s->damaged)
			continue;
		if (s->look_usec == 0)
			s->look_usec = now + c->pause;
		if (s->look_usec > now || c->n_suspects == SUSPECTS_MAX)
			continue;
		c->suspects[c->n_suspects++] = (struct suspect){.sequence = s->head.sequence};
	}
}

static void survey_begin(struct compactor *c, uint64_t now)
{
	uint32_t cursor = 0;
	uint16_t slot;

	c->next_survey = now + c->pause;
	suspects_free(c);
	while (store_next_slot(c->store, &cursor, &slot))
		if (slot != SLOT_LEDGER)
			suspect_segments(c, slot, now);
	if (!c->n_suspects)
		return;
	c->counts.surveys++;
	c->cursor = 0;
	c->phase = PHASE_SURVEY;
}

static void suspect_add(struct suspect *u, const struct item *item, uint64_t size, bool idle)
{
	u->busy = u->busy || !idle;
	u->octets += size;
	if (u->n == u->cap) {
		uint32_t cap = u->cap ? u->cap * 2 : 16;
		struct item *more = realloc(u->items, cap * sizeof(*more));
		if (!more) {
			u->busy = true;
			return;
		}
		u->items = more;
		u->cap = cap;
	}
	u->items[u->n++] = *item;
}

void compact_see(struct compactor *c, uint64_t id, const struct record_ref *commit, uint64_t size,
	bool idle, const uint64_t *segments, uint32_t n)
{
	const struct item item = {id, *commit};

	for (uint32_t i = 0; i < n; i++)
		for (unsigned k = 0; k < c->n_suspects; k++)
			if (c->suspects[k].sequence == segments[i] &&
				c->suspects[k].n <= SUSPECT_LIVE_MAX)
				suspect_add(&c->suspects[k], &item, size + commit->length, idle);
}

static bool is_worth_it(const struct compactor *c, const struct suspect *u, uint64_t now)
{
	struct store_segment *s = store_find(c->store, u->sequence);

	if (!s || s->state != SEGMENT_SEALED || s->damaged || s->live == 0)
		return false;
	bool stays = !u->busy && u->n == s->live;
	s->look_usec = now + (stays ? c->pause * COMPACT_LATER : c->pause);
	return stays && u->octets <= s->head.size / COMPACT_PART;
}

static void survey_end(struct compactor *c, uint64_t now)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < c->n_suspects; i++) {
		if (is_worth_it(c, &c->suspects[i], now))
			c->suspects[kept++] = c->suspects[i];
		else
			free(c->suspects[i].items);
	}
	c->n_suspects = kept;
	c->at = 0;
	c->counts.segments += kept;
	c->phase = kept ? PHASE_MOVE : PHASE_WAIT;
}

/* ---- moving ---- */

/* Whether it came to be used or not, the copy's COMMIT belongs to a message that the queue knows.
 */
static void move_end(struct compactor *c, int result)
{
	struct record_ref to;
	struct move *m = c->move;

	c->move = NULL;
	if (move_commit_ref(m, &to)) {
		if (result == 0)
			result = c->ops->copied(c->arg, move_from(m), &to, move_message(m));
		store_known(c->store, &to);
	}
	if (result == 0) {
		c->counts.messages++;
		c->counts.octets += move_message(m)->size;
	} else {
		c->counts.failed++;
	}
	if (result == -EBADMSG && c->ops->damage) {
		struct store_segment *s = store_find(c->store, move_from(m)->segment);
		if (s) {
			s->damaged = true;
			c->ops->damage(c->arg, s, move_from(m)->offset);
		}
	}
	move_free(m);
}

static void on_durable(void *arg)
{
	struct compactor *c = arg;

	c->ops->wake(c->arg);
}

/* The next message that is still where the survey saw it. */
static bool move_next(struct compactor *c)
{
	while (c->at < c->n_suspects) {
		struct suspect *u = &c->suspects[c->at];
		if (u->next == u->n) {
			c->at++;
			continue;
		}
		const struct item *item = &u->items[u->next++];
		if (!c->ops->is_idle(c->arg, item->id, &item->commit))
			continue;
		int r = move_new(c->seam, c->store, c->writer, item->id, &item->commit, on_durable,
			c, &c->move);
		if (r == 0)
			return true;
		c->counts.failed++;
	}
	return false;
}

static bool is_stalled(struct compactor *c, uint64_t now)
{
	if (!c->stalled_since)
		c->stalled_since = now;
	return now - c->stalled_since > STALL_USEC;
}

/* One step; false: not now. */
static bool move_some(struct compactor *c, uint64_t now)
{
	uint64_t octets = 0;

	if (!c->move && !move_next(c)) {
		c->phase = PHASE_WAIT;
		suspects_free(c);
		return false;
	}
	int r = move_step(c->move, &octets);
	c->allowance -= MIN(c->allowance, octets);
	if (r == -EINPROGRESS)
		return false; /* on_durable */
	if (r == -ENOSPC && !is_stalled(c, now))
		return false; /* until our writer gets a segment */
	c->stalled_since = 0;
	if (r <= 0)
		move_end(c, r);
	return true;
}

void compact_run(struct compactor *c, uint64_t now_usec, uint64_t pause_usec)
{
	uint64_t second = now_usec / 1000000;

	c->pause = pause_usec;
	if (second != c->second) {
		c->second = second;
		c->allowance = COMPACT_OCTETS_A_SECOND;
	}
	if (c->phase == PHASE_WAIT && c->pause && now_usec >= c->next_survey)
		survey_begin(c, now_usec);
	if (c->phase == PHASE_SURVEY && !c->ops->walk(c->arg, &c->cursor, WALK_SLICE))
		survey_end(c, now_usec);
	/* A copy on its way is ended whatever the budget says. */
	while (c->phase == PHASE_MOVE && (c->allowance > 0 || compact_is_committing(c)))
		if (!move_some(c, now_usec))
			break;
}
