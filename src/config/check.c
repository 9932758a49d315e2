/* The part of `postrider check` that looks at the machine: folders, user files, ports, names. The
 * text of the configuration is fine already. It asks the kernel with the caller's effective
 * rights and never creates, writes or chmods: `check` must be safe to run beside a live server.
 * Hence a port in use is a warning only (the live server holds it). */
#include "config/check.h"
#include "config/check_modes.h"
#include "config/name.h"
#include "config/seal_key.h"
#include "config/tls_files.h"
#include "mail/mechanism.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A user or alias file is read up to here to find its postmaster. */
#define POSTMASTER_OCTETS_MAX (4 * 1024 * 1024)

struct checking {
	const struct config *c;
	struct buf *warnings, *errors;
	unsigned n_errors;
};

PRINTF(4, 0)
static void vsay(struct checking *k, struct buf *out, const char *at, const char *fmt, va_list ap)
{
	buf_printf(out, "%s: ", at ? at : k->c->path ? k->c->path : "evaluation");
	buf_vprintf(out, fmt, ap);
	buf_char(out, '\n');
}

/* at: "FILE:LINE", or NULL for the configuration as a whole. */
static void PRINTF(3, 4) fail(struct checking *k, const char *at, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsay(k, k->errors, at, fmt, ap);
	va_end(ap);
	k->n_errors++;
}

static void PRINTF(3, 4) warn(struct checking *k, const char *at, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsay(k, k->warnings, at, fmt, ap);
	va_end(ap);
}

void config_maildir_prefix(const struct target *t, struct buf *out)
{
	if (t->kind != TARGET_MAILDIR || !t->path)
		return;
	size_t len = strcspn(t->path, "{");
	if (t->path[len]) {
		while (len > 0 && t->path[len - 1] != '/')
			len--;
		while (len > 1 && t->path[len - 1] == '/')
			len--;
	}
	buf_append(out, t->path, len);
}

/* ---- folders ---- */

/* The deepest part of path that exists; path is shortened to it. */
static int existing_part(char *path, struct stat *ret_st)
{
	while (stat(path, ret_st) < 0) {
		if (errno != ENOENT)
			return -errno;
		char *slash = strrchr(path, '/');
		if (!slash)
			return -ENOENT;
		slash[slash == path ? 1 : 0] = '\0';
	}
	return 0;
}

/* The folder must be one that we can write to, or be able to be made. */
static void check_folder(struct checking *k, const char *at, const char *what, const char *folder)
{
	struct stat st;
	CLEANUP(freep) char *part = strdup(folder);
	if (!part)
		return;
	int r = existing_part(part, &st);
	bool exists = strcmp(part, folder) == 0;
	if (r >= 0 && !S_ISDIR(st.st_mode)) {
		fail(k, at, "%s '%s': '%s' is no folder: remove it or choose another path", what,
			folder, part);
		return;
	}
	if (r >= 0 && faccessat(AT_FDCWD, part, W_OK | X_OK, AT_EACCESS) < 0)
		r = -errno;
	if (r == -EROFS)
		fail(k, at,
			"%s '%s' is on a file system that is mounted read-only: remount it or "
			"choose another path",
			what, folder);
	else if (r == -EACCES || r == -EPERM)
		fail(k, at,
			"%s '%s': no permission to write to '%s': change its owner or mode, or "
			"start as root",
			what, folder, part);
	else if (r < 0)
		fail(k, at, "%s '%s': %s: choose another path", what, folder, strerror(-r));
	else if (!exists)
		warn(k, at, "%s '%s' does not exist yet: serve will create it", what, folder);
}

static void check_target(struct checking *k, const char *at, const struct target *t)
{
	struct buf prefix = BUF_INIT(65536);

	config_maildir_prefix(t, &prefix);
	buf_char(&prefix, '\0');
	/* What lies in the data folder is checked with it. */
	size_t len = strlen(k->c->data);
	if (!prefix.error && prefix.len > 1 &&
		!(strncmp(prefix.ptr, k->c->data, len) == 0 &&
			(prefix.ptr[len] == '/' || !prefix.ptr[len])))
		check_folder(k, at, "the mail folder", prefix.ptr);
	buf_done(&prefix);
}

/* ---- domains ---- */

