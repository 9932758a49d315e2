/* user add|passwd|remove|list|test over a domain's users file. Passwords come from standard input
 * only (never from argv, where `ps` shows them) and are hashed by the system's crypt(3), yescrypt
 * by default. The running server takes a changed file up by itself. */
#include "cli/cli.h"
#include "mail/path.h"
#include "route/users_file.h"
#include <crypt.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PASSWORD_MAX 1024u

struct user_command {
	struct config *config;
	const struct config_domain *domain;
	struct buf local;
	bool password_stdin;
};

/* The domain's users file, or why there is none. */
static int find_domain(struct user_command *u, struct span domain)
{
	u->domain = config_domain(u->config, domain);
	if (!u->domain) {
		cli_error("%.*s is no domain of this configuration", SPAN_FMT(domain));
		return EX_DATA_;
	}
	if (u->domain->users != USERS_FILE) {
		cli_error("domain %s keeps its users elsewhere: give it users = \"file:PATH\"",
			u->domain->name);
		return EX_CONFIG_;
	}
	return 0;
}

static int parse_name(struct user_command *u, const char *text)
{
	struct path p;

	if (mailbox_parse(span_str(text), true, false, &p) < 0) {
		cli_error("%s is not NAME@DOMAIN", text);
		return EX_USAGE_;
	}
	local_part_unquoted(p.local, true, &u->local);
	if (u->local.error || !users_file_name_ok(buf_span(&u->local))) {
		cli_error("%s: the name may not hold blanks, ':', '/' or '@'", text);
		return EX_DATA_;
	}
	return find_domain(u, p.domain);
}

/* One line of standard input. */
static int read_password(char *out, size_t size)
{
	size_t n = 0;

	while (n < size - 1) {
		ssize_t got = read(STDIN_FILENO, out + n, 1);
		if (got <= 0 || out[n] == '\n')
			break;
		n++;
	}
	if (n && out[n - 1] == '\r')
		n--;
	out[n] = '\0';
	return n ? 0 : -EINVAL;
}

static int hash_password(struct buf *out)
{
	char password[PASSWORD_MAX], setting[CRYPT_GENSALT_OUTPUT_SIZE];
	static struct crypt_data data; /* 32 KiB: not on the stack */

	if (read_password(password, sizeof(password)) < 0) {
		cli_error("no password on standard input");
		return EX_DATA_;
	}
	const char *hash = NULL;
	if (crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof(setting)))
		hash = crypt_r(password, setting, &data);
	explicit_bzero(password, sizeof(password));
	if (!hash || hash[0] == '*') {
		cli_error("the system's crypt(3) cannot hash: %s", strerror(errno));
		return EX_OS_;
	}
	buf_str(out, hash);
	return 0;
}

static int edit(struct user_command *u, enum users_edit how, const char *name)
{
	struct buf hash = BUF_INIT(4096);
	int status = u->password_stdin ? hash_password(&hash) : 0;

	if (status == 0) {
		int r = users_file_edit(
			u->domain->users_path, how, buf_span(&u->local), buf_span(&hash));
		if (r == -EEXIST)
			cli_error("%s exists already: use user passwd", name);
		else if (r == -ENOENT)
			cli_error("there is no user %s", name);
		else if (r < 0)
			cli_error("%s: cannot be changed: %s", u->domain->users_path, strerror(-r));
		status = r == 0				? EX_OK_
			 : r == -EEXIST || r == -ENOENT ? EX_NOUSER_
							: EX_CANTCREATE_;
	}
	buf_done(&hash);
	return status;
}

