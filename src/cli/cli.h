/* The command line: one file a subcommand. Exit statuses are sysexits.h's: 0 ok, 64 usage, 65 bad
 * data, 67 no such user, 69 unavailable or refused, 71 system, 75 try again, 78 configuration. */
#pragma once
#include "config/config.h"

enum {
	EX_OK_ = 0,
	EX_USAGE_ = 64,
	EX_DATA_ = 65,
	EX_NOUSER_ = 67,
	EX_UNAVAILABLE_ = 69,
	EX_OS_ = 71,
	EX_CANTCREATE_ = 73,
	EX_AGAIN_ = 75,
	EX_CONFIG_ = 78,
};

struct cli {
	const char *config_path; /* -c FILE, or NULL */
	bool json;
	int argc; /* what is left, argv[0] is the subcommand */
	char **argv;
};
int cli_main(int argc, char **argv);

int cmd_serve(struct cli *cli);
int cmd_check(struct cli *cli);
int cmd_queue(struct cli *cli);
int cmd_send(struct cli *cli);
int cmd_sendmail(int argc, char **argv); /* by argv[0] */
int cmd_user(struct cli *cli);
int cmd_top(struct cli *cli);
int cmd_dns(struct cli *cli);
int cmd_trace(struct cli *cli);
int cmd_tlsrpt(struct cli *cli);
int cmd_reload(struct cli *cli);
int cmd_bench(struct cli *cli);
int cmd_version(struct cli *cli);

/* The configuration that the subcommand works with; errors are printed. Without any file: the
 * evaluation mode's, when ./postrider-data exists. NULL: *ret_status says how to exit. */
struct config *cli_config(const struct cli *cli, int *ret_status);
/* "postrider: ..." on stderr. */
void cli_error(const char *fmt, ...) PRINTF(1, 2);
/* Peer octets on a terminal: printable UTF-8 as is, all else escaped. */
void cli_print_safe(struct span s);
