/* What happens next is chosen at random: a step of some process, a completed disk operation, time,
 * the operator, a fault, a death. After the given number of steps everything works again and the
 * server must come to rest with an empty queue; then the truth is asked (model.c), everything dies
 * once more, and a recovered server must have nothing left to do. */
#include "world.h"

#include <inttypes.h>
#include <stdlib.h>

#define REST_STEPS 400000u
#define FUSE_MAX   60u
#define MINUTE	   (60 * USEC_PER_SEC)
#define WALL_START (UINT64_C(1767225600) * USEC_PER_SEC) /* 2026-01-01 */
#define YEAR	   (UINT64_C(31557600) * USEC_PER_SEC)

void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

void world_damage(struct world *w, const char *what)
{
	trace(w, "log: damage: %s", what);
	w->count.damage++;
}

bool world_was_flipped(const struct world *w, uint64_t file, uint64_t offset, uint64_t octets)
{
	for (size_t i = 0; i < w->n_flips; i++)
		if (w->flips[i].file == file && w->flips[i].offset >= offset &&
			w->flips[i].offset - offset < octets)
			return true;
	return false;
}

/* ---- processes come and go ---- */

static void attach(struct world *w, enum peer_kind kind, unsigned index)
{
	struct link *l;

	if (!w->desk)
		return;
	l = link_new();
	desk_attach(w->desk, kind, index, l);
	if (kind == PEER_RECEIVER)
		receiver_attach(w->receivers[index], l);
	else if (kind == PEER_DELIVERER)
		deliverer_attach(w->deliverers[index], l);
	else
		directory_attach(w->directory, l);
}

static void start_desk(struct world *w)
{
	sim_disk_set_faults(w->disk, 0, 0, false);
	w->desk = desk_new(w);
	for (unsigned i = 0; i < RECEIVERS; i++)
		if (w->receivers[i])
			attach(w, PEER_RECEIVER, i);
	for (unsigned i = 0; i < DELIVERERS; i++)
		if (w->deliverers[i])
			attach(w, PEER_DELIVERER, i);
	if (w->directory)
		attach(w, PEER_DIRECTORY, 0);
	desk_claim(w->desk);
}

/* The supervisor: one that is missing comes again. */
static void start_one(struct world *w)
{
	unsigned which = (unsigned)below(w, 2 + RECEIVERS + DELIVERERS);

	if (which == 0 && !w->desk) {
		start_desk(w);
	} else if (which == 1 && !w->directory) {
		w->directory = directory_new(w);
		attach(w, PEER_DIRECTORY, 0);
	} else if (which >= 2 && which < 2 + RECEIVERS) {
		unsigned i = which - 2;
		if (w->receivers[i])
			return;
		w->receivers[i] = receiver_new(w, i);
		attach(w, PEER_RECEIVER, i);
	} else if (which >= 2 + RECEIVERS) {
		unsigned i = which - 2 - RECEIVERS;
		if (w->deliverers[i])
			return;
		w->deliverers[i] = deliverer_new(w, i);
		attach(w, PEER_DELIVERER, i);
	}
}

static void kill_receiver(struct world *w, unsigned i)
{
	trace(w, "receiver %u dies", i);
	w->count.crash_receiver++;
	receiver_free(TAKE(w->receivers[i]));
}

static void kill_desk(struct world *w)
{
	trace(w, "the dispatcher dies");
	w->count.crash_dispatcher++;
	desk_free(TAKE(w->desk));
}

static void kill_deliverer(struct world *w, unsigned i)
{
	trace(w, "deliverer %u dies", i);
	w->count.crash_deliverer++;
	deliverer_free(TAKE(w->deliverers[i]));
}

static void kill_all(struct world *w)
{
	receiver_free(TAKE(w->receivers[0]));
	receiver_free(TAKE(w->receivers[1]));
	desk_free(TAKE(w->desk));
	deliverer_free(TAKE(w->deliverers[0]));
	deliverer_free(TAKE(w->deliverers[1]));
	directory_free(TAKE(w->directory));
}

static void power_loss(struct world *w)
{
	kill_all(w);
	sim_disk_power_loss(w->disk);
	w->clock.monotonic = 1 + below(w, 100 * USEC_PER_SEC);
	w->clock.wall += below(w, 100 * USEC_PER_SEC);
}

void world_tempt(struct world *w)
{
	if (!w->healing && !w->shadow && w->temper && chance(w, 10))
		w->doomed = true;
}

