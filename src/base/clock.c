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
