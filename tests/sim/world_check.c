/* What can be looked at from outside at any time: the queue's own counts, what a recovery from a
 * copy of the disk would find, and at the end everything. */
#include "world.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct row_sum {
	uint64_t messages, held;
};

static void each_row(void *arg, const struct queue_row *row)
{
	struct row_sum *sum = arg;

	sum->messages++;
	sum->held += row->held;
}

void check_counts(struct world *w)
{
	const struct admin_request all = {.verb = ADMIN_QUEUE_LIST, .all = true};
	struct row_sum sum = {0};
	uint64_t cursor = 0;

	if (!w->desk || !desk_is_started(w->desk))
		return;
	while (queue_list(desk_queue(w->desk), &all, &cursor, 7, each_row, &sum))
		;
	struct queue_counts c = queue_counts(desk_queue(w->desk));
	if (sum.messages != c.messages)
		violation(w, "the queue counts %" PRIu64 " messages and lists %" PRIu64, c.messages,
			sum.messages);
	if (c.ready + c.deferred + c.held + c.in_flight > c.recipients)
		violation(w, "the queue's counts do not add up");
}

/* ---- a copy of the disk, taken now ---- */

struct known {
	struct world *w;
	struct map *ids;
};

static void know_row(void *arg, const struct queue_row *row)
{
	struct known *k = arg;

	if (map_put_u64(k->ids, row->id, k) < 0)
		violation(k->w, "the copy lists message %" PRIx64 " twice", row->id);
}

static struct desk *recover_copy(struct world *shadow)
{
	struct desk *d = desk_new(shadow);

	for (unsigned n = 0; !desk_is_started(d); n++) {
		(void)desk_recover(d);
		(void)sim_disk_step(shadow->disk);
		if (n > 1000000)
			violation(shadow, "a copy is never recovered");
	}
	return d;
}

/* The copy may count a report as written of which this life does not know yet. */
static bool is_told_of(const struct known *k, const struct truth_mail *m, const char *name)
{
	for (const struct truth_mail *r = k->w->truth->mails; r; r = r->next) {
		if (!r->is_report || r->is_delay || r->parent != m->id ||
			!map_get_u64(k->ids, r->id))
			continue;
		for (unsigned i = 0; i < r->n_about; i++)
			if (strcmp(r->about[i], name) == 0)
				return true;
	}
	return false;
}

/* An alias that failed before it was followed is told of by its own name, for its children too;
 * several of the envelope's recipients may stand for one address (as in model.c's settled). */
static bool is_reported(const struct known *k, const struct truth_mail *m, const char *name)
{
	for (unsigned i = 0; i < m->n_addresses; i++) {
		const struct truth_address *a = &m->addresses[i];
		if (strcmp(a->name, name) != 0)
			continue;
		if (is_told_of(k, m, a->name) ||
			(a->parent >= 0 && is_told_of(k, m, m->addresses[a->parent].name)))
			return true;
	}
	return false;
}

/* Whatever happens now, nobody with a 250 is forgotten: the machine may be killed or lose power at
 * this very moment, or this is a backup. */
void check_copy(struct world *w)
{
	const struct admin_request all = {.verb = ADMIN_QUEUE_LIST, .all = true};
	struct world shadow = {.seed = w->seed,
		.step = w->step,
		.steps = w->steps,
		.random = {sim_random(&w->random)},
		.clock = w->clock,
		.truth = w->truth,
		.healing = true,
		.lying = w->lying,
		.shadow = true};
	struct known k = {.w = w, .ids = must(map_new(1))};
	const char *address;
	uint64_t cursor = 0;

	shadow.disk = sim_disk_copy(w->disk, &shadow.random, chance(w, 500));
	shadow.desk = recover_copy(&shadow);
	while (queue_list(desk_queue(shadow.desk), &all, &cursor, 100, know_row, &k))
		;
	for (struct truth_mail *m = w->truth->mails; m && !w->lying; m = m->next)
		if (!m->dropped && truth_is_open(w->truth, m, &address) &&
			!map_get_u64(k.ids, m->id) && !is_reported(&k, m, address))
			violation(w, "a copy taken now does not know message %" PRIx64 " for <%s>",
				m->id, address);
	map_free(k.ids);
	desk_free(shadow.desk);
	sim_disk_free(shadow.disk);
	w->count.copies++;
}

/* ---- the end ---- */

/* Lost is what no log speaks of. */
void check_end(struct world *w)
{
	const char *address;

	if (!w->lying) {
		truth_check_end(w->truth);
		desk_check_segments(w->desk);
		return;
	}
	for (struct truth_mail *m = w->truth->mails; m; m = m->next)
		if (truth_is_open(w->truth, m, &address) && !w->count.damage)
			violation(w, "message %" PRIx64 " is lost and no damage was told", m->id);
}
