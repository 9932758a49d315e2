/* `postrider bench`: which half, and what both need of the process. */
#include "bench/bench.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

bool bench_interrupted(void)
{
	return interrupted;
}

void bench_prepare(void)
{
	struct rlimit files;
	/* No SA_RESTART: the loop's sleep has to end. */
	struct sigaction end = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};

	(void)sigaction(SIGINT, &end, NULL);
	(void)sigaction(SIGTERM, &end, NULL);
	(void)sigaction(SIGPIPE, &ignore, NULL);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

static void usage(FILE *out)
{
	(void)fputs(
		"usage: postrider bench load HOST:PORT [options]   sends\n"
		"       postrider bench sink HOST:PORT... [options]   receives\n\n"
		"load: -m N messages (1000)  -j N connections (20)  -k N messages a connection (1; "
		"0: all)\n"
		"      -s SIZE octets: 4K, 1K-64K, 4K:80,64K:15,1M:5  -r N recipients (1)\n"
		"      --from ADDRESS  --to TEMPLATE with {rcpt}, {message}, {domain}  --domains "
		"N\n"
		"      --no-pipelining  --bdat  --lmtp  --hello NAME  --user NAME --password WORD\n"
		"      --auth plain|login  --tls starttls|implicit  --window N  --rate N/s  --slow "
		"OCTETS/s  --idle TIME  --duration "
		"TIME\n"
		"      --timeout TIME  --connect-timeout TIME  --tries N  --sink HOST:PORT (start "
		"one there, account for "
		"each\n"
		"      message)  --watch HOST:PORT (ask one that runs)  --settle TIME  --json  "
		"--quiet\n"
		"sink: --latency TIME|TIME-TIME  --tempfail SHARE  --permfail SHARE  --hangup "
		"SHARE\n"
		"      (5%, 0.05)  --at connect|mail|rcpt|data|dot  --no-pipelining  "
		"--no-chunking\n"
		"      --lmtp  --starttls  --expect N  --json  --quiet\n",
		out);
}

int bench_main(int argc, char **argv, bool json)
{
	struct load_options load = {0};
	struct sink_options sink = {0};
	const char *half = argc > 0 ? argv[0] : "";
	int r;

	if (strcmp(half, "load") == 0) {
		r = load_options_parse(argc, argv, &load);
		load.json = json;
		if (r == 0) {
			bench_prepare();
			return load_run(&load);
		}
	} else if (strcmp(half, "sink") == 0) {
		r = sink_options_parse(argc, argv, &sink);
		sink.json = json;
		if (r == 0)
			return sink_run(&sink, -1);
	} else {
		bool asked = strcmp(half, "--help") == 0 || strcmp(half, "-h") == 0;
		usage(asked ? stdout : stderr);
		return asked ? BENCH_OK : BENCH_USAGE;
	}
	return r;
}
