/* Options that every subcommand takes, and the table of subcommands. */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
	const char *name;
	int (*run)(struct cli *cli);
	const char *help;
} commands[] = {
	{"serve", cmd_serve,
		"run the server in the foreground (without a configuration: evaluation mode)"},
	{"check", cmd_check, "check the configuration and what it needs: file, line, remedy"},
	{"queue", cmd_queue, "list|show|retry|hold|release|drop [ID...] [filters] [--all]"},
	{"send", cmd_send, "[-f SENDER] RECIPIENT...  submit the message on standard input"},
	{"user", cmd_user, "add|passwd|remove|list|test [NAME@DOMAIN] [--password-stdin]"},
	{"top", cmd_top, "the counters of the running server"},
	{"trace", cmd_trace, "DOMAIN|ADDRESS|ID [--retry]  follow the next delivery there, live"},
	{"dns", cmd_dns,
		"check [--no-connect] DOMAIN...  what we would do to deliver there, and why"},
	{"tlsrpt", cmd_tlsrpt, "list|show|send: reports about TLS to other domains"},
	{"reload", cmd_reload, "read the configuration again, losing no session (as SIGHUP does)"},
	{"bench", cmd_bench, "load|sink: a load generator and a sink for any SMTP server"},
	{"version", cmd_version, "what this is"},
};
static const char *const later[] = {"dkim"};

void cli_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)fputs("postrider: ", stderr);
	(void)vfprintf(stderr, fmt, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
}

/* Well-formed UTF-8 sequence at s: its length, else 0. C1 controls are not let through. */
static size_t utf8_length(struct span s)
{
	unsigned char c = (unsigned char)s.ptr[0];
	size_t n = c >= 0xf0 && c < 0xf5   ? 4
		   : c >= 0xe0 && c < 0xf0 ? 3
		   : c >= 0xc2 && c < 0xe0 ? 2
					   : 0;

	if (n == 0 || n > s.len || (c == 0xc2 && (unsigned char)s.ptr[1] < 0xa0))
		return 0;
	for (size_t i = 1; i < n; i++)
		if (((unsigned char)s.ptr[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

void cli_print_safe(struct span s)
{
	while (s.len) {
		unsigned char c = (unsigned char)s.ptr[0];
		size_t n = c < 0x80 ? (c >= 0x20 && c != 0x7f ? 1 : 0) : utf8_length(s);
		if (n == 0) {
			(void)printf("\\x%02x", c);
			n = 1;
		} else {
			(void)fwrite(s.ptr, 1, n, stdout);
		}
		s = span_from(s, n);
	}
}

static void usage(FILE *out)
{
	(void)fprintf(out,
		"Postrider %s, a complete SMTP system\n\nusage: postrider COMMAND [-c FILE] "
		"[--json] ...\n\n",
		POSTRIDER_VERSION);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		(void)fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
	(void)fprintf(out, "\nThe configuration: -c FILE, else $POSTRIDER_CONFIG, else "
			   "/etc/postrider/postrider.conf.\n"
			   "postrider(1) and postrider.conf(5) have the rest.\n");
}

struct config *cli_config(const struct cli *cli, int *ret_status)
{
	const char *path = config_choose_path(cli->config_path);
	struct buf errors = BUF_INIT(1 << 16);
	struct config *c = NULL;
	int r;

	if (path) {
		r = config_load(path, &c, &errors);
	} else {
		char *here = getcwd(NULL, 0);
		r = here ? config_evaluation(here, &c) : -errno;
		free(here);
	}
	if (r < 0) {
		if (errors.len)
			(void)fwrite(errors.ptr, 1, errors.len, stderr);
		else
			cli_error("cannot read the configuration: %s", strerror(-r));
		*ret_status = EX_CONFIG_;
	}
	buf_done(&errors);
	return c;
}

/* Takes -c FILE, --config FILE and --json out of argv, wherever they stand; "--" ends options. */
static int common_options(struct cli *cli, int argc, char **argv)
{
	int kept = 0;
	bool ended = false;

	for (int i = 0; i < argc; i++) {
		if (!ended && strcmp(argv[i], "--") == 0)
			ended = true;
		if (!ended && strcmp(argv[i], "--json") == 0) {
			cli->json = true;
		} else if (!ended &&
			   (strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0)) {
			if (i + 1 >= argc) {
				cli_error("%s needs a file", argv[i]);
				return EX_USAGE_;
			}
			cli->config_path = argv[++i];
		} else {
			argv[kept++] = argv[i];
		}
	}
	argv[kept] = NULL;
	cli->argc = kept;
	cli->argv = argv;
	return 0;
}

int cmd_version(struct cli *cli)
{
	if (cli->json)
		(void)printf(
			"{\"name\": \"postrider\", \"version\": \"%s\", \"spool_format\": 1}\n",
			POSTRIDER_VERSION);
	else
		(void)printf("postrider %s\n", POSTRIDER_VERSION);
	return EX_OK_;
}

static int run_named(const char *name, int argc, char **argv)
{
	struct cli cli = {0};
	int r = common_options(&cli, argc, argv);

	if (r)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run(&cli);
	for (size_t i = 0; i < ARRAY_LEN(later); i++) {
		if (strcmp(later[i], name) == 0) {
			cli_error("%s is not there yet in version %s", name, POSTRIDER_VERSION);
			return EX_UNAVAILABLE_;
		}
	}
	cli_error("there is no command '%s'", name);
	usage(stderr);
	return EX_USAGE_;
}

int cli_main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0] ? argv[0] : "", '/');
	const char *self = slash ? slash + 1 : argc ? argv[0] : "";

	if (strcmp(self, "sendmail") == 0)
		return cmd_sendmail(argc, argv);
	if (strcmp(self, "newaliases") == 0)
		return EX_OK_; /* alias files are read as they are; nothing is compiled */
	if (strcmp(self, "mailq") == 0) {
		char queue[] = "queue", list[] = "list";
		char *args[] = {queue, list, NULL};
		return run_named("queue", 2, args);
	}
	if (argc < 2) {
		usage(stderr);
		return EX_USAGE_;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
		strcmp(argv[1], "help") == 0) {
		usage(stdout);
		return EX_OK_;
	}
	if (strcmp(argv[1], "--version") == 0)
		return run_named("version", argc - 1, argv + 1);
	return run_named(argv[1], argc - 1, argv + 1);
}
