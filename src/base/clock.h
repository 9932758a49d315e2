/* The two clocks and randomness of a running process. What is simulated takes them from
 * struct seam (spool/seam.h) instead. */
#pragma once
#include "base/base.h"
uint64_t clock_monotonic_usec(void);
uint64_t clock_wall_usec(void); /* since 1970, UTC */
/* Cryptographic; aborts if the kernel has none. */
void random_octets(void *ptr, size_t len);
/* Wall time taken apart, UTC, proleptic Gregorian. Unlike gmtime_r(3) it opens no file (the time
 * zone database), so that confined processes can call it. */
struct clock_date {
	unsigned year, month, day, weekday; /* month and day from 1, weekday 0 = Sunday */
	unsigned hour, minute, second, usec;
};
struct clock_date clock_date_utc(uint64_t wall_usec);
