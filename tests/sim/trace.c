/* See trace.h. One ring for the process: seeds run one after another. */
#include "trace.h"
#include "world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES 250u
#define WIDTH 200u

bool trace_verbose;
static char ring[LINES][WIDTH];
static uint64_t n_lines, hash, seed_of_run;

void trace_begin(uint64_t seed)
{
	n_lines = 0;
	hash = UINT64_C(0xcbf29ce484222325);
	seed_of_run = seed;
}

uint64_t trace_hash(void)
{
	return hash;
}

void trace(const struct world *w, const char *fmt, ...)
{
	char *line = ring[n_lines++ % LINES];
	int at = snprintf(line, WIDTH, "%" PRIu64 " %" PRIu64 ".%06" PRIu64 " ", w->step,
		w->clock.monotonic / USEC_PER_SEC, w->clock.monotonic % USEC_PER_SEC);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line + at, WIDTH - (size_t)at, fmt, ap);
	va_end(ap);
	for (const char *c = line; *c; c++)
		hash = (hash ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
	if (trace_verbose)
		(void)puts(line);
}

void violation(const struct world *w, const char *fmt, ...)
{
	va_list ap;

	(void)fflush(stdout);
	for (uint64_t i = n_lines > LINES ? n_lines - LINES : 0; i < n_lines && !trace_verbose; i++)
		(void)fprintf(stderr, "%s\n", ring[i % LINES]);
	(void)fprintf(stderr, "seed %" PRIu64 ", step %" PRIu64 ": ", seed_of_run, w->step);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "\nagain: sim --seed %" PRIu64 "%s --steps %u --verbose\n",
		seed_of_run, w->lying ? " --lying-disk" : "", w->steps);
	exit(1);
}
