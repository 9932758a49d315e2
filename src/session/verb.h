/* The verbs: one file each, named by its RFC section. A verb gets a command whose syntax is right,
 * decides about state, acts, and returns the answer; VERDICT_NONE when the session ends without
 * one (the peer is gone). */
#pragma once
#include "session/state.h"

#define VERDICT_NONE VERDICT(0, "", "")

SUSPENDS struct verdict verb_ehlo(struct session *s, const struct command *c);
SUSPENDS struct verdict verb_lhlo(struct session *s, const struct command *c);
SUSPENDS struct verdict verb_helo(struct session *s, const struct command *c);
SUSPENDS struct verdict verb_auth(struct session *s, const struct command *c);
SUSPENDS struct verdict verb_starttls(struct session *s, const struct command *c);
SUSPENDS struct verdict verb_mail(struct session *s, const struct command *c);
SUSPENDS struct verdict verb_rcpt(struct session *s, const struct command *c);
SUSPENDS struct verdict verb_data(struct session *s, const struct command *c);
SUSPENDS struct verdict verb_bdat(struct session *s, const struct command *c);
SUSPENDS struct verdict verb_rset(struct session *s, const struct command *c);
SUSPENDS struct verdict verb_noop(struct session *s, const struct command *c);
SUSPENDS struct verdict verb_vrfy(struct session *s, const struct command *c);
SUSPENDS struct verdict verb_expn(struct session *s, const struct command *c);
SUSPENDS struct verdict verb_etrn(struct session *s, const struct command *c);
SUSPENDS struct verdict verb_xclient(struct session *s, const struct command *c);
SUSPENDS struct verdict verb_xforward(struct session *s, const struct command *c);
SUSPENDS struct verdict verb_help(struct session *s, const struct command *c);
SUSPENDS struct verdict verb_quit(struct session *s, const struct command *c);
