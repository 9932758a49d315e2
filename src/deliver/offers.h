/* What a peer's EHLO offers beyond the basics, keyword by keyword. */
#pragma once
#include "base/span.h"

struct offers {
	bool chunking, binarymime;   /* RFC 3030 */
	bool smtputf8;		     /* RFC 6531 */
	bool dsn;		     /* RFC 3461 */
	bool deliverby, mt_priority; /* RFC 2852, 6710 */
	bool prdr;		     /* draft-hall-prdr */
	uint64_t by_min_sec;	     /* RFC 2852 2: the shortest by-time in mode R; 0: any */
	/* RFC 9422 4; 0: none said. */
	uint64_t mail_max, rcpt_max, rcpt_domain_max;
};
/* One keyword with its value (empty: none). Unknown ones are ignored (RFC 5321 2.2.1). */
void offers_learn(struct offers *o, struct span keyword, struct span value);
