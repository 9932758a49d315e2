/* What happened, for whoever must find out why: the last lines are kept and printed when something
 * that was promised does not hold. */
#pragma once
#include "base/base.h"

struct world;
extern bool trace_verbose;
void trace_begin(uint64_t seed);
void trace(const struct world *w, const char *fmt, ...) PRINTF(2, 3);
/* A hash of all lines of this seed: two runs of one seed must agree. */
uint64_t trace_hash(void);
/* Prints the seed, what does not hold and the last lines; ends the process with 1. */
NORETURN void violation(const struct world *w, const char *fmt, ...) PRINTF(2, 3);
