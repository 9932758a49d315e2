/* Names in the mail store: from a template and an address to a folder, and from a message to its
 * file. Pure functions; whatever an address holds, the result stays below the prefix. */
#pragma once
#include "base/buf.h"
#include "ipc/job.h"

#define MAILDIR_COMPONENT_MAX 255u /* NAME_MAX of every common file system */
#define MAILDIR_FOLDER_MAX    4096u

/* One value as (part of) a path component: "/", "%", NUL, control octets and a leading "." become
 * %XX, so that two values never give one name. */
void maildir_encode(struct span value, struct buf *out);
/* Expands {domain} and {local} in template and appends its components to out, joined by "/":
 * "var/mail/example.org/bob". local: unquoted, lower case. -EINVAL: the template is wrong (an
 * unknown {word}); -ENAMETOOLONG: a component or all of it; -ENOENT: local or domain is empty
 * where it is needed. */
MUST_CHECK int maildir_expand(
	struct span template, struct span local, struct span domain, struct buf *out);
/* What of folder (as maildir_expand wrote it) lies below prefix, an absolute path. False when it
 * is elsewhere, or would climb out by "..". Whole components are compared: a value cannot reach
 * into another prefix than the one its octets spell. */
bool maildir_below(struct span folder, struct span prefix, struct span *ret_rest);
/* "1763781000.M42V5G00R0.": what a file of this message for this recipient begins with, wherever
 * it has been moved; the same at every attempt. */
void maildir_stem(const struct job *j, uint32_t rcpt_index, struct buf *out);
/* The hostname as a part of a file name ("/" and ":" as \057 and \072). */
void maildir_hostname(struct span hostname, struct buf *out);