static void doom(struct world *w)
{
	w->doomed = false;
	if (chance(w, 250)) {
		trace(w, "everything dies");
		w->count.crash_all++;
		kill_all(w);
	} else {
		trace(w, "the power fails");
		w->count.power_losses++;
		power_loss(w);
	}
}

/* Those that died within the last step. */
static void bury(struct world *w)
{
	for (unsigned i = 0; i < RECEIVERS; i++)
		if (w->receivers[i] && sim_seam_is_dead(receiver_seam(w->receivers[i]))) {
			w->count.midway++;
			kill_receiver(w, i);
		} else if (w->receivers[i]) {
			receiver_after(w->receivers[i]);
			if (!receiver_is_drained(w->receivers[i]))
				continue;
			w->count.drained++;
			trace(w, "receiver %u ends", i);
			receiver_free(TAKE(w->receivers[i]));
		}
	for (unsigned i = 0; i < DELIVERERS; i++)
		if (w->deliverers[i] && sim_seam_is_dead(deliverer_seam(w->deliverers[i]))) {
			w->count.midway++;
			kill_deliverer(w, i);
		}
	if (w->desk && sim_seam_is_dead(desk_seam(w->desk))) {
		w->count.midway++;
		kill_desk(w);
	}
}

/* At once, or somewhere within what it does next. */
static bool at_once(struct world *w, struct seam *s)
{
	if (chance(w, 300))
		return true;
	sim_seam_fuse(s, 1 + (unsigned)below(w, FUSE_MAX));
	return false;
}

static void crash(struct world *w)
{
	unsigned kind = (unsigned)below(w, 100), i = (unsigned)below(w, 2);

	if (kind < 25) {
		if (w->receivers[i] && at_once(w, receiver_seam(w->receivers[i])))
			kill_receiver(w, i);
	} else if (kind < 60) {
		if (w->desk && at_once(w, desk_seam(w->desk)))
			kill_desk(w);
	} else if (kind < 85) {
		if (w->deliverers[i] && at_once(w, deliverer_seam(w->deliverers[i])))
			kill_deliverer(w, i);
	} else if (kind < 90) {
		trace(w, "the directory dies");
		w->count.crash_directory += w->directory != NULL;
		directory_free(TAKE(w->directory));
	} else if (kind < 93) {
		trace(w, "everything dies");
		w->count.crash_all++;
		kill_all(w);
	} else {
		trace(w, "the power fails");
		w->count.power_losses++;
		power_loss(w);
	}
}

/* ---- time ---- */

/* Processes are quick beside minutes: what is on its way arrives before a long time passes. */
static void settle(struct world *w)
{
	bool any = true;

	for (unsigned n = 0; any && n < 5000; n++) {
		any = sim_disk_step(w->disk);
		for (unsigned i = 0; i < RECEIVERS; i++)
			if (w->receivers[i]) {
				any = receiver_hear(w->receivers[i]) || any;
				any = receiver_flush(w->receivers[i]) || any;
			}
		bury(w);
	}
}

static void pass(struct world *w, uint64_t usec)
{
	w->clock.monotonic += usec;
	w->clock.wall += usec;
}

static uint64_t until_due(struct world *w)
{
	uint64_t due = w->desk ? desk_next_due(w->desk) : USEC_INFINITY, now = w->clock.monotonic;

	return due == USEC_INFINITY ? USEC_PER_SEC : due > now ? due - now : 0;
}

static void time_passes(struct world *w)
{
	switch (below(w, 20)) {
	case 0: /* somebody sets the clock */
		w->count.clock_steps++;
		if (chance(w, 500))
			w->clock.wall += below(w, chance(w, 300) ? 5 * YEAR : 60 * MINUTE);
		else
			w->clock.wall -= below(w, chance(w, 300) ? 5 * YEAR : 60 * MINUTE);
		trace(w, "the wall clock is set");
		return;
	case 1:
		settle(w);
		pass(w, below(w, 5 * 60 * MINUTE));
		return;
	case 2:
	case 3:
	case 4:
		settle(w);
		pass(w, until_due(w) + below(w, MINUTE));
		return;
	default:
		pass(w, below(w, 200 * USEC_PER_MSEC));
		return;
	}
}

/* ---- the operator ---- */

