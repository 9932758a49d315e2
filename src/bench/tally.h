/* What arrived at a sink: for each run a mark for every (message, recipient), and its counts. */
#pragma once
#include "bench/histogram.h"
#include "bench/token.h"

#define TALLY_RUNS_MAX	16u
#define TALLY_PAIRS_MAX (UINT64_C(200) << 20) /* marks of one run, an octet each */

struct tally_run {
	uint64_t id, of, rcpts;
	uint8_t *marks; /* how often each pair arrived whole; MARK_DAMAGED beside it */
	uint64_t pairs; /* different pairs that arrived whole */
	uint64_t messages, doubled, damaged;
	uint64_t first_usec, last_usec; /* wall time of the first and the last arrival */
	struct histogram latency;	/* from the token's time to the arrival */
};
#define MARK_COUNT   0x7fu
#define MARK_DAMAGED 0x80u

struct tally {
	struct tally_run *runs[TALLY_RUNS_MAX];
	size_t n_runs;
	uint64_t strangers; /* messages without a token of ours, bounces for example */
};
void tally_done(struct tally *t);
struct tally_run *tally_find(const struct tally *t, uint64_t id); /* NULL: none */
/* The run that a token belongs to, made when new. NULL: no room, or a token that contradicts. */
struct tally_run *tally_run(struct tally *t, const struct token *token);
/* One more copy of the token's message, for this recipient. */
void tally_arrived(struct tally_run *run, const struct token *token, uint64_t rcpt, bool whole);
