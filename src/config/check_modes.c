/* What everybody on the machine may read is no secret, and what a group may change is no proof.
 * Groups may read: that is how Debian's ssl-cert and backups work. The supervisor reads all of
 * these as whoever starts the server, so that 0600 is always enough. */
#include "config/check_modes.h"
#include "config/seal_key.h"

#include <sys/stat.h>

void config_check_mode(const struct config *c, const char *at, const char *what, const char *path,
	struct buf *warnings)
{
	struct stat st;

	if (!path || stat(path, &st) < 0 || !S_ISREG(st.st_mode) ||
		!(st.st_mode & (S_IRWXO | S_IWGRP)))
		return;
	buf_printf(warnings, "%s: %s '%s' is of mode %04o, so that %s may %s it: chmod 600 '%s'\n",
		at	  ? at
		: c->path ? c->path
			  : "evaluation",
		what, path, (unsigned)(st.st_mode & 07777),
		st.st_mode & S_IRWXO ? "everybody on this machine" : "its group",
		st.st_mode & (S_IWOTH | S_IWGRP) ? "change" : "read", path);
}

static void check_outbound(const struct config *c, const char *at, const struct config_outbound *o,
	struct buf *warnings)
{
	config_check_mode(c, at, "the credentials file", o->credentials, warnings);
}

void config_check_modes(const struct config *c, struct buf *warnings)
{
	struct buf path = BUF_INIT(8192);

	for (size_t i = 0; i < c->n_routes; i++)
		check_outbound(c, c->routes[i].at, &c->routes[i].out, warnings);
	check_outbound(c, NULL, &c->relay.out, warnings);
	for (size_t i = 0; i < c->tls.n_keys; i++)
		config_check_mode(c, c->tls.at, "the private key", c->tls.keys[i], warnings);
	buf_printf(&path, "%s/" SEAL_KEY_FILE, c->data);
	buf_char(&path, '\0');
	if (path.error == 0)
		config_check_mode(c, NULL, "the key of reversible secrets", path.ptr, warnings);
	buf_done(&path);
}