static void operate(struct world *w)
{
	static const enum admin_verb verbs[] = {ADMIN_QUEUE_HOLD, ADMIN_QUEUE_RELEASE,
		ADMIN_QUEUE_RELEASE, ADMIN_QUEUE_RETRY, ADMIN_QUEUE_RETRY, ADMIN_QUEUE_DROP};
	struct admin_request r = {.verb = verbs[below(w, ARRAY_LEN(verbs))]};
	struct truth_mail *m = w->truth->mails;
	uint64_t id;

	if (!w->desk || !desk_is_started(w->desk) || !m)
		return;
	for (uint64_t n = below(w, 30); n > 0 && m->next; n--)
		m = m->next;
	id = m->id;
	if (chance(w, 300) && r.verb != ADMIN_QUEUE_DROP && r.verb != ADMIN_QUEUE_HOLD) {
		r.all = true;
	} else {
		r.ids = &id;
		r.n_ids = 1;
	}
	if (r.verb == ADMIN_QUEUE_RELEASE && chance(w, 500))
		r.via = SPAN_LIT("smtp://127.0.0.1:25");
	m->dropped = m->dropped || r.verb == ADMIN_QUEUE_DROP;
	w->count.holds += r.verb == ADMIN_QUEUE_HOLD;
	w->count.drops += r.verb == ADMIN_QUEUE_DROP;
	w->count.releases += r.verb == ADMIN_QUEUE_RELEASE;
	w->count.retries += r.verb == ADMIN_QUEUE_RETRY;
	desk_command(w->desk, &r);
}

static void release_all(struct world *w)
{
	struct admin_request r = {.verb = ADMIN_QUEUE_RELEASE, .all = true};
	struct admin_request drop = {.verb = ADMIN_QUEUE_DROP, .n_ids = 1};

	if (!w->desk || !desk_is_started(w->desk))
		return;
	desk_command(w->desk, &r);
	/* What is damaged would be held again. */
	for (struct truth_mail *m = w->truth->mails; m; m = m->next) {
		if (!m->damaged)
			continue;
		m->dropped = true;
		drop.ids = &m->id;
		desk_command(w->desk, &drop);
	}
}

/* ---- faults ---- */

static void faults(struct world *w)
{
	bool on = chance(w, 400);
	unsigned write_eio = on && chance(w, 400) ? (unsigned)below(w, 100) : 0;
	unsigned sync_eio = on && chance(w, 600) ? (unsigned)below(w, 300) : 0;
	bool full = on && chance(w, 300);

	trace(w, "faults: write %u, sync %u, %s", write_eio, sync_eio, full ? "full" : "room");
	/* An error when recovery makes sure of what it relies on, and a power loss after it, is
	 * beyond what a log on one disk can promise. */
	if (!w->desk || !desk_is_started(w->desk))
		sync_eio = 0;
	sim_disk_set_faults(w->disk, write_eio, sync_eio, full);
}

static void flip(struct world *w)
{
	struct sim_flip f;

	if (!w->lying || w->healing || !sim_disk_flip(w->disk, &f))
		return;
	w->flips = must(realloc(w->flips, (w->n_flips + 1) * sizeof(*w->flips)));
	w->flips[w->n_flips++] = f;
	w->count.flips++;
	trace(w, "the disk flips a bit of file %" PRIu64 " at %" PRIu64, f.file, f.offset);
}

static void sites(struct world *w)
{
	unsigned i = (unsigned)below(w, SITES);

	w->site_down[i] = !w->site_down[i] && chance(w, 600);
}

/* ---- steps ---- */

