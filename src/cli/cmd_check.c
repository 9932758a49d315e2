/* check: the configuration, and what it needs on this machine. Errors: exit 78; warnings: 0. */
#include "cli/user_store.h"
#include "config/check.h"
#include "config/check_modes.h"
#include "mail/mechanism.h"
#include "sasl/credentials.h"

#include <stdio.h>
#include <unistd.h>

struct counts {
	size_t can_log_in, sealed;
};

static struct counts count(const struct users_file *users)
{
	struct counts n = {0};
	struct span name, rest;
	size_t cursor = 0;

	while (users_file_next(users, &cursor, &name, &rest)) {
		struct credentials c;
		credentials_parse(rest, &c);
		n.can_log_in += credentials_can_log_in(&c);
		n.sealed += c.sealed.len > 0;
	}
	return n;
}

static void warn_of(const struct config *c, const struct config_domain *d, struct counts n,
	struct buf *warnings)
{
	bool offered = c->auth.mechanisms & MECH_BIT(MECH_CRAM_MD5);

	if (n.can_log_in)
		config_check_mode(c, d->at, "the users file", d->users_path, warnings);
	if (offered && n.sealed < n.can_log_in)
		buf_printf(warnings,
			"%s: domain \"%s\": CRAM-MD5 is offered, and %zu of %zu users have no "
			"secret for it: clients that choose it fail for them, until 'postrider "
			"user "
			"passwd --reversible' makes one\n",
			d->at, d->name, n.can_log_in - n.sealed, n.can_log_in);
	if (!offered && n.sealed)
		buf_printf(warnings,
			"%s: domain \"%s\": %zu users have a password that can be read back, and "
			"CRAM-MD5, which needs it, is not offered: 'postrider user passwd' without "
			"--reversible takes it away\n",
			d->at, d->name, n.sealed);
}

/* Can the lists of users be read, and have the databases our schema? What is wrong is printed. */
static bool users_are_sound(const struct config *c, struct buf *warnings)
{
	bool sound = true;

	for (size_t i = 0; i < c->n_domains; i++) {
		const struct config_domain *d = &c->domains[i];
		struct users_file *users = NULL;
		if (d->users != USERS_SQLITE && d->users != USERS_FILE)
			continue;
		/* That a file is missing has been said. */
		if (d->users == USERS_FILE && access(d->users_path, R_OK) < 0)
			continue;
		if (user_store_load(d, &users) < 0) {
			sound = false;
			continue;
		}
		warn_of(c, d, count(users), warnings);
		users_file_free(users);
	}
	return sound;
}

int cmd_check(struct cli *cli)
{
	int status = EX_OK_;
	struct config *c = cli_config(cli, &status);
	struct buf warnings = BUF_INIT(1 << 18), errors = BUF_INIT(1 << 18);

	if (!c)
		return status;
	int r = config_check_environment(c, &warnings, &errors);
	bool sound = users_are_sound(c, &warnings);
	for (size_t i = 0; i < c->n_unsupported; i++)
		(void)printf("note: %s\n", c->unsupported[i]);
	if (warnings.len)
		(void)fwrite(warnings.ptr, 1, warnings.len, stdout);
	if (errors.len)
		(void)fwrite(errors.ptr, 1, errors.len, stderr);
	bool bad = r < 0 || errors.len > 0 || !sound;
	if (!bad)
		(void)printf("%s: ok\n", c->path ? c->path : "evaluation mode");
	buf_done(&warnings);
	buf_done(&errors);
	config_free(c);
	return bad ? EX_CONFIG_ : EX_OK_;
}
