/* A users file: one `name:hash[:SCRAM keys...]` a line; an empty hash receives mail and cannot log
 * in; `#` begins a comment line. Local parts compare without case. */
#pragma once
#include "base/buf.h"

#define USERS_FILE_MAX (64u << 20)
#define USER_NAME_MAX  64u

struct users_file;
/* Parses octets (copied). errors: "NAME:LINE: what: remedy", one line each; a bad line is left out
 * and the rest counts. -ENOMEM, -EFBIG. */
MUST_CHECK int users_file_parse(
	struct span text, const char *name, struct users_file **ret, struct buf *errors);
void users_file_free(struct users_file *u);
/* Every line was understood: a name that is not found does not exist. */
bool users_file_complete(const struct users_file *u);
size_t users_file_count(const struct users_file *u);
/* name: the meaning of a local part (unquoted). */
bool users_file_has(const struct users_file *u, struct span name);
/* The line's rest after "name:", false when there is none. */
bool users_file_hash(const struct users_file *u, struct span name, struct span *ret_hash);

/* In no order; cursor from 0. false: the end. */
bool users_file_next(
	const struct users_file *u, size_t *cursor, struct span *ret_name, struct span *ret_rest);

/* For the command line: the file is rewritten beside itself, synced and renamed; mode, owner and
 * comments are kept. hash NULL removes. add: -EEXIST; remove, change: -ENOENT. A missing file is
 * made (0600) by add. */
/* USERS_ADD_FIELDS: hash is HASH:FIELD...; the fields are added behind the user whose hash is still
 * that one, -ENOENT otherwise. */
enum users_edit { USERS_ADD, USERS_CHANGE, USERS_REMOVE, USERS_ADD_FIELDS };
MUST_CHECK int users_file_edit(
	const char *path, enum users_edit how, struct span name, struct span hash);
/* Can this name stand in a users file? */
bool users_file_name_ok(struct span name);