/* Opens a file of lines; says why not. what: "the table of routes". */
static int open_file(
	struct checking *k, const char *at, const char *what, const char *path, const char *remedy)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r = fd < 0 ? -errno : fstat(fd, &st) < 0 ? -errno : 0;

	if (r >= 0 && !S_ISREG(st.st_mode)) {
		fail(k, at, "%s '%s' is no regular file: name a file", what, path);
		return fd_close(fd);
	}
	if (r >= 0)
		return fd;
	if (r == -ENOENT)
		fail(k, at, "%s '%s' does not exist: %s", what, path, remedy);
	else if (r == -EACCES)
		fail(k, at,
			"no permission to read %s '%s': change its owner or mode, or start as root",
			what, path);
	else
		fail(k, at, "%s '%s' cannot be read: %s: correct the path", what, path,
			strerror(-r));
	return fd_close(fd);
}

static int open_table(struct checking *k, const struct config_domain *d, const char *key,
	const char *path, const char *remedy)
{
	struct buf what = BUF_INIT(512);

	buf_printf(&what, "domain \"%s\": the %s file", d->name, key);
	buf_char(&what, '\0');
	int fd = open_file(k, d->at, what.error ? key : what.ptr, path, remedy);
	buf_done(&what);
	return fd;
}

/* Whether a line of the file starts with "postmaster:". Closes fd. */
static bool names_postmaster(int fd)
{
	static const struct span wanted = {"postmaster", 10};
	struct buf text = BUF_INIT(POSTMASTER_OCTETS_MAX);
	bool found = false;

	for (;;) {
		char *space = buf_reserve(&text, 4096);
		ssize_t n = space ? read(fd, space, 4096) : 0;
		if (n <= 0)
			break;
		text.len += (size_t)n;
	}
	fd_close(fd);
	for (struct span rest = buf_span(&text); rest.len > 0 && !found;) {
		size_t end = span_index(rest, '\n');
		struct span line = span_trim(span_head(rest, end));
		struct span name = span_trim(span_head(line, span_index(line, ':')));
		name = span_head(name, span_index(name, '@'));
		found = name.len < line.len && span_equal_nocase(name, wanted);
		rest = span_from(rest, end + 1);
	}
	buf_done(&text);
	return found;
}

static void check_domain(struct checking *k, const struct config_domain *d)
{
	bool postmaster = d->users == USERS_ANY || d->users == USERS_SQLITE || d->catch_all;
	unsigned before = k->n_errors;

	if (d->users == USERS_SQLITE)
		fd_close(open_table(k, d, "users", d->users_path,
			"add the first user with 'postrider user add', which makes it"));
	if (d->users == USERS_FILE) {
		int fd = open_table(k, d, "users", d->users_path,
			"create it, one NAME:HASH a line, or add the first user with "
			"'postrider user add'");
		if (fd >= 0 && names_postmaster(fd))
			postmaster = true;
	}
	if (d->senders_path)
		fd_close(open_table(k, d, "senders", d->senders_path,
			"create it, one USER: ADDRESS a line, or remove the key"));
	if (d->aliases_path) {
		int fd = open_table(k, d, "aliases", d->aliases_path,
			"create it, one NAME: ADDRESS a line, or remove the key");
		if (fd >= 0 && names_postmaster(fd))
			postmaster = true;
	}
	/* RFC 5321 4.5.1: every domain has a postmaster. */
	if (!postmaster && k->n_errors == before)
		warn(k, d->at,
			"domain \"%s\" has no postmaster, which RFC 5321 asks for: add "
			"'postmaster: YOU' to its aliases",
			d->name);
	check_target(k, d->at, &d->deliver);
}

static void check_route(struct checking *k, const struct config_route *r)
{
	check_target(k, r->at, &r->via);
	if (r->table)
		fd_close(open_file(k, r->at, "the table of routes", r->table,
			"create it, one NAME [TARGET] a line, or remove the block"));
}

/* ---- ports ---- */

static int try_bind(const struct address *a)
{
	const int on = 1;
	int family = a->ss.ss_family;
	CLEANUP(fd_closep) int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	/* As the server binds: not stopped by connections that are still closing, and IPv6 apart
	 * from IPv4. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	return bind(fd, (const struct sockaddr *)&a->ss, a->len) < 0 ? -errno : 0;
}

static void check_address(
	struct checking *k, const struct config_listener *l, const struct config_address *a)
{
	if (address_is_unix(&a->address))
		return; /* binding it would leave a socket behind */
	int r = try_bind(&a->address);
	if (r == -EACCES || r == -EPERM)
		fail(k, l->at,
			"listener \"%s\": port %u of %s is below 1024 and needs root: start "
			"as root, give CAP_NET_BIND_SERVICE, or choose a port above 1023",
			l->name, address_port(&a->address), a->text);
	else if (r == -EADDRINUSE)
		warn(k, l->at,
			"listener \"%s\": %s is in use: stop what holds it, unless that is "
			"this server already running",
			l->name, a->text);
	else if (r == -EADDRNOTAVAIL)
		warn(k, l->at,
			"listener \"%s\": no interface of this machine has %s now: correct "
			"the address or bring the interface up",
			l->name, a->text);
	else if (r == -EAFNOSUPPORT)
		warn(k, l->at,
			"listener \"%s\": this machine has no IPv6 for %s: remove the "
			"address",
			l->name, a->text);
	else if (r < 0)
		warn(k, l->at, "listener \"%s\": cannot bind %s: %s: correct the address", l->name,
			a->text, strerror(-r));
}

