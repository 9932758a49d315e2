/* Folders: data is 0711 (its sockets are reached through it), data/spool 0700 and the dispatcher's,
 * data/auth 0700 and the directory's,
 * data/empty 0555 and nobody's. The fixed prefix of a maildir path, {domain} filled in from the
 * domain's block, is made if missing and given to the mailbox's account; an existing folder is
 * given over only if it is root's own and writable by nobody else, so that shared places like
 * /var/mail keep their owner. */
#include "process/resources.h"
#include "config/seal_key.h"
#include "process/sockets.h"
#include "process/tls_supply.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_WAIT_MSEC 15000
#define LOCK_STEP_MSEC 50
#define PATH_TEXT_MAX  4096u

void resources_init(struct resources *r)
{
	*r = (struct resources){.data_fd = -1, .server_lock = -1, .lock = -1};
}

void resources_done(struct resources *r)
{
	for (size_t i = 0; i < r->n; i++) {
		fd_close(r->items[i].fd);
		free(r->items[i].name);
		free(r->items[i].path);
	}
	free(r->items);
	fd_close(r->data_fd);
	fd_close(r->server_lock);
	fd_close(r->lock);
	resources_init(r);
}

int resources_add(struct resources *r, const char *name, int fd, const char *path)
{
	struct resource *grown = realloc(r->items, (r->n + 1) * sizeof(*grown));
	if (!grown) {
		fd_close(fd);
		return -ENOMEM;
	}
	r->items = grown;
	struct resource *item = &r->items[r->n];
	*item = (struct resource){
		.name = strdup(name), .fd = fd, .path = path ? strdup(path) : NULL};
	if (!item->name || (path && !item->path)) {
		fd_close(fd);
		free(item->name);
		free(item->path);
		return -ENOMEM;
	}
	r->n++;
	return 0;
}

struct resource *resources_find(struct resources *r, const char *name)
{
	for (size_t i = 0; r && i < r->n; i++)
		if (strcmp(r->items[i].name, name) == 0)
			return &r->items[i];
	return NULL;
}

int resources_set(struct resources *r, const char *name, int fd)
{
	struct resource *item = resources_find(r, name);

	if (!item)
		return resources_add(r, name, fd, NULL);
	fd_close(item->fd);
	item->fd = fd;
	return 0;
}

void resources_drop(struct resources *r, const char *prefix)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->n; i++) {
		if (strncmp(r->items[i].name, prefix, strlen(prefix)) != 0) {
			r->items[kept++] = r->items[i];
			continue;
		}
		fd_close(r->items[i].fd);
		free(r->items[i].name);
		free(r->items[i].path);
	}
	r->n = kept;
}

/* mkdir -p: parents 0755, the last one `mode`. */
static int make_path(const char *path, mode_t mode)
{
	char *copy = strdup(path);
	int r = 0;

	if (!copy)
		return -ENOMEM;
	for (char *p = copy + 1; r == 0 && *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			r = -errno;
		*p = '/';
	}
	if (r == 0 && mkdir(copy, mode) < 0)
		r = errno == EEXIST ? 0 : -errno;
	else if (r == 0)
		r = 1; /* made */
	free(copy);
	return r;
}

