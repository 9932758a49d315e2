/* A disk in memory for this room's tests: files with what is in the cache and what is durable. A
 * power loss keeps or loses every unsynced 512-octet sector by the coin of a seed, so that writes
 * are lost, torn and reordered; a kill of processes keeps the cache. Operations end only in
 * fake_run, one by one, as the loop of a process would. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/buf.h"
#include "base/list.h"
#include "spool/seam.h"

struct fake_op;
struct fake {
	struct seam seam;
	struct list files;
	struct list ops;
	uint64_t room; /* octets of the disk that files may take together */
	uint64_t random, now;
	/* Faults: the error, and how many calls work before it comes (each time after). */
	int write_error, sync_error;
	unsigned writes_before, syncs_before;
	/* Octets of files that cannot be read: offsets of every file, in blocks of 4 KiB. */
	uint64_t bad_from, bad_to;
	unsigned syncs; /* counted */
};
void fake_init(struct fake *f, uint64_t room, uint64_t seed);
void fake_done(struct fake *f);
/* Ends operations until none is left. */
void fake_run(struct fake *f);
/* Ends one; false: there was none. */
bool fake_step(struct fake *f);
/* All that runs is dead: free its objects, then fake_settle. */
void fake_power_loss(struct fake *f);
void fake_kill(struct fake *f);
void fake_settle(struct fake *f); /* ends what was left behind, without effect */
/* The file's octets as a reader sees them, or NULL. */
uint8_t *fake_octets(struct fake *f, const char *name, uint64_t *ret_size);
/* Changes octets in cache and on disk. */
void fake_poke(struct fake *f, const char *name, uint64_t offset, const void *ptr, size_t len);
void fake_flip(struct fake *f, const char *name, uint64_t offset);
unsigned fake_count(struct fake *f);
uint64_t fake_random(struct fake *f);

static inline void want_u64(const char *what, uint64_t want, uint64_t got)
{
	if (want != got)
		fail_msg("%s: want %llu, got %llu", what, (unsigned long long)want,
			(unsigned long long)got);
}
static inline void want_int(const char *what, int want, int got)
{
	if (want != got)
		fail_msg("%s: want %d, got %d", what, want, got);
}
