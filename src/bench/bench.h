/* The benchmark's two halves, each a process's whole work. Exit statuses are sysexits.h's: 0 when
 * all is accounted for; 75 when something was lost, doubled, cut short or refused; 69 when the
 * server cannot be reached. */
#pragma once
#include "bench/options.h"

enum {
	BENCH_OK = 0,
	BENCH_USAGE = 64,
	BENCH_UNAVAILABLE = 69,
	BENCH_OS = 71,
	BENCH_INCOMPLETE = 75,
};

/* argv[0] is "load" or "sink". */
int bench_main(int argc, char **argv, bool json);

int load_run(const struct load_options *o);
/* ready_fd: closed when the sink listens (or the process ends); -1: nobody waits. */
int sink_run(const struct sink_options *o, int ready_fd);
/* Raises the limit of open files as far as it goes, ignores SIGPIPE. */
void bench_prepare(void);
/* SIGINT or SIGTERM came; to be asked in a turn hook (the signal ends the loop's sleep). */
bool bench_interrupted(void);