/* ---- the rest ---- */

static void check_hostname(struct checking *k)
{
	const char *last = strrchr(k->c->hostname, '.');
	if (k->c->evaluation || (last && last[1]))
		return;
	warn(k, NULL,
		"hostname '%s' is no full name, and other servers may refuse it: set hostname "
		"= \"mx.example.org\", the name that the machine's address has in DNS",
		k->c->hostname);
}

static void check_file_mode(struct checking *k)
{
	struct stat st;
	if (k->c->path && stat(k->c->path, &st) == 0 && (st.st_mode & S_IWOTH))
		warn(k, NULL, "everybody may write to the configuration: chmod o-w '%s'",
			k->c->path);
}

static void check_limits(struct checking *k)
{
	/* RFC 5321 4.5.3.1.7 */
	if (k->c->limits.message_size < 65536)
		warn(k, NULL,
			"limits.message_size is below 64K, which RFC 5321 asks every server to "
			"take: raise it");
	if (k->c->queue.warn >= k->c->queue.expire)
		warn(k, NULL,
			"queue.warn is not below queue.expire, so no delay is ever reported: "
			"lower it, or set it to 0");
}

static void check_auth(struct checking *k)
{
	if (k->c->auth.mechanisms & MECH_BIT(MECH_CRAM_MD5))
		warn(k, NULL,
			"auth.mechanisms offers CRAM-MD5, which is weaker than the others: its "
			"passwords can be read back with data/" SEAL_KEY_FILE
			", a stolen exchange can be searched fast, and clients that choose it fail "
			"for users without 'postrider user passwd --reversible': remove it unless "
			"a "
			"device knows nothing else");
}

static void check_shown(struct checking *k)
{
	struct tls_shown shown;

	for (size_t cursor = 0; tls_shown_next(k->c, &cursor, &shown);) {
		CLEANUP(tls_files_freep) struct tls_files *f = NULL;
		int r = tls_shown_read(&shown, &f, k->errors);
		if (r == 0)
			r = tls_files_judge(f, k->c, (int64_t)time(NULL), k->warnings, k->errors);
		if (r < 0)
			k->n_errors++;
	}
}

/* As the supervisor does it before it starts and reloads. */
static void check_tls(struct checking *k)
{
	CLEANUP(tls_files_freep) struct tls_files *f = NULL;
	bool people = false;

	check_shown(k);

	for (size_t i = 0; i < k->c->n_listeners; i++)
		people |= k->c->listeners[i].role == LISTENER_SUBMISSION;
	if (!tls_is_wanted(k->c))
		return;
	if (k->c->tls.n_certificates == 0) {
		if (people && !k->c->evaluation)
			warn(k, k->c->tls.at,
				"no certificate is named, so the server makes itself one, which "
				"people's mail programs refuse: add tls { certificate = "
				"\"FULLCHAIN.pem\" key = \"FILE.key\" }");
		return;
	}
	int r = tls_files_read(k->c, &f, k->errors);
	if (r == 0)
		r = tls_files_judge(f, k->c, (int64_t)time(NULL), k->warnings, k->errors);
	if (r < 0)
		k->n_errors++;
}

int config_check_environment(const struct config *c, struct buf *warnings, struct buf *errors)
{
	struct checking k = {.c = c, .warnings = warnings, .errors = errors};

	check_file_mode(&k);
	config_check_modes(c, warnings);
	check_hostname(&k);
	check_limits(&k);
	check_folder(&k, NULL, "the data folder", c->data);
	for (size_t i = 0; i < c->n_listeners; i++)
		for (size_t j = 0; j < c->listeners[i].n_addresses; j++)
			check_address(&k, &c->listeners[i], &c->listeners[i].addresses[j]);
	for (size_t i = 0; i < c->n_domains; i++)
		check_domain(&k, &c->domains[i]);
	for (size_t i = 0; i < c->n_routes; i++)
		check_route(&k, &c->routes[i]);
	check_target(&k, NULL, &c->relay.via);
	check_auth(&k);
	check_tls(&k);
	k.n_errors += config_check_dns(c, warnings, errors);
	return k.n_errors > 0 ? -EINVAL : 0;
}