static int open_folder(int at, const char *path)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int lock_file(int data_fd, const char *name)
{
	int fd = openat(data_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static void sleep_msec(long msec)
{
	struct timespec t = {msec / 1000, (msec % 1000) * 1000000};
	(void)nanosleep(&t, NULL);
}

static int take_locks(struct resources *r, const struct config *c, struct buf *errors)
{
	r->server_lock = lock_file(r->data_fd, "server.lock");
	r->lock = lock_file(r->data_fd, "data.lock");
	if (r->server_lock < 0 || r->lock < 0) {
		int e = r->server_lock < 0 ? r->server_lock : r->lock;
		buf_printf(errors, "%s: cannot make the lock files: %s\n", c->data, strerror(-e));
		r->server_lock = r->server_lock < 0 ? -1 : r->server_lock;
		r->lock = r->lock < 0 ? -1 : r->lock;
		return e;
	}
	if (flock(r->server_lock, LOCK_EX | LOCK_NB) < 0) {
		buf_printf(errors,
			"%s: another server is running on this data folder: stop it first, or give "
			"this one a `data` folder of its own\n",
			c->data);
		return -EBUSY;
	}
	for (long waited = 0; flock(r->lock, LOCK_EX | LOCK_NB) < 0; waited += LOCK_STEP_MSEC) {
		if (waited >= LOCK_WAIT_MSEC) {
			buf_printf(errors,
				"%s: processes of an earlier server still hold this data folder: "
				"end them (fuser %s/data.lock names them)\n",
				c->data, c->data);
			return -EBUSY;
		}
		sleep_msec(LOCK_STEP_MSEC);
	}
	return 0;
}

/* The spool's files may be an earlier owner's (the first runs were another user's). */
static int own_folder(int fd, uid_t uid, gid_t gid)
{
	struct stat st;

	if (geteuid() != 0 || fstat(fd, &st) < 0 || (st.st_uid == uid && st.st_gid == gid))
		return 0;
	return fchown(fd, uid, gid) < 0 ? -errno : 0;
}

static int own_all_files(int folder, uid_t uid, gid_t gid)
{
	int r = 0, copy = fcntl(folder, F_DUPFD_CLOEXEC, 0);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);

	if (!d) {
		fd_close(copy);
		return -errno;
	}
	for (struct dirent *e; r == 0 && (e = readdir(d));) {
		struct stat st;
		if (e->d_name[0] == '.' || fstatat(folder, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISREG(st.st_mode) && st.st_uid != uid &&
			fchownat(folder, e->d_name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
			r = -errno;
	}
	(void)closedir(d);
	return r;
}

static int make_below(struct resources *r, const char *name, mode_t mode, int *ret_fd)
{
	if (mkdirat(r->data_fd, name, mode) < 0 && errno != EEXIST)
		return -errno;
	int fd = open_folder(r->data_fd, name);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

/* data/sts: the policies that deliverers have fetched (RFC 8461); data/tlsrpt: what the reporter
 * has counted, and its reports (RFC 8460). */
static int open_own(struct resources *r, const struct config *c, const struct accounts *a,
	const char *name, enum role role, struct buf *errors)
{
	int fd = -1;
	int e = make_below(r, name, 0700, &fd);

	if (e == 0 && geteuid() == 0) {
		e = own_folder(fd, a->uid[role], a->gid[role]);
		if (e == 0)
			e = own_all_files(fd, a->uid[role], a->gid[role]);
	}
	if (e < 0) {
		buf_printf(errors, "%s/%s: cannot prepare the folder: %s\n", c->data, name,
			strerror(-e));
		fd_close(fd);
		return e;
	}
	return resources_add(r, name, fd, NULL);
}

/* What reversible secrets are sealed by: for the keys process (config/seal_key.h). */
static int open_seal_key(struct resources *r, const struct config *c, struct buf *errors)
{
	int fd = seal_key_open(r->data_fd);

	if (fd < 0) {
		buf_printf(errors,
			"%s/" SEAL_KEY_FILE ": cannot make or read the key of reversible secrets: "
			"%s: give it to the user who runs the server\n",
			c->data, strerror(-fd));
		return fd;
	}
	return resources_add(r, "secrets", fd, NULL);
}

int resources_open_data(
	struct resources *r, const struct config *c, const struct accounts *a, struct buf *errors)
{
	int spool = -1, empty = -1, auth = -1;
	int e = make_path(c->data, 0711);

	if (e >= 0)
		e = r->data_fd = open_folder(AT_FDCWD, c->data);
	if (e < 0) {
		r->data_fd = -1;
		buf_printf(errors,
			"%s: cannot make or open the data folder: %s: make it yourself, or "
			"set `data` to a folder that this user can write\n",
			c->data, strerror(-e));
		return e;
	}
	if (faccessat(r->data_fd, ".", W_OK | X_OK, AT_EACCESS) < 0) {
		e = -errno;
		buf_printf(errors,
			"%s: the data folder is not writable: %s: chown it to the user who "
			"runs the server, or set `data` elsewhere\n",
			c->data, strerror(-e));
		return e;
	}
	e = take_locks(r, c, errors);
	if (e < 0)
		return e;
	e = make_below(r, "spool", 0700, &spool);
	if (e == 0)
		e = make_below(r, "empty", 0555, &empty);
	if (e == 0)
		e = make_below(r, "auth", 0700, &auth);
	if (e == 0 && geteuid() == 0) {
		e = own_folder(auth, a->uid[ROLE_DIRECTORY], a->gid[ROLE_DIRECTORY]);
		if (e == 0)
			e = own_all_files(auth, a->uid[ROLE_DIRECTORY], a->gid[ROLE_DIRECTORY]);
	}
	if (e == 0 && geteuid() == 0) {
		uid_t uid = a->uid[ROLE_DISPATCHER];
		gid_t gid = a->gid[ROLE_DISPATCHER];
		e = own_folder(spool, uid, gid);
		if (e == 0)
			e = own_all_files(spool, uid, gid);
	}
	if (e == 0 && fchmod(spool, 0700) < 0)
		e = -errno;
	if (e < 0) {
		buf_printf(errors, "%s/spool: cannot prepare the spool folder: %s\n", c->data,
			strerror(-e));
		fd_close(spool);
		fd_close(empty);
		fd_close(auth);
		return e;
	}
	e = resources_add(r, "spool", spool, NULL);
	int e2 = resources_add(r, "empty", empty, NULL), e3 = resources_add(r, "auth", auth, NULL);
	int e4 = open_own(r, c, a, "sts", ROLE_DELIVERER, errors);
	if (e4 == 0)
		e4 = open_own(r, c, a, "tlsrpt", ROLE_REPORTER, errors);
	int e6 = open_seal_key(r, c, errors);
	/* Unix sockets of others are found by their paths (confine.h). */
	int outside = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int e5 = outside < 0 ? -errno : resources_add(r, "outside", outside, NULL);
	return e < 0 ? e : e2 < 0 ? e2 : e3 < 0 ? e3 : e4 < 0 ? e4 : e5 < 0 ? e5 : e6;
}

int resources_add_shared(struct resources *r, const char *name, uint64_t octets)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)octets) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		int e = -errno;
		fd_close(fd);
		return e;
	}
	return resources_add(r, name, fd, NULL);
}

/* "/var/mail/{domain}/{local}" with {domain} filled in, up to the folder before the next "{". */
static void maildir_prefix(const char *template, const char *domain, struct buf *out)
{
	const char *p = template;

	while (*p && !(*p == '{' && strncmp(p, "{domain}", 8) != 0)) {
		if (*p == '{') {
			buf_str(out, domain);
			p += 8;
		} else {
			buf_char(out, *p++);
		}
	}
	if (*p == '{')
		while (out->len > 1 && out->ptr[out->len - 1] != '/')
			out->len--;
	while (out->len > 1 && out->ptr[out->len - 1] == '/')
		out->len--;
	buf_append(out, "", 1);
}

static int give_to_mailbox(int fd, bool made, const struct accounts *a)
{
	struct stat st;

	if (geteuid() != 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!made && (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH))))
		return 0;
	return fchown(fd, a->uid[ROLE_MAILBOX], a->gid[ROLE_MAILBOX]) < 0 ? -errno : 0;
}

