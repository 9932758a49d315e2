/* Is a message too big? RFC 1870 6.1 (declared) and 6.3 (received). Pure. */
#pragma once
#include "mail/verdict.h"

/* limit 0: none. 250, or 552 5.3.4. */
struct verdict check_size(uint64_t octets, uint64_t limit);
