/* user add|passwd|remove|list|test|keys|limit|app|cert over a domain's users, in a file or in a
 * database. Passwords come from standard input only (never from argv, where `ps` shows them); they
 * are hashed by the system's crypt(3), yescrypt by default, and SCRAM keys are made beside. The
 * running server takes a change up by itself. */
#include "cli/user_command.h"
#include "cli/user_store.h"
#include "mail/path.h"
#include "sasl/plain.h"
#include "sasl/seal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int find_domain(struct user_command *u, struct span domain)
{
	u->domain = config_domain(u->config, domain);
	if (!u->domain) {
		cli_error("%.*s is no domain of this configuration", SPAN_FMT(domain));
		return EX_DATA_;
	}
	if (u->domain->users != USERS_FILE && u->domain->users != USERS_SQLITE) {
		cli_error("domain %s has no list of users: give it users = \"file:PATH\" or "
			  "\"sqlite:PATH\"",
			u->domain->name);
		return EX_CONFIG_;
	}
	return 0;
}

static int parse_name(struct user_command *u)
{
	struct path p;

	if (mailbox_parse(span_str(u->name), true, false, &p) < 0) {
		cli_error("%s is not NAME@DOMAIN", u->name);
		return EX_USAGE_;
	}
	local_part_unquoted(p.local, true, &u->local);
	if (u->local.error || !users_file_name_ok(buf_span(&u->local))) {
		cli_error("%s: the name may not hold blanks, ':', '/' or '@'", u->name);
		return EX_DATA_;
	}
	return find_domain(u, p.domain);
}

/* One line of standard input. */
static int read_password(struct buf *out)
{
	char c;

	while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
		buf_char(out, c);
	if (out->len && out->ptr[out->len - 1] == '\r')
		out->len--;
	if (out->error || memchr(out->ptr ? out->ptr : "", '\0', out->len)) {
		cli_error("the password is too long, or holds a NUL");
		return EX_DATA_;
	}
	if (out->len == 0) {
		cli_error("no password on standard input");
		return EX_DATA_;
	}
	return 0;
}

int user_edited(struct user_command *u, int r)
{
	if (r == -EEXIST)
		cli_error("%s exists already: use user passwd", u->name);
	else if (r == -ENOENT)
		cli_error("there is no user %s", u->name);
	return r == 0 ? EX_OK_ : r == -EEXIST || r == -ENOENT ? EX_NOUSER_ : EX_CANTCREATE_;
}

/* ---- add, passwd, remove ---- */

static int make_secrets(struct user_command *u, struct span password, struct buf *rest)
{
	int r = secret_hash(password, rest);

	for (unsigned h = 0; r == 0 && !u->no_scram && h < SCRAM_HASHES; h++) {
		struct scram_keys keys;
		r = scram_keys_make((enum scram_hash)h, password, &keys);
		if (r < 0)
			break;
		buf_char(rest, ':');
		scram_keys_format((enum scram_hash)h, &keys, rest);
	}
	if (r < 0) {
		cli_error("the system's crypt(3) cannot hash: %s", strerror(-r));
		return EX_OS_;
	}
	return u->reversible ? user_seal(u, password, rest) : 0;
}

/* What stands behind the user's name now; false: there is no such user. */
bool user_find_rest(struct user_command *u, struct buf *rest, int *ret_status)
{
	struct users_file *users = NULL;
	struct span found = SPAN_NULL;
	bool known = false;

	*ret_status = EX_UNAVAILABLE_;
	if (user_store_load(u->domain, &users) == 0) {
		known = users_file_hash(users, buf_span(&u->local), &found);
		buf_put(rest, found);
		if (!known)
			*ret_status = user_edited(u, -ENOENT);
		users_file_free(users);
	}
	return known;
}

/* App passwords and certificates are kept when the password changes; what is made of the password
 * goes with it. */
static void keep_fields(struct span old, struct buf *rest)
{
	struct span field = span_head(old, span_index(old, ':'));

	for (old = span_from(old, field.len + 1); old.len; old = span_from(old, field.len + 1)) {
		field = span_head(old, span_index(old, ':'));
		if (field.len && !span_starts_nocase(field, SPAN_LIT("{SCRAM-")) &&
			!seal_is_sealed(field)) {
			buf_char(rest, ':');
			buf_put(rest, field);
		}
	}
}

