/* The keys of TLS session tickets (RFC 5077, RFC 8446 4.6.1), in a page that the supervisor writes
 * and every receiver reads: a client may come back to any of them. */
#pragma once
#include "base/base.h"

#define TICKET_KEYS	  3u /* the newest makes tickets, the others still read them */
#define TICKET_PERIOD_SEC (8u * 3600u)
#define TICKET_LIFE_SEC	  (2u * TICKET_PERIOD_SEC) /* what clients are told */

struct ticket_key {
	uint8_t name[16];
	uint8_t aes[32];
	uint8_t hmac[32];
};
struct ticket_page {
	uint64_t sequence; /* odd while it is being written */
	struct ticket_key keys[TICKET_KEYS];
};
/* A new newest key from the kernel's randomness; the oldest is forgotten. */
void tickets_rotate(struct ticket_page *page);
/* A whole copy, whatever the writer does meanwhile. -EAGAIN: it did too much. */
MUST_CHECK int tickets_read(const struct ticket_page *page, struct ticket_key ret[TICKET_KEYS]);