enum event {
	EVENT_SUBMIT,
	EVENT_SESSION,
	EVENT_FLUSH,
	EVENT_RECEIVER_HEARS,
	EVENT_DISK,
	EVENT_DESK_HEARS,
	EVENT_TURN,
	EVENT_RECOVER,
	EVENT_DELIVERER_HEARS,
	EVENT_DELIVERER_STEP,
	EVENT_DIRECTORY_HEARS,
	EVENT_DIRECTORY_ANSWERS,
	EVENT_TICK,
	EVENT_START,
	EVENT_TIME,
	/* not when everything works */
	EVENT_OPERATOR,
	EVENT_CHECKPOINT,
	EVENT_CRASH,
	EVENT_FAULTS,
	EVENT_FLIP,
	EVENT_SITES,
	EVENT_DRAIN,
	EVENT_COUNTS,
	EVENT_COPY,
	EVENTS,
};
static const unsigned weights[EVENTS] = {
	[EVENT_SUBMIT] = 30,
	[EVENT_SESSION] = 110,
	[EVENT_FLUSH] = 60,
	[EVENT_RECEIVER_HEARS] = 60,
	[EVENT_DESK_HEARS] = 160,
	[EVENT_TURN] = 120,
	[EVENT_RECOVER] = 100,
	[EVENT_DELIVERER_HEARS] = 80,
	[EVENT_DELIVERER_STEP] = 120,
	[EVENT_DIRECTORY_HEARS] = 60,
	[EVENT_DIRECTORY_ANSWERS] = 60,
	[EVENT_TICK] = 10,
	[EVENT_START] = 60,
	[EVENT_TIME] = 20,
	[EVENT_OPERATOR] = 6,
	[EVENT_CHECKPOINT] = 4,
	[EVENT_FLIP] = 6,
	[EVENT_SITES] = 3,
	[EVENT_DRAIN] = 1,
	[EVENT_COUNTS] = 1,
	[EVENT_COPY] = 1,
};

static bool step_receiver(struct world *w, enum event e)
{
	struct receiver *r = w->receivers[below(w, RECEIVERS)];

	if (!r)
		return false;
	switch (e) {
	case EVENT_SUBMIT:
		return !w->healing && receiver_submit(r);
	case EVENT_SESSION:
		return receiver_session(r);
	case EVENT_FLUSH:
		return receiver_flush(r);
	default:
		return receiver_hear(r);
	}
}

/* Now and then a sector cannot be read at the moment. Only what a running dispatcher reads of a
 * notice: elsewhere that is damage, and told so. */
static bool step_desk_hears(struct world *w)
{
	bool any = false;

	if (!w->desk)
		return false;
	sim_seam_unreadable(
		desk_seam(w->desk), !w->healing && desk_is_started(w->desk) && chance(w, 2));
	any = desk_hear(w->desk);
	sim_seam_unreadable(desk_seam(w->desk), false);
	return any;
}

static bool step_others(struct world *w, enum event e)
{
	struct deliverer *v = w->deliverers[below(w, DELIVERERS)];

	switch (e) {
	case EVENT_DISK:
		return sim_disk_step(w->disk);
	case EVENT_DESK_HEARS:
		return step_desk_hears(w);
	case EVENT_TURN:
		return w->desk && desk_turn(w->desk);
	case EVENT_RECOVER:
		return w->desk && desk_recover(w->desk);
	case EVENT_DELIVERER_HEARS:
		return v && deliverer_hear(v);
	case EVENT_DELIVERER_STEP:
		return v && deliverer_step(v);
	case EVENT_DIRECTORY_HEARS:
		return w->directory && directory_hear(w->directory);
	default:
		return w->directory && directory_answer(w->directory);
	}
}

static void step_outside(struct world *w, enum event e)
{
	switch (e) {
	case EVENT_TICK:
		if (w->desk)
			desk_tick(w->desk);
		break;
	case EVENT_START:
		start_one(w);
		break;
	case EVENT_TIME:
		time_passes(w);
		break;
	case EVENT_OPERATOR:
		operate(w);
		break;
	case EVENT_CHECKPOINT:
		if (w->desk)
			desk_checkpoint(w->desk);
		break;
	case EVENT_CRASH:
		crash(w);
		break;
	case EVENT_FAULTS:
		faults(w);
		break;
	case EVENT_FLIP:
		flip(w);
		break;
	case EVENT_SITES:
		sites(w);
		break;
	case EVENT_DRAIN:
		if (w->receivers[0])
			receiver_drain(w->receivers[0]);
		break;
	case EVENT_COPY:
		if (chance(w, 150))
			check_copy(w);
		break;
	default:
		check_counts(w);
		break;
	}
}

/* Some seeds are calm, so that segments fill up and mail gets old; some are wild. */
static unsigned weight(const struct world *w, unsigned e)
{
	if (e == EVENT_CRASH)
		return w->temper * 3;
	if (e == EVENT_FAULTS)
		return 1 + w->temper;
	if (e == EVENT_DISK)
		return w->disk_weight;
	return weights[e];
}

static enum event choose(struct world *w, enum event end)
{
	unsigned total = 0;

	for (unsigned e = 0; e < end; e++)
		total += weight(w, e);
	uint64_t pick = below(w, total);
	for (unsigned e = 0; e < end; e++) {
		if (pick < weight(w, e))
			return (enum event)e;
		pick -= weight(w, e);
	}
	return EVENT_DISK;
}