static int open_maildir(struct resources *r, const struct target *t, const char *domain,
	const struct accounts *a, struct buf *errors)
{
	struct buf prefix = BUF_INIT(PATH_TEXT_MAX), name = BUF_INIT(PATH_TEXT_MAX + 16);
	int e = 0, fd = -1;

	if (t->kind != TARGET_MAILDIR)
		return 0;
	maildir_prefix(t->path, domain, &prefix);
	buf_str(&name, "maildir:");
	buf_put(&name, buf_span(&prefix));
	if (prefix.error || name.error)
		e = -ENAMETOOLONG;
	if (e == 0 && !resources_find(r, name.ptr)) {
		e = make_path(prefix.ptr, 0700);
		bool made = e == 1;
		if (e >= 0)
			e = fd = open_folder(AT_FDCWD, prefix.ptr);
		if (e >= 0 && (e = give_to_mailbox(fd, made, a)) >= 0)
			e = resources_add(r, name.ptr, fcntl(fd, F_DUPFD_CLOEXEC, 3), NULL);
		fd_close(fd < 0 ? -1 : fd);
	}
	if (e < 0)
		buf_printf(errors,
			"%s: cannot make or open the mail folder: %s: make it yourself, or "
			"change `deliver`\n",
			prefix.ptr ? prefix.ptr : t->text, strerror(-e));
	buf_done(&prefix);
	buf_done(&name);
	return e < 0 ? e : 0;
}

static void remember(struct resource *item)
{
	struct stat st;

	if (fstat(item->fd, &st) < 0)
		return;
	item->dev = st.st_dev;
	item->ino = st.st_ino;
	item->size = (uint64_t)st.st_size;
	item->mtime_nsec = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
}

static int open_file(struct resources *r, const char *name, const char *kind, const char *path,
	struct buf *errors)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		int e = -errno;
		buf_printf(errors,
			"%s: cannot read the %s file: %s: create it (an empty one will do), or "
			"correct the path\n",
			path, kind, strerror(-e));
		return e;
	}
	int e = resources_add(r, name, fd, path);
	if (e == 0)
		remember(&r->items[r->n - 1]);
	return e;
}

static int open_table(
	struct resources *r, const char *kind, size_t index, const char *path, struct buf *errors)
{
	char name[64];

	if (!path)
		return 0;
	(void)snprintf(name, sizeof(name), "%s:%zu", kind, index);
	return open_file(r, name, kind, path, errors);
}

