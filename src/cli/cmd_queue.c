/* queue list|show|retry|hold|release|drop: ids, filters, or --all. Commands that change something
 * need to be told which messages; list without anything lists all. */
#include "base/clock.h"
#include "base/ident.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/offline.h"
#include "cli/queue_print.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct queue_command {
	struct admin_request request;
	enum queue_print print;
	struct arena *arena;
	uint64_t now;
	uint64_t rows;
};

static const struct {
	const char *word;
	enum admin_verb verb;
	const char *done;
} verbs[] = {
	{"list", ADMIN_QUEUE_LIST, NULL},
	{"show", ADMIN_QUEUE_SHOW, NULL},
	{"retry", ADMIN_QUEUE_RETRY, "to be tried now"},
	{"hold", ADMIN_QUEUE_HOLD, "on hold"},
	{"release", ADMIN_QUEUE_RELEASE, "released"},
	{"drop", ADMIN_QUEUE_DROP, "dropped"},
};

static const struct option options[] = {
	{"all", no_argument, NULL, 'a'},
	{"sender", required_argument, NULL, 's'},
	{"recipient", required_argument, NULL, 'r'},
	{"domain", required_argument, NULL, 'd'},
	{"next-hop", required_argument, NULL, 'n'},
	{"state", required_argument, NULL, 't'},
	{"via", required_argument, NULL, 'v'},
	{"limit", required_argument, NULL, 'l'},
	{NULL, 0, NULL, 0},
};

static void print_row(void *arg, const struct queue_row *row)
{
	struct queue_command *q = arg;

	queue_print_row(row, q->print, q->now);
	q->rows++;
}

static void on_row(void *arg, struct span payload)
{
	struct queue_command *q = arg;
	struct queue_row row;

	arena_reset(q->arena);
	if (queue_row_decode(payload, q->arena, &row) < 0)
		cli_error("the server sent a row that cannot be read");
	else
		print_row(q, &row);
}

static int parse_options(struct cli *cli, struct admin_request *r)
{
	int option;

	optind = 2;
	while ((option = getopt_long(cli->argc, cli->argv, "as:r:d:n:t:v:l:", options, NULL)) !=
		-1) {
		struct span value = span_str(optarg);
		switch (option) {
		case 'a':
			r->all = true;
			break;
		case 's':
			r->sender = value;
			break;
		case 'r':
			r->recipient = value;
			break;
		case 'd':
			r->domain = value;
			break;
		case 'n':
			r->site = value;
			break;
		case 't':
			r->state = value;
			break;
		case 'v':
			r->via = value;
			break;
		case 'l':
			if (span_to_u64(value, UINT32_MAX, &r->limit) == 0)
				break;
			cli_error("--limit needs a number");
			return EX_USAGE_;
		default:
			return EX_USAGE_;
		}
	}
	return 0;
}

static int parse(struct cli *cli, struct queue_command *q)
{
	struct admin_request *r = &q->request;
	const char *word = cli->argc > 1 ? cli->argv[1] : "list";

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (strcmp(word, verbs[i].word) == 0)
			r->verb = verbs[i].verb;
	if (!r->verb) {
		cli_error("queue %s: use list, show, retry, hold, release or drop", word);
		return EX_USAGE_;
	}
	int e = cli->argc > 1 ? parse_options(cli, r) : 0;
	if (e)
		return e;
	int first = cli->argc > 1 ? optind : 1;
	r->ids = calloc((size_t)cli->argc + 1, sizeof(*r->ids));
	for (int i = first; r->ids && i < cli->argc; i++) {
		if (ident_parse(span_str(cli->argv[i]), &r->ids[r->n_ids]) < 0) {
			cli_error("%s is no message id (`queue list` shows them)", cli->argv[i]);
			return EX_USAGE_;
		}
		r->n_ids++;
	}
	bool filtered = r->n_ids || r->sender.len || r->recipient.len || r->domain.len ||
			r->site.len || r->state.len;
	if (r->verb == ADMIN_QUEUE_LIST && !filtered)
		r->all = true;
	if (!filtered && !r->all) {
		cli_error("queue %s: name messages by id or filter, or say --all", word);
		return EX_USAGE_;
	}
	if (r->via.len && r->verb != ADMIN_QUEUE_RELEASE) {
		cli_error("--via belongs to queue release");
		return EX_USAGE_;
	}
	return r->ids ? 0 : EX_OS_;
}

static bool reads_only(const struct admin_request *r)
{
	return r->verb == ADMIN_QUEUE_LIST || r->verb == ADMIN_QUEUE_SHOW;
}

static int ask(const struct config *c, struct queue_command *q)
{
	struct client_ops ops = {.row = on_row, .arg = q};
	uint32_t error = 0;
	uint64_t count = 0;
	int e = client_ask(c->data, &q->request, &ops, &error, &count);

	if ((e == -ENOENT || e == -ECONNREFUSED) && reads_only(&q->request)) {
		e = offline_list(c, &q->request, print_row, q, &count);
		if (e == 0)
			(void)fprintf(stderr, "(no server is running: read from the spool)\n");
	}
	if (e < 0)
		return client_unanswered(c->data, e);
	if (error)
		return EX_AGAIN_;
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (verbs[i].verb == q->request.verb && verbs[i].done &&
			q->print != QUEUE_PRINT_JSON)
			(void)printf("%llu message%s %s\n", (unsigned long long)count,
				count == 1 ? "" : "s", verbs[i].done);
	if (!reads_only(&q->request) && q->print == QUEUE_PRINT_JSON)
		(void)printf("{\"messages\": %llu}\n", (unsigned long long)count);
	if (reads_only(&q->request) && q->rows == 0 && q->print == QUEUE_PRINT_LIST)
		(void)printf("the queue is empty\n");
	/* Named messages that are not there are the caller's mistake. */
	bool missing = q->request.n_ids && (reads_only(&q->request) ? q->rows : count) == 0;
	if (missing)
		cli_error("no such message in the queue");
	return missing ? EX_UNAVAILABLE_ : EX_OK_;
}

int cmd_queue(struct cli *cli)
{
	struct queue_command q = {.now = clock_wall_usec(), .arena = arena_new(64u << 20)};
	int status = parse(cli, &q);
	struct config *c = status ? NULL : cli_config(cli, &status);

	q.print = cli->json			       ? QUEUE_PRINT_JSON
		  : q.request.verb == ADMIN_QUEUE_SHOW ? QUEUE_PRINT_SHOW
						       : QUEUE_PRINT_LIST;
	if (c)
		status = ask(c, &q);
	config_free(c);
	arena_free(q.arena);
	free(q.request.ids);
	return status;
}
