/* Does a message arrive fast enough? Pure. */
#pragma once
#include "mail/verdict.h"

/* A sender gets this long before its average counts: TCP's start, a scanner on its side. */
#define RATE_GRACE_USEC (30 * USEC_PER_SEC)

/* floor: octets a second, averaged since the start; 0: no rule. 250, or 421 4.4.2. */
struct verdict check_rate(uint64_t octets, uint64_t elapsed_usec, uint64_t floor);
