/* trace DOMAIN|ADDRESS|ID: the next delivery there, line by line as it happens: routing, the
 * resolver's answers, policies, addresses tried, the dialogue (passwords masked), results. It ends
 * with the delivery, or by ^C: the server notices that its reader is gone. */
#include "base/ident.h"
#include "cli/cli.h"
#include "cli/client.h"
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define TIME_OCTETS 12u /* of a line: "HH:MM:SS.mmm K text" */

static json_t *json_text(struct span s)
{
	struct buf b = BUF_INIT(4096);

	buf_escaped(&b, s, 1024);
	json_t *j = json_stringn(b.ptr ? b.ptr : "", b.len);
	buf_done(&b);
	return j;
}

static void print_json(uint32_t lost, struct span line)
{
	json_t *o = json_object();

	(void)json_object_set_new(o, "time", json_text(span_head(line, TIME_OCTETS)));
	(void)json_object_set_new(
		o, "kind", json_text(span_head(span_from(line, TIME_OCTETS + 1), 1)));
	(void)json_object_set_new(o, "text", json_text(span_from(line, TIME_OCTETS + 3)));
	if (lost)
		(void)json_object_set_new(o, "lost", json_integer(lost));
	(void)json_dumpf(o, stdout, JSON_COMPACT);
	(void)putchar('\n');
	json_decref(o);
}

static void on_line(void *arg, uint32_t lost, struct span line)
{
	const struct cli *cli = arg;

	if (line.len && line.ptr[line.len - 1] == '\n')
		line.len--;
	if (cli->json) {
		print_json(lost, line);
	} else {
		if (lost)
			(void)printf("%*s(%u lines left out: this reader was too slow)\n",
				(int)TIME_OCTETS + 3, "", lost);
		cli_print_safe(line);
		if (line.len)
			(void)putchar('\n');
	}
	(void)fflush(stdout);
}

static int parse(struct cli *cli, struct admin_request *r, uint64_t *id)
{
	static const struct option options[] = {
		{"retry", no_argument, NULL, 'r'}, {NULL, 0, NULL, 0}};
	int option;

	optind = 1;
	while ((option = getopt_long(cli->argc, cli->argv, "r", options, NULL)) != -1) {
		if (option != 'r')
			return EX_USAGE_;
		r->retry = true;
	}
	if (cli->argc - optind != 1) {
		cli_error("usage: postrider trace [--retry] [--json] [-c FILE] DOMAIN|ADDRESS|ID");
		return EX_USAGE_;
	}
	struct span what = span_str(cli->argv[optind]);
	if (memchr(what.ptr, '@', what.len)) {
		r->recipient = what;
	} else if (!memchr(what.ptr, '.', what.len) && ident_parse(what, id) == 0) {
		r->ids = id;
		r->n_ids = 1;
	} else {
		r->domain = what;
	}
	return 0;
}

int cmd_trace(struct cli *cli)
{
	struct admin_request r = {.verb = ADMIN_TRACE};
	struct client_ops ops = {.line = on_line, .arg = cli};
	uint64_t id = 0, count = 0;
	uint32_t error = 0;
	int status = parse(cli, &r, &id);
	struct config *c = status ? NULL : cli_config(cli, &status);

	if (!c)
		return status;
	int e = client_ask(c->data, &r, &ops, &error, &count);
	status = e < 0		   ? client_unanswered(c->data, e)
		 : error == ENOENT ? EX_UNAVAILABLE_
		 : error	   ? EX_AGAIN_
				   : EX_OK_;
	config_free(c);
	return status;
}