static void step(struct world *w, enum event end)
{
	enum event e = choose(w, end);

	w->step++;
	w->count.steps++;
	pass(w, 1 + below(w, 200));
	if (e <= EVENT_RECEIVER_HEARS)
		(void)step_receiver(w, e);
	else if (e <= EVENT_DIRECTORY_ANSWERS)
		(void)step_others(w, e);
	else
		step_outside(w, e);
	bury(w);
	if (w->doomed)
		doom(w);
	if (sim_disk_stale_writes(w->disk))
		violation(w, "a segment is written by somebody who had it before it was recycled");
}

/* ---- the end ---- */

static bool is_quiet(const struct world *w)
{
	if (!w->desk || !w->directory || !desk_is_quiet(w->desk) ||
		!directory_is_quiet(w->directory) || sim_disk_running(w->disk))
		return false;
	for (unsigned i = 0; i < RECEIVERS; i++)
		if (!w->receivers[i] || !receiver_is_quiet(w->receivers[i]))
			return false;
	for (unsigned i = 0; i < DELIVERERS; i++)
		if (!w->deliverers[i] || !deliverer_is_quiet(w->deliverers[i]))
			return false;
	return true;
}

static void heal(struct world *w)
{
	trace(w, "from now on everything works");
	w->healing = true;
	sim_disk_set_faults(w->disk, 0, 0, false);
	for (unsigned i = 0; i < RECEIVERS; i++)
		if (w->receivers[i])
			sim_seam_fuse(receiver_seam(w->receivers[i]), 0);
	for (unsigned i = 0; i < DELIVERERS; i++)
		if (w->deliverers[i])
			sim_seam_fuse(deliverer_seam(w->deliverers[i]), 0);
	if (w->desk)
		sim_seam_fuse(desk_seam(w->desk), 0);
}

/* Until nothing is left to do. */
static void rest(struct world *w)
{
	uint64_t quiet = 0;

	for (unsigned n = 0; n < REST_STEPS; n++) {
		step(w, EVENT_TIME);
		if (!is_quiet(w))
			continue;
		if (queue_counts(desk_queue(w->desk)).messages == 0 && ++quiet > 2)
			return;
		release_all(w);
		pass(w, until_due(w));
		desk_tick(w->desk);
	}
	violation(w, "no end: %" PRIu64 " messages are still in the queue",
		w->desk ? queue_counts(desk_queue(w->desk)).messages : 0);
}

void world_run(struct world *w)
{
	for (unsigned i = 0; i < w->steps; i++)
		step(w, EVENTS);
	heal(w);
	rest(w);
	check_end(w);
	/* And nothing comes back from the dead. */
	uint64_t delivered = w->truth->delivered;
	if (chance(w, 500))
		kill_all(w);
	else
		power_loss(w);
	trace(w, "and once more from the start");
	while (!w->desk)
		start_one(w);
	while (w->desk && !desk_is_started(w->desk))
		step(w, EVENT_TIME);
	if (!w->lying && queue_counts(desk_queue(w->desk)).messages)
		violation(w, "%" PRIu64 " messages are back after all was done",
			queue_counts(desk_queue(w->desk)).messages);
	rest(w);
	if (!w->lying && w->truth->delivered != delivered)
		violation(w, "something was delivered after all was done");
}

/* ---- life ---- */

struct world *world_new(uint64_t seed, unsigned steps, bool lying)
{
	struct world *w = must(calloc(1, sizeof(*w)));

	trace_begin(seed);
	w->seed = seed;
	w->steps = steps;
	w->lying = lying;
	w->random.state = seed * UINT64_C(0x9e3779b97f4a7c15) + lying;
	w->temper = (unsigned)below(w, 4);
	w->large = chance(w, 400);
	w->disk_weight = chance(w, 600) ? 160 : chance(w, 700) ? 50 : 12;
	w->clock = (struct sim_clock){100 * USEC_PER_SEC, WALL_START};
	w->disk = sim_disk_new(&w->random, DISK_OCTETS);
	w->truth = truth_new(w);
	return w;
}

void world_free(struct world *w)
{
	const struct truth *t = w->truth;

	(void)t;
	kill_all(w);
	truth_free(w->truth);
	sim_disk_free(w->disk);
	free(w->flips);
	free(w);
}