static int set_password(struct user_command *u, enum users_edit how)
{
	struct buf password = BUF_INIT(SASL_PASSWORD_MAX + 1), rest = BUF_INIT(REST_MAX),
		   old = BUF_INIT(REST_MAX);
	int status = 0;

	if (how == USERS_CHANGE && !user_find_rest(u, &old, &status))
		goto out;
	if (u->reversible && !u->password_stdin) {
		cli_error("--reversible needs a password: add --password-stdin");
		status = EX_USAGE_;
	} else if (u->password_stdin) {
		status = read_password(&password);
	}
	if (status == 0 && u->password_stdin)
		status = make_secrets(u, buf_span(&password), &rest);
	keep_fields(buf_span(&old), &rest);
	if (status == 0)
		status = user_edited(
			u, user_store_edit(u->domain, how, buf_span(&u->local), buf_span(&rest)));
out:
	if (password.ptr)
		explicit_bzero(password.ptr, password.cap);
	buf_done(&password);
	buf_done(&rest);
	buf_done(&old);
	return status;
}

/* ---- list, test ---- */

/* "2026-11-22", or "never". */
void user_format_date(uint64_t seconds, char out[static 32])
{
	time_t when = (time_t)seconds;
	struct tm tm;

	(void)snprintf(out, 32, "never");
	if (seconds && gmtime_r(&when, &tm))
		(void)strftime(out, 32, "%Y-%m-%d", &tm);
}

void user_last_use(const struct user_command *u, struct span name, const char *domain,
	struct span label, char out[static 32])
{
	struct buf login = BUF_INIT(1024);

	buf_printf(&login, "%.*s@%s", SPAN_FMT(name), domain);
	user_format_date(user_store_last_use(u->config, buf_span(&login), label), out);
	buf_done(&login);
}

static void print_json(const struct user_command *u, struct span name, const char *domain,
	const struct credentials *c)
{
	struct buf b = BUF_INIT(4096);
	char used[32];

	user_last_use(u, name, domain, SPAN_LIT("-"), used);

	buf_printf(&b, "{\"user\": \"%.*s@%s\", \"login\": %s, \"scram\": [", SPAN_FMT(name),
		domain, credentials_can_log_in(c) ? "true" : "false");
	for (unsigned h = 0, n = 0; h < SCRAM_HASHES; h++)
		if (c->has_scram[h])
			buf_printf(&b, "%s\"%s\"", n++ ? ", " : "", scram_name((enum scram_hash)h));
	buf_printf(&b, "], \"reversible\": %s", c->sealed.len ? "true" : "false");
	buf_str(&b, ", \"app_passwords\": [");
	for (size_t i = 0; i < c->n_apps; i++)
		buf_printf(&b, "%s\"%.*s\"", i ? ", " : "", SPAN_FMT(c->apps[i].label));
	buf_printf(&b, "], \"certificates\": %zu, \"used\": \"%s\", \"limits\": \"",
		c->n_certificates, used);
	user_limits_format(&c->limits, &b);
	buf_str(&b, "\"}\n");
	if (b.error == 0)
		(void)fwrite(b.ptr, 1, b.len, stdout);
	buf_done(&b);
}

static void print_row(const struct user_command *u, struct span name, const char *domain,
	const struct credentials *c)
{
	char used[32];

	user_last_use(u, name, domain, SPAN_LIT("-"), used);
	(void)printf("%.*s@%s", SPAN_FMT(name), domain);
	if (!credentials_can_log_in(c))
		(void)printf("  (no password)");
	for (unsigned h = 0; h < SCRAM_HASHES; h++)
		if (c->has_scram[h])
			(void)printf("  %s", scram_name((enum scram_hash)h));
	if (c->sealed.len)
		(void)printf("  CRAM-MD5 (reversible)");
	if (c->n_apps)
		(void)printf("  %zu app password%s", c->n_apps, c->n_apps == 1 ? "" : "s");
	if (c->n_certificates)
		(void)printf("  %zu certificate%s", c->n_certificates,
			c->n_certificates == 1 ? "" : "s");
	if (strcmp(used, "never") != 0)
		(void)printf("  last used %s", used);
	struct buf limits = BUF_INIT(512);
	user_limits_format(&c->limits, &limits);
	if (limits.len)
		(void)printf("  %.*s", SPAN_FMT(buf_span(&limits)));
	buf_done(&limits);
	(void)printf("\n");
}

static int list(struct user_command *u)
{
	int status = EX_OK_;

	for (size_t i = 0; i < u->config->n_domains; i++) {
		const struct config_domain *d = &u->config->domains[i];
		struct users_file *users = NULL;
		struct span name, rest;
		size_t cursor = 0;
		if ((d->users != USERS_FILE && d->users != USERS_SQLITE) ||
			(u->name && !span_equal_nocase(span_str(u->name), span_str(d->name))))
			continue;
		if (user_store_load(d, &users) < 0) {
			status = EX_UNAVAILABLE_;
			continue;
		}
		while (users_file_next(users, &cursor, &name, &rest)) {
			struct credentials c;
			credentials_parse(rest, &c);
			if (u->json)
				print_json(u, name, d->name, &c);
			else
				print_row(u, name, d->name, &c);
		}
		users_file_free(users);
	}
	return status;
}

