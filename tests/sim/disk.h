/* The simulated disk: files in memory, each twice: what the page cache holds and what is on the
 * platter. A write stays in the cache until a sync covers it; a power loss keeps, loses or tears
 * each unsynced write on its own (so also reorders them); the death of processes alone keeps them
 * all. Folder entries have the same two lives. Syncs and preparations complete when the simulator
 * says so. Faults by chance: EIO on write and sync, ENOSPC. All choices come from one seed.
 *
 * Each process has a seam of its own. A process dies at any step: sim_seam_fuse sets after how many
 * more calls; from then on it still runs to the end of the event, but nothing that it does has an
 * effect, as if it had been killed in the middle. */
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
/* A copy as a backup would take it: the page cache's view, or what a power loss now would leave.
 * No operation runs on it. */
struct sim_disk *sim_disk_copy(const struct sim_disk *d, struct sim_random *r, bool power_loss);

/* The process's view of the disk and the clock. */
struct seam *sim_seam_new(struct sim_disk *d, struct sim_clock *clock);
/* Its process has ended and its objects are freed: what still ran ends with -ECANCELED, so that
 * they can free the rest; syncs may or may not have happened. */
void sim_seam_free(struct seam *s);
void sim_seam_kill(struct seam *s); /* from now on nothing has an effect */
void sim_seam_fuse(struct seam *s, unsigned calls);
/* Every read of this process fails with EIO meanwhile. */
void sim_seam_unreadable(struct seam *s, bool on);
bool sim_seam_is_dead(const struct seam *s);
/* An effect that is not the disk's (a frame to another process): false when it must not be. */
bool sim_seam_touch(struct seam *s);

/* Completes one running operation, chosen by chance. false: none. */
bool sim_disk_step(struct sim_disk *d);
size_t sim_disk_running(const struct sim_disk *d);
/* All caches meet their fate. No operation may be running. */
void sim_disk_power_loss(struct sim_disk *d);
void sim_disk_set_faults(struct sim_disk *d, unsigned write_eio, unsigned sync_eio, bool full);
/* The same file for another process, as if its fd had been handed over. */
struct disk_file *sim_disk_share(struct disk_file *f, struct seam *other);
/* Writes into a file by somebody who had it before its last recycling. */
uint64_t sim_disk_stale_writes(const struct sim_disk *d);
uint64_t sim_disk_file_id(struct disk_file *f); /* one for each file that ever was */
/* Flips one bit of a file for good: a disk that lies. false: there was none to flip. */
struct sim_flip {
	uint64_t file, offset;
};
bool sim_disk_flip(struct sim_disk *d, struct sim_flip *ret);
