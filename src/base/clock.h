/* The two clocks and randomness of a running process. What is simulated takes them from
 * struct seam (spool/seam.h) instead. */
#pragma once
#include "base/base.h"
uint64_t clock_monotonic_usec(void);
uint64_t clock_wall_usec(void); /* since 1970, UTC */
/* Cryptographic; aborts if the kernel has none. */
void random_octets(void *ptr, size_t len);
