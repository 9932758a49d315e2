/* AUTH as a client (RFC 4954), for smart hosts. */
#pragma once
#include "deliver/smtp_client.h"

/* In the order of preference. */
#define CLIENT_AUTH_SCRAM_SHA_256_PLUS 1u
#define CLIENT_AUTH_SCRAM_SHA_256      2u
#define CLIENT_AUTH_SCRAM_SHA_1_PLUS   4u
#define CLIENT_AUTH_SCRAM_SHA_1	       8u
#define CLIENT_AUTH_PLAIN	       16u
#define CLIENT_AUTH_LOGIN	       32u
#define CLIENT_AUTH_CRAM_MD5	       64u  /* last: it proves less and its server keeps more */
#define CLIENT_AUTH_EXTERNAL	       128u /* first, where we have shown a certificate */

#define AUTH_STEPS_MAX 8u
#define AUTH_LINE_MAX  12288u /* RFC 4954 4.3 */

/* Of an EHLO line's words. */
uint32_t auth_mechanisms(struct span words);
/* What we have for it. */
struct auth_means {
	bool tls;	  /* the connection is encrypted: PLUS forms can be used */
	bool certificate; /* the server has seen ours */
	bool password;
};
/* The one to use. 0: none. */
uint32_t auth_choose(uint32_t offered, struct auth_means means);
const char *auth_mechanism_name(uint32_t mechanism);

/* Logs in. 0; -EACCES: refused, *r has the reply; -EPROTO: the server did what the mechanism does
 * not allow (a wrong server signature, too many rounds), r is empty; errors of the stream. Must not
 * be called over clear text but on loopback. user and password: not for EXTERNAL, which says no
 * name: whose certificate it is, the server knows. */
SUSPENDS MUST_CHECK int auth_run(struct smtp_client *c, uint32_t mechanism, const char *user,
	const char *password, uint64_t usec, struct reply *r);
