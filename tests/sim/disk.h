/* The simulated disk: files in memory, each with what is durable and what is only in the page
 * cache. Every write is remembered until a sync covers it; a power loss keeps, loses or tears each
 * of them on its own (so also reorders them); a crash of processes alone keeps them all. Syncs and
 * preparations complete when the simulator says so. Faults by chance: EIO on write and sync,
 * ENOSPC. All choices come from one seed. */
#pragma once
#include "spool/seam.h"

struct sim_random {
	uint64_t state;
};
uint64_t sim_random(struct sim_random *r);
/* 0 .. n-1 */
uint64_t sim_below(struct sim_random *r, uint64_t n);
bool sim_chance(struct sim_random *r, unsigned per_mille);

struct sim_disk;
struct sim_clock {
	uint64_t monotonic, wall;
};
struct sim_disk *sim_disk_new(struct sim_random *r, uint64_t capacity);
void sim_disk_free(struct sim_disk *d);
/* A seam over this disk, one for each process; freed with sim_seam_free at the process's end, which
 * also forgets its operations that have not completed (their syncs may or may not have happened).
 */
struct seam *sim_seam_new(struct sim_disk *d, struct sim_clock *clock);
void sim_seam_free(struct seam *s);
/* Completes one pending operation, chosen by chance. false: none. */
bool sim_disk_step(struct sim_disk *d);
/* All caches meet their fate. No seam may be alive. */
void sim_disk_power_loss(struct sim_disk *d);
void sim_disk_set_faults(struct sim_disk *d, unsigned write_eio, unsigned sync_eio, bool full);
/* Flips one bit somewhere in a durable file: a disk that lies. */
void sim_disk_flip(struct sim_disk *d);
/* Operations of processes that died: nobody hears of them any more. */
void sim_disk_drop_ops(struct sim_disk *d);
uint64_t sim_disk_boot(const struct sim_disk *d);
