/* What the supervisor opens for the roles: folders, locks, listening sockets, tables. All of it is
 * opened with the supervisor's rights and handed down as fds. Errors go to `errors`, one line each
 * with the remedy. */
#pragma once
#include "config/config.h"
#include "process/accounts.h"

struct resource {
	char *name; /* as FRAME_FD names it */
	int fd;
	dev_t dev; /* of files that are watched for change */
	ino_t ino;
	uint64_t mtime_nsec, size;
	char *path;
};
/* What is known of the files of tls {} (tls_supply.c): which state of them is in use, which was
 * seen last, which was refused. */
struct resources_tls {
	uint64_t taken, pending, refused; /* 0: none */
	int64_t judged_sec;
};
struct resources {
	struct resource *items;
	size_t n;
	struct resources_tls tls;
	int data_fd;
	int server_lock; /* held by the supervisor only: another server says so and ends */
	int lock; /* inherited by all: a new server waits until the last old process is gone */
};

void resources_init(struct resources *r);
void resources_done(struct resources *r);
/* data, data/spool, data/empty, both locks. */
MUST_CHECK int resources_open_data(
	struct resources *r, const struct config *c, const struct accounts *a, struct buf *errors);
/* A zeroed table that processes of one role share (limits of connections): hints only. */
MUST_CHECK int resources_add_shared(struct resources *r, const char *name, uint64_t octets);
/* Takes over fd, also on error. path: of a file that is watched for change, or NULL. */
MUST_CHECK int resources_add(struct resources *r, const char *name, int fd, const char *path);
struct resource *resources_find(struct resources *r, const char *name); /* NULL: none; r may be */
/* Adds or replaces; takes over fd, also on error. */
MUST_CHECK int resources_set(struct resources *r, const char *name, int fd);
/* Closes all whose names begin so. */
void resources_drop(struct resources *r, const char *prefix);
/* Listening sockets, the unix sockets, maildir prefixes, users and aliases files, the files of tls
 * {}: what the configuration names. `old` (NULL at start): sockets with the same address are taken
 * over. */
MUST_CHECK int resources_open(struct resources *r, struct resources *old, const struct config *c,
	const struct accounts *a, struct buf *errors);
/* Does next have a mail folder that old has not? */
bool resources_have_new_folder(const struct resources *next, const struct resources *old);
/* Nobody connects any more, whoever else holds the sockets: a client is refused at once instead of
 * waiting for an accept that never comes. Established connections are not touched. */
void resources_stop_listening(const struct resources *r);
/* Moves what outlives a reload (data folder, locks, spool) from old to next; ends old. */
void resources_adopt(struct resources *next, struct resources *old);
/* Reopens tables that were replaced or changed; true when any was. */
bool resources_refresh_tables(struct resources *r);
