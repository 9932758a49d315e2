/* Users in an SQLite database: one file for any number of domains. docs/auth.md has the schema.
 *
 * The command line opens the file by its name and writes. The directory process cannot open
 * anything: it reads the octets of the file behind an fd, under SQLite's own shared lock, and looks
 * at them in memory. */
#pragma once
#include "route/users_file.h"

#define USERS_SQLITE_MAX     (1u << 30)
#define USERS_SQLITE_VERSION 1 /* PRAGMA user_version */

/* Loads SQLite: before the process is confined; *ret_why (static text) says what is missing. The
 * command line need not call it. */
MUST_CHECK int users_sqlite_load(const char **ret_why);
/* The whole file to out, consistent. -EAGAIN: somebody is writing it. */
MUST_CHECK int users_sqlite_read(int fd, struct buf *out);
/* The domain's users as the text of a users file. errors: one line saying what is wrong and what to
 * do. -EBADMSG: no database, or not ours; -ENOMEM. */
MUST_CHECK int users_sqlite_text(struct span image, const char *path, const char *domain,
	struct buf *out, struct buf *errors);

/* For the command line; as users_file_edit. rest: HASH[:FIELD...]. A missing file is made by add.
 * -EBADMSG: errors has a line. */
MUST_CHECK int users_sqlite_edit(const char *path, enum users_edit how, const char *domain,
	struct span name, struct span rest, struct buf *errors);