static int load(const struct config_domain *d, struct users_file **ret)
{
	struct buf octets = BUF_INIT(USERS_FILE_MAX), errors = BUF_INIT(65536);
	CLEANUP(fd_closep) int fd = open(d->users_path, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : 0;
	ssize_t n = 1;

	while (r == 0 && n > 0) {
		char *room = buf_reserve(&octets, 65536);
		n = room ? read(fd, room, 65536) : -1;
		if (n < 0)
			r = room ? -errno : octets.error;
		else
			octets.len += (size_t)n;
	}
	if (r == 0)
		r = users_file_parse(buf_span(&octets), d->users_path, ret, &errors);
	if (errors.len)
		(void)fwrite(errors.ptr, 1, errors.len, stderr);
	if (r < 0)
		cli_error("%s: %s", d->users_path, strerror(-r));
	buf_done(&octets);
	buf_done(&errors);
	return r;
}

static int list(struct user_command *u, const char *only, bool json)
{
	int status = EX_OK_;

	for (size_t i = 0; i < u->config->n_domains; i++) {
		const struct config_domain *d = &u->config->domains[i];
		struct users_file *users = NULL;
		struct span name, rest;
		size_t cursor = 0;
		if (d->users != USERS_FILE ||
			(only && !span_equal_nocase(span_str(only), span_str(d->name))))
			continue;
		if (load(d, &users) < 0) {
			status = EX_UNAVAILABLE_;
			continue;
		}
		while (users_file_next(users, &cursor, &name, &rest)) {
			if (json)
				(void)printf("{\"user\": \"%.*s@%s\", \"login\": %s}\n",
					SPAN_FMT(name), d->name, rest.len ? "true" : "false");
			else
				(void)printf("%.*s@%s%s\n", SPAN_FMT(name), d->name,
					rest.len ? "" : "  (no password)");
		}
		users_file_free(users);
	}
	return status;
}

static int test_password(struct user_command *u, const char *name)
{
	struct users_file *users = NULL;
	char password[PASSWORD_MAX], stored[512];
	static struct crypt_data data;
	struct span rest;
	bool good = false;

	if (load(u->domain, &users) < 0)
		return EX_UNAVAILABLE_;
	if (users_file_hash(users, buf_span(&u->local), &rest) && rest.len &&
		read_password(password, sizeof(password)) == 0) {
		struct span hash = span_head(rest, span_index(rest, ':'));
		(void)snprintf(stored, sizeof(stored), "%.*s", SPAN_FMT(hash));
		const char *again = crypt_r(password, stored, &data);
		good = again && again[0] != '*' && strcmp(again, stored) == 0;
		explicit_bzero(password, sizeof(password));
	}
	users_file_free(users);
	(void)printf("%s: %s\n", name, good ? "the password is right" : "no");
	return good ? EX_OK_ : EX_NOUSER_;
}

static int run(struct cli *cli, struct user_command *u)
{
	const char *verb = cli->argc > 1 ? cli->argv[1] : "", *name = NULL;

	for (int i = 2; i < cli->argc; i++) {
		if (strcmp(cli->argv[i], "--password-stdin") == 0)
			u->password_stdin = true;
		else if (!name && cli->argv[i][0] != '-')
			name = cli->argv[i];
		else
			return cli_error("user: %s is one too many", cli->argv[i]), EX_USAGE_;
	}
	if (strcmp(verb, "list") == 0)
		return list(u, name, cli->json);
	if (!name) {
		cli_error("use user add|passwd|remove|test NAME@DOMAIN [--password-stdin], or user "
			  "list [DOMAIN]");
		return EX_USAGE_;
	}
	int status = parse_name(u, name);
	if (status)
		return status;
	if (strcmp(verb, "add") == 0)
		return edit(u, USERS_ADD, name);
	if (strcmp(verb, "remove") == 0)
		return edit(u, USERS_REMOVE, name);
	if (strcmp(verb, "passwd") == 0) {
		u->password_stdin = true;
		return edit(u, USERS_CHANGE, name);
	}
	if (strcmp(verb, "test") == 0)
		return test_password(u, name);
	cli_error("user %s: use add, passwd, remove, list or test", verb);
	return EX_USAGE_;
}

int cmd_user(struct cli *cli)
{
	int status = EX_OK_;
	struct user_command u = {.config = cli_config(cli, &status), .local = BUF_INIT(256)};

	if (!u.config)
		return status;
	status = run(cli, &u);
	buf_done(&u.local);
	config_free(u.config);
	return status;
}