/* "ca:" and "credentials:", with the name of the route behind it; nothing for all of them. */
static int open_named(struct resources *r, const char *prefix, const char *route, const char *kind,
	const char *path, struct buf *errors)
{
	struct buf name = BUF_INIT(1024);

	if (!path)
		return 0;
	buf_printf(&name, "%s%s", prefix, route);
	buf_char(&name, '\0');
	int e = name.error ? name.error : open_file(r, name.ptr, kind, path, errors);
	buf_done(&name);
	return e;
}

static int open_outbound(
	struct resources *r, const struct config_outbound *o, const char *route, struct buf *errors)
{
	int e = open_named(r, "ca:", route, "roots", o->tls_ca, errors);
	int e2 = open_named(r, "credentials:", route, "credentials", o->credentials, errors);
	return e < 0 ? e : e2;
}

/* The system's roots may be missing (no ca-certificates): then only what needs them waits. */
static int open_roots(struct resources *r, const struct config *c, struct buf *errors)
{
	const char *path = config_roots_path(c);
	return path ? open_file(r, "ca:", "roots", path, errors) : 0;
}

int resources_open(struct resources *r, struct resources *old, const struct config *c,
	const struct accounts *a, struct buf *errors)
{
	int data_fd = r->data_fd >= 0 ? r->data_fd : old->data_fd;
	int failed = sockets_open_listeners(r, old, c, errors);
	int e = sockets_open_unix(r, old, c, data_fd, "control", SOCK_SEQPACKET, 0600, errors);

	failed = e < 0 ? e : failed;
	e = sockets_open_unix(r, old, c, data_fd, "submit", SOCK_STREAM, 0666, errors);
	failed = e < 0 ? e : failed;
	for (size_t i = 0; i < c->n_domains; i++) {
		const struct config_domain *d = &c->domains[i];
		e = open_maildir(r, &d->deliver, d->name, a, errors);
		failed = e < 0 ? e : failed;
		e = open_table(r, "users", i, d->users_path, errors);
		failed = e < 0 ? e : failed;
		e = open_table(r, "aliases", i, d->aliases_path, errors);
		failed = e < 0 ? e : failed;
		e = open_table(r, "senders", i, d->senders_path, errors);
		failed = e < 0 ? e : failed;
	}
	e = open_table(r, "trust_anchor", 0, c->dns.trust_anchor, errors);
	failed = e < 0 ? e : failed;
	e = open_roots(r, c, errors);
	failed = e < 0 ? e : failed;
	e = open_outbound(r, &c->relay.out, "relay", errors);
	failed = e < 0 ? e : failed;
	for (size_t i = 0; i < c->n_routes; i++) {
		e = open_maildir(r, &c->routes[i].via, "", a, errors);
		failed = e < 0 ? e : failed;
		e = open_table(r, "route", i, c->routes[i].table, errors);
		failed = e < 0 ? e : failed;
		e = open_outbound(r, &c->routes[i].out, c->routes[i].domain, errors);
		failed = e < 0 ? e : failed;
	}
	e = tls_supply_open(r, c, data_fd, errors);
	return e < 0 ? e : failed;
}

bool resources_have_new_folder(const struct resources *next, const struct resources *old)
{
	for (size_t i = 0; i < next->n; i++) {
		bool known = strncmp(next->items[i].name, "maildir:", 8) != 0;
		for (size_t j = 0; j < old->n && !known; j++)
			known = strcmp(next->items[i].name, old->items[j].name) == 0;
		if (!known)
			return true;
	}
	return false;
}

void resources_stop_listening(const struct resources *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (strncmp(r->items[i].name, "listener:", 9) == 0 ||
			strcmp(r->items[i].name, "submit") == 0)
			(void)shutdown(r->items[i].fd, SHUT_RDWR);
}

void resources_adopt(struct resources *next, struct resources *old)
{
	static const char *const kept[] = {
		"spool", "empty", "outside", "auth", "sts", "permits", "tickets"};

	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		struct resource *item = resources_find(old, kept[i]);
		if (item && resources_add(next, item->name, item->fd, NULL) == 0)
			item->fd = -1;
	}
	next->data_fd = old->data_fd;
	next->server_lock = old->server_lock;
	next->lock = old->lock;
	old->data_fd = old->server_lock = old->lock = -1;
	resources_done(old);
}

bool resources_refresh_tables(struct resources *r)
{
	bool changed = false;

	for (size_t i = 0; i < r->n; i++) {
		struct resource *item = &r->items[i];
		struct stat st;
		if (item->ino == 0 || !item->path || stat(item->path, &st) < 0)
			continue;
		uint64_t mtime =
			(uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
		if (st.st_dev == item->dev && st.st_ino == item->ino && mtime == item->mtime_nsec &&
			(uint64_t)st.st_size == item->size)
			continue;
		int fd = open(item->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (fd < 0)
			continue;
		fd_close(item->fd);
		item->fd = fd;
		remember(item);
		changed = true;
	}
	return changed;
}