/* Does the password fit every secret that is kept of it? */
static const char *test_secrets(
	struct user_command *u, const struct credentials *c, struct span password)
{
	const struct app_password *app = credentials_app(c, password);

	if (app)
		return "right, an app password";
	if (!secret_matches(password, c->hash))
		return NULL;
	for (unsigned h = 0; h < SCRAM_HASHES; h++) {
		struct scram_keys k = c->scram[h];
		if (c->has_scram[h] &&
			(scram_keys_derive((enum scram_hash)h, password, &k) < 0 ||
				memcmp(k.stored, c->scram[h].stored, sizeof(k.stored)) != 0))
			return "right, but the SCRAM keys are another password's: use user passwd";
	}
	const char *why = user_sealed_differs(u, password, c);
	return why ? why : "the password is right";
}

static int test_password(struct user_command *u)
{
	struct buf password = BUF_INIT(SASL_PASSWORD_MAX + 1), rest = BUF_INIT(REST_MAX);
	struct credentials c;
	const char *answer = NULL;
	int status = 0;

	if (user_find_rest(u, &rest, &status)) {
		credentials_parse(buf_span(&rest), &c);
		if (read_password(&password) == 0)
			answer = test_secrets(u, &c, buf_span(&password));
		status = answer ? EX_OK_ : EX_NOUSER_;
		(void)printf("%s: %s\n", u->name, answer ? answer : "no");
	}
	if (password.ptr)
		explicit_bzero(password.ptr, password.cap);
	buf_done(&password);
	buf_done(&rest);
	return status;
}

/* ---- argv ---- */

static int usage(void)
{
	cli_error("use user add|passwd|remove|test NAME@DOMAIN [--password-stdin] "
		  "[--reversible], user list|keys [DOMAIN], user app add|list|remove NAME@DOMAIN "
		  "[LABEL], user cert "
		  "add|remove NAME@DOMAIN FINGERPRINT, or user limit NAME@DOMAIN [LIMIT=VALUE...]");
	return EX_USAGE_;
}

/* most: words behind the name. */
static int parse_args(struct cli *cli, struct user_command *u, int first, unsigned most)
{
	for (int i = first; i < cli->argc; i++) {
		if (strcmp(cli->argv[i], "--password-stdin") == 0)
			u->password_stdin = true;
		else if (strcmp(cli->argv[i], "--no-scram") == 0)
			u->no_scram = true;
		else if (strcmp(cli->argv[i], "--reversible") == 0)
			u->reversible = true;
		else if (!u->name && cli->argv[i][0] != '-')
			u->name = cli->argv[i];
		else if (u->n_words < most && cli->argv[i][0] != '-')
			u->words[u->n_words++] = cli->argv[i];
		else
			return cli_error("user: %s is one too many", cli->argv[i]), EX_USAGE_;
	}
	return 0;
}

static int run(struct cli *cli, struct user_command *u)
{
	const char *verb = cli->argc > 1 ? cli->argv[1] : "";
	bool nested = strcmp(verb, "app") == 0 || strcmp(verb, "cert") == 0;
	const char *second = nested && cli->argc > 2 ? cli->argv[2] : "";
	bool limits = strcmp(verb, "limit") == 0;
	int status = parse_args(cli, u, nested ? 3 : 2, nested ? 2 : limits ? 4 : 0);

	if (status)
		return status;
	if (strcmp(verb, "list") == 0)
		return list(u);
	if (strcmp(verb, "keys") == 0)
		return user_keys(u);
	if (!u->name)
		return usage();
	status = parse_name(u);
	if (status)
		return status;
	if (strcmp(verb, "app") == 0)
		return user_app(u, second);
	if (strcmp(verb, "cert") == 0)
		return user_cert(u, second);
	if (limits)
		return user_limit_command(u);
	if (strcmp(verb, "add") == 0)
		return set_password(u, USERS_ADD);
	if (strcmp(verb, "remove") == 0)
		return user_edited(u,
			user_store_edit(u->domain, USERS_REMOVE, buf_span(&u->local), SPAN_NULL));
	if (strcmp(verb, "passwd") == 0) {
		u->password_stdin = true;
		return set_password(u, USERS_CHANGE);
	}
	if (strcmp(verb, "test") == 0)
		return test_password(u);
	cli_error("user %s: use add, passwd, remove, list, test, keys, limit, app or cert", verb);
	return EX_USAGE_;
}

int cmd_user(struct cli *cli)
{
	int status = EX_OK_;
	struct user_command u = {
		.config = cli_config(cli, &status), .local = BUF_INIT(256), .json = cli->json};

	if (!u.config)
		return status;
	status = run(cli, &u);
	buf_done(&u.local);
	config_free(u.config);
	return status;
}
