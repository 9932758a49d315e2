/* One SMTP command line, parsed: RFC 5321 4.1.1, ESMTP parameters 4.1.1.11. Pure; borrows from the
 * line. The session decides about state; this decides about syntax. */
#pragma once
#include "mail/path.h"
#include "mail/verdict.h"

#define COMMAND_LINE_MAX 510u /* RFC 5321 4.5.3.1.4, without CRLF */
#define COMMAND_LINE_MAX_EXTENDED                                                                  \
	4096u /* what we read: extensions add to it (4.5.3.1.4, 4954, 3461) */
#define COMMAND_PARAMS_MAX 20u

enum verb {
	VERB_UNKNOWN,
	VERB_HELO,
	VERB_EHLO,
	VERB_LHLO,
	VERB_MAIL,
	VERB_RCPT,
	VERB_DATA,
	VERB_BDAT,
	VERB_RSET,
	VERB_NOOP,
	VERB_VRFY,
	VERB_EXPN,
	VERB_HELP,
	VERB_QUIT,
	VERB_STARTTLS,
	VERB_AUTH,
	VERB_ETRN,
	VERB_XCLIENT,
	VERB_XFORWARD,
	VERB_HTTP, /* "GET / HTTP/1.1" and friends: a cross-protocol attack; answer 554 and close */
	VERB_COUNT
};
struct esmtp_param {
	struct span keyword, value; /* value.ptr NULL: without "=" */
};
struct command {
	enum verb verb;
	struct span word;     /* the verb as written */
	struct span argument; /* after the verb, trimmed of leading/trailing white space */
	struct path path;     /* MAIL, RCPT */
	struct esmtp_param params[COMMAND_PARAMS_MAX];
	size_t n_params;
};
/* Always fills *ret (verb, word, argument). The verdict is 2xx when the syntax of that verb is
 * right; else what to answer: 500 5.5.2 unknown verb or control octets, 501 5.5.4 bad or missing
 * argument or duplicate parameter, 501 5.1.7 bad reverse-path, 501 5.1.3 bad forward-path,
 * 500 5.5.6? for too many params use 501 5.5.4. */
struct verdict command_parse(struct span line, bool utf8, struct command *ret);
const char *verb_name(enum verb v);
/* EHLO/HELO argument: Domain or address-literal; HELO is lenient about underscores as peers are. */
bool ehlo_argument_ok(struct span arg);
