/* Time and randomness as the kernel gives them.
 *
 * Two clocks, never mixed: deadlines and durations run on the monotonic clock, which no
 * administrator and no NTP step can move; dates in headers and logs come from the wall clock.
 * Code that the simulator runs takes both from its seam and never calls these functions. */
#include "base/clock.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static uint64_t clock_read(clockid_t id)
{
	struct timespec ts;

	int r = clock_gettime(id, &ts);
	assert(r == 0);
	(void)r;
	return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t clock_monotonic_usec(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

uint64_t clock_wall_usec(void)
{
	return clock_read(CLOCK_REALTIME);
}

struct clock_date clock_date_utc(uint64_t wall_usec)
{
	uint64_t seconds = wall_usec / USEC_PER_SEC;
	uint64_t days = seconds / 86400, rest = seconds % 86400;
	struct clock_date d = {
		.weekday = (unsigned)((days + 4) % 7), /* 1970 began on a Thursday */
		.hour = (unsigned)(rest / 3600),
		.minute = (unsigned)(rest / 60 % 60),
		.second = (unsigned)(rest % 60),
		.usec = (unsigned)(wall_usec % USEC_PER_SEC),
	};

	/* Count from 1 March of the year 0, so that the leap day is the last of its year and the
	 * months' lengths follow one formula (31, 30, 31, 30, 31 twice, then 31, 28 or 29). */
	days += 719468;
	uint64_t era = days / 146097, day = days % 146097; /* 400 years, always as long */
	uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	uint64_t day_of_year = day - (365 * year + year / 4 - year / 100);
	uint64_t month = (5 * day_of_year + 2) / 153; /* 0 = March */
	d.day = (unsigned)(day_of_year - (153 * month + 2) / 5 + 1);
	d.month = (unsigned)(month < 10 ? month + 3 : month - 9);
	d.year = (unsigned)(era * 400 + year + (month >= 10 ? 1 : 0));
	return d;
}

void random_octets(void *ptr, size_t len)
{
	char *p = ptr;

	while (len) {
		ssize_t n = getrandom(p, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		/* Weak randomness would make segment generations and hash keys guessable: better
		 * no process than that. */
		if (n <= 0)
			abort();
		p += n;
		len -= (size_t)n;
	}
}
