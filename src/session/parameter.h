/* The parameters of MAIL and RCPT, one function each: they read a value into the transaction (of
 * RCPT into tx.next) and answer 2xx, or what is wrong with it. extension.c has the table. */
#pragma once
#include "session/state.h"

#define PARAM_OK VERDICT(250, "2.1.0", "Ok")
/* RFC 5321 4.1.1.11 */
#define PARAM_BAD(text) VERDICT(501, "5.5.4", text)

struct verdict param_size(struct session *s, struct span value);	/* RFC 1870 */
struct verdict param_body(struct session *s, struct span value);	/* RFC 6152, 3030 */
struct verdict param_smtputf8(struct session *s, struct span value);	/* RFC 6531 */
struct verdict param_ret(struct session *s, struct span value);		/* RFC 3461 4.3 */
struct verdict param_envid(struct session *s, struct span value);	/* 4.4 */
struct verdict param_notify(struct session *s, struct span value);	/* 4.1 */
struct verdict param_orcpt(struct session *s, struct span value);	/* 4.2 */
struct verdict param_mt_priority(struct session *s, struct span value); /* RFC 6710 */
struct verdict param_by(struct session *s, struct span value);		/* RFC 2852 */
struct verdict param_holdfor(struct session *s, struct span value);	/* RFC 4865 */
struct verdict param_holduntil(struct session *s, struct span value);
/* After all of MAIL's: may a message be held so long that its by-time is over by then? */
struct verdict param_times_agree(const struct session *s);
struct verdict param_requiretls(struct session *s, struct span value); /* RFC 8689 */
struct verdict param_prdr(struct session *s, struct span value);       /* draft-hall-prdr */
