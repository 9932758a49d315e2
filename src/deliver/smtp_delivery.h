/* A job of SMTP or LMTP from beginning to end. */
#pragma once
#include "deliver/cache.h"

/* hostname: for EHLO; copied. */
SUSPENDS void smtp_deliver(struct delivery *d, struct cache *cache, const char *hostname);
