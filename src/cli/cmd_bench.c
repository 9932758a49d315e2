/* bench: load generator and sink; the work is the room bench's. */
#include "bench/bench.h"
#include "cli/cli.h"

int cmd_bench(struct cli *cli)
{
	return bench_main(cli->argc - 1, cli->argv + 1, cli->json);
}
