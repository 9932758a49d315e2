/* The simulated server and its surroundings: two receivers with their clients, the dispatcher, the
 * directory, two deliverers with their next hops, one disk, one clock. Each part is driven by steps
 * that the world chooses at random; between steps nothing moves, within one nothing interrupts but
 * death (disk.h). */
#pragma once
#include "disk.h"
#include "link.h"
#include "model.h"
#include "queue/queue.h"

#define RECEIVERS    2u
#define DELIVERERS   2u
#define SITES	     5u
#define SEGMENT_SIZE (1u << 20)
#define DISK_OCTETS  (UINT64_C(96) << 20)

/* Named in this order by sim.c. */
struct counters {
	uint64_t steps, submitted, refused;
	uint64_t crash_receiver, crash_dispatcher, crash_deliverer, crash_directory, crash_all,
		power_losses, midway; /* deaths within a step */
	uint64_t drained, copies;
	uint64_t recoveries, recovered_mails, dropped_commits;
	uint64_t sealed, retired, recycled, spanning, reclaimed;
	uint64_t resealed, moved, move_failed;
	uint64_t late_commits; /* found by rescanning what a receiver left */
	uint64_t checkpoints, ledger_errors,
		sync_errors; /* errors: turns that could not write it */
	uint64_t jobs, held, holds, drops, releases, retries, cancels, clock_steps, disk_low,
		aborted;
	uint64_t accepted, delivered, doubles, named, reports, delays, expired, flips, damage;
};
struct world {
	uint64_t seed, step;
	unsigned steps;
	struct sim_random random;
	struct sim_clock clock;
	struct sim_disk *disk;
	struct truth *truth;
	struct desk *desk; /* the dispatcher; NULL: dead */
	struct receiver *receivers[RECEIVERS];
	struct deliverer *deliverers[DELIVERERS];
	struct directory *directory;
	bool site_down[SITES];
	unsigned temper;      /* how often something dies */
	bool large;	      /* most bodies are */
	unsigned disk_weight; /* how often it answers: quick, slow, or hours behind the rest */
	bool doomed;	      /* it all ends with this step */
	bool healing;	      /* everything works from now on */
	bool shadow;	      /* a copy that is looked at: what happens here did not happen */
	bool lying;	      /* the disk flips bits */
	uint64_t serial, lives;
	struct sim_flip *flips;
	size_t n_flips;
	struct counters count;
};
struct world *world_new(uint64_t seed, unsigned steps, bool lying);
void world_free(struct world *w);
void world_run(struct world *w); /* ends by violation() if a promise is broken */
static inline uint64_t below(struct world *w, uint64_t n)
{
	return sim_below(&w->random, n);
}
static inline bool chance(struct world *w, unsigned per_mille)
{
	return sim_chance(&w->random, per_mille);
}
void *must(void *p);
/* Here it would hurt most: now and then everything dies, or the power fails, with this step. */
void world_tempt(struct world *w);
bool world_was_flipped(const struct world *w, uint64_t file, uint64_t offset, uint64_t octets);
void world_damage(struct world *w, const char *what); /* the log says so */

/* world_check.c: what can be looked at from outside at any time */
void check_counts(struct world *w);
void check_copy(struct world *w);
void check_end(struct world *w);

/* receiver.c. Steps return false when there was nothing to do. */
struct receiver *receiver_new(struct world *w, unsigned index);
void receiver_free(struct receiver *r); /* as it dies */
struct seam *receiver_seam(struct receiver *r);
void receiver_attach(struct receiver *r, struct link *l);
bool receiver_hear(struct receiver *r);
bool receiver_submit(struct receiver *r);
bool receiver_session(struct receiver *r);
bool receiver_flush(struct receiver *r);
void receiver_drain(struct receiver *r); /* an orderly end */
bool receiver_is_drained(struct receiver *r);
void receiver_after(struct receiver *r); /* the end of a turn */
bool receiver_is_quiet(const struct receiver *r);
bool receiver_has_old_lease(const struct receiver *r);

/* desk.c */
struct desk *desk_new(struct world *w);
void desk_free(struct desk *d);
struct seam *desk_seam(struct desk *d);
enum peer_kind { PEER_RECEIVER, PEER_DELIVERER, PEER_DIRECTORY };
void desk_attach(struct desk *d, enum peer_kind kind, unsigned index, struct link *l);
bool desk_hear(struct desk *d);
bool desk_turn(struct desk *d);
bool desk_recover(struct desk *d);
void desk_tick(struct desk *d);
void desk_checkpoint(struct desk *d);
bool desk_is_started(const struct desk *d);
bool desk_is_quiet(const struct desk *d);
uint64_t desk_next_due(const struct desk *d);
struct queue *desk_queue(struct desk *d);
void desk_command(struct desk *d, struct admin_request *r);
void desk_claim(struct desk *d); /* once the first peers are attached */
void desk_check_segments(struct desk *d);

/* peers.c */
struct deliverer *deliverer_new(struct world *w, unsigned index);
void deliverer_free(struct deliverer *v);
struct seam *deliverer_seam(struct deliverer *v);
void deliverer_attach(struct deliverer *v, struct link *l);
bool deliverer_hear(struct deliverer *v);
bool deliverer_step(struct deliverer *v);
bool deliverer_is_quiet(const struct deliverer *v);
struct directory *directory_new(struct world *w);
void directory_free(struct directory *d);
struct seam *directory_seam(struct directory *d);
void directory_attach(struct directory *d, struct link *l);
bool directory_hear(struct directory *d);
bool directory_answer(struct directory *d);
bool directory_is_quiet(const struct directory *d);
