/* Mail addresses as SMTP spells them. RFC 5321 4.1.2 (ABNF stands in path.c), RFC 6531 3.3 for
 * UTF-8 when `utf8` is given. Values borrow from the input line. */
#pragma once
#include "base/buf.h"

/* RFC 5321 4.5.3.1 */
#define LOCAL_PART_MAX 64
#define DOMAIN_MAX     255
#define PATH_MAX_SMTP  256

enum domain_kind {
	DOMAIN_NAME,
	DOMAIN_LITERAL_V4,
	DOMAIN_LITERAL_V6,
	DOMAIN_LITERAL_OTHER,
	DOMAIN_NONE
};
struct path {
	struct span text;   /* between < and >, without a source route: "" for <> */
	struct span local;  /* as written, quotes included */
	struct span domain; /* as written, brackets included; empty for <> and <postmaster> */
	enum domain_kind domain_kind;
	bool is_null; /* <> */
};
enum path_use { PATH_REVERSE, PATH_FORWARD }; /* reverse allows <>; forward allows <postmaster> */
/* Parses "<...>" at the start of `in`; ret_rest is what follows ">". Source routes
 * (<@a,@b:u@d>) are accepted and ignored (RFC 5321 4.1.1.3). -EINVAL syntax, -ERANGE too long. */
MUST_CHECK int path_parse(
	struct span in, enum path_use use, bool utf8, struct path *ret_path, struct span *ret_rest);
/* A bare mailbox "local@domain" (or "local" where allow_local), whole span. */
MUST_CHECK int mailbox_parse(struct span in, bool utf8, bool allow_local, struct path *ret_path);
/* A Domain or address literal, whole span: EHLO's argument is looser (see command.h). */
MUST_CHECK int domain_parse(struct span in, bool utf8, enum domain_kind *ret_kind);
/* The canonical form for comparing and storing: local part unquoted where it can be, domain in
 * lower case. Keeps the local part's case. */
void path_canonical(const struct path *p, struct buf *out);
/* The local part's meaning: quotes and backslashes removed, lower case when `lower`. */
void local_part_unquoted(struct span local, bool lower, struct buf *out);
/* The local part as it must be written: quoted only if it needs to be. */
void local_part_quoted(struct span meaning, struct buf *out);
