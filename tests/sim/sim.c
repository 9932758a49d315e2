/* The simulator: many seeds, each a life of a small server in seconds of real time. It ends with 1
 * at the first promise that does not hold, with the last steps before it; docs/simulator.md says
 * how to read them. */
#include "world.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define STEPS 10000u

struct options {
	uint64_t from, count;
	unsigned steps;
	bool lying, hash, coverage;
};

static uint64_t number(const char *s)
{
	uint64_t v;

	if (!s || span_to_u64(span_str(s), UINT64_MAX, &v) < 0) {
		(void)fprintf(stderr, "sim: a number is expected\n");
		exit(2);
	}
	return v;
}

static struct options parse(int argc, char **argv)
{
	struct options o = {.from = 1, .count = 100, .steps = STEPS};

	for (int i = 1; i < argc; i++) {
		struct span a = span_str(argv[i]);
		const char *next = i + 1 < argc ? argv[i + 1] : NULL;
		if (span_equal(a, SPAN_LIT("--seed"))) {
			o.from = number(next);
			o.count = 1;
			i++;
		} else if (span_equal(a, SPAN_LIT("--seeds"))) {
			o.from = number(next);
			o.count = number(i + 2 < argc ? argv[i + 2] : NULL);
			i += 2;
		} else if (span_equal(a, SPAN_LIT("--steps"))) {
			o.steps = (unsigned)number(next);
			i++;
		} else if (span_equal(a, SPAN_LIT("--verbose"))) {
			trace_verbose = true;
		} else if (span_equal(a, SPAN_LIT("--hash"))) {
			o.hash = true;
		} else if (span_equal(a, SPAN_LIT("--lying-disk"))) {
			o.lying = true;
		} else if (span_equal(a, SPAN_LIT("--coverage"))) {
			o.coverage = true;
		} else {
			(void)fprintf(stderr,
				"usage: sim [--seed N | --seeds FROM COUNT] "
				"[--steps N] [--lying-disk] [--verbose] [--hash] [--coverage]\n");
			exit(2);
		}
	}
	return o;
}

/* Names and values of struct counters, in its order; it holds nothing but uint64_t. */
static const char *const names[] = {"steps", "submitted", "refused", "receiver deaths",
	"dispatcher deaths", "deliverer deaths", "directory deaths", "deaths of all",
	"power losses", "deaths within a step", "receivers drained", "copies recovered",
	"recoveries", "mails recovered", "commits dropped by recovery", "segments sealed",
	"segments retired", "segments recycled", "spanning messages", "segments reclaimed",
	"segments sealed by recovery", "messages moved", "moves given up", "commits found late",
	"checkpoints", "ledger not written", "failed ledger syncs", "jobs", "held", "holds",
	"drops", "releases", "retries", "cancels", "clock steps", "disk low", "dispatcher aborts",
	"accepted", "delivered", "doubles", "named", "reports", "delay reports", "expired", "flips",
	"damage"};

static void add(struct counters *sum, const struct world *w)
{
	struct counters c = w->count;
	const uint64_t *from = (const uint64_t *)&c;
	uint64_t *to = (uint64_t *)sum;

	c.accepted = w->truth->accepted;
	c.delivered = w->truth->delivered;
	c.doubles = w->truth->doubles;
	c.named = w->truth->named;
	c.reports = w->truth->reports;
	c.delays = w->truth->delays;
	c.expired = w->truth->expired;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		to[i] += from[i];
}

/* A simulator that never comes by a place proves nothing of it. */
static bool print(const struct counters *sum, const struct options *o)
{
	const uint64_t *values = (const uint64_t *)sum;
	bool all = true;

	_Static_assert(sizeof(*sum) == ARRAY_LEN(names) * sizeof(uint64_t), "a name for each");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		bool optional =
			!o->lying && (&values[i] == &sum->flips || &values[i] == &sum->damage);
		(void)printf("%-28s %" PRIu64 "%s\n", names[i], values[i],
			values[i] || optional ? "" : "  NEVER");
		all = all && (values[i] || optional);
	}
	return all;
}

int main(int argc, char **argv)
{
	struct options o = parse(argc, argv);
	struct counters sum = {0};

	/* Simulated files come and go by the megabyte: pages that the kernel takes back and clears
	 * anew were half of the time. */
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 30);
	(void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
	(void)mallopt(M_TOP_PAD, 64 << 20);
	for (uint64_t i = 0; i < o.count; i++) {
		struct world *w = world_new(o.from + i, o.steps, o.lying);
		world_run(w);
		if (o.hash)
			(void)printf("seed %" PRIu64 " %016" PRIx64 "\n", w->seed, trace_hash());
		add(&sum, w);
		world_free(w);
	}
	bool all = print(&sum, &o);
	(void)printf("%" PRIu64 " passed, 0 failed\n", o.count);
	return o.coverage && !all ? 1 : 0;
}
