/* top: the counters of the running server, summed over processes; --json: one object, with each
 * process's own beside the sums. */
#include "base/stats.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "ipc/frames.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name, *help;
} counters[] = {
#define NAMED(name, kind, help) {#name, help},
	STATS_LIST(NAMED)
#undef NAMED
};

struct top {
	uint64_t sums[ARRAY_LEN(counters)];
	json_t *processes;
};

static void on_row(void *arg, struct span payload)
{
	struct top *t = arg;
	struct wire w = wire_reader(payload);

	(void)wire_get_u64(&w);
	while (!w.error && w.rest.len) {
		uint8_t role = wire_get_u8(&w);
		uint16_t index = wire_get_u16(&w), n = wire_get_u16(&w);
		json_t *p = json_pack(
			"{s:s, s:i}", "process", role_name((enum role)role), "index", (int)index);
		for (size_t i = 0; i < n && !w.error; i++) {
			uint64_t v = wire_get_u64(&w);
			if (i >= ARRAY_LEN(counters))
				continue;
			t->sums[i] += v;
			if (v && p)
				(void)json_object_set_new(
					p, counters[i].name, json_integer((json_int_t)v));
		}
		(void)json_array_append_new(t->processes, p);
	}
}

static int print_json(struct top *t)
{
	json_t *all = json_object();

	for (size_t i = 0; i < ARRAY_LEN(counters); i++)
		(void)json_object_set_new(
			all, counters[i].name, json_integer((json_int_t)t->sums[i]));
	(void)json_object_set(all, "processes", t->processes);
	int r = json_dumpf(all, stdout, JSON_COMPACT);
	(void)putchar('\n');
	json_decref(all);
	return r;
}

int cmd_top(struct cli *cli)
{
	int status = EX_OK_;
	struct config *c = cli_config(cli, &status);
	struct top t = {.processes = json_array()};
	struct admin_request r = {.verb = ADMIN_STATS};
	struct client_ops ops = {.row = on_row, .arg = &t};
	uint32_t error = 0;
	uint64_t count = 0;

	if (!c || !t.processes) {
		json_decref(t.processes);
		config_free(c);
		return c ? EX_OS_ : status;
	}
	int e = client_ask(c->data, &r, &ops, &error, &count);
	if (e < 0) {
		status = client_unanswered(c->data, e);
	} else if (error) {
		status = EX_AGAIN_;
	} else if (cli->json) {
		status = print_json(&t) < 0 ? EX_OS_ : EX_OK_;
	} else {
		for (size_t i = 0; i < ARRAY_LEN(counters); i++)
			(void)printf("%12llu  %-28s %s\n", (unsigned long long)t.sums[i],
				counters[i].name, counters[i].help);
	}
	json_decref(t.processes);
	config_free(c);
	return status;
}
