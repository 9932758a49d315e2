/* RFC 5321 5.1: lower preference first, and hosts of one preference in random order, to spread the
 * load. A set may be larger than what is tried: the choice among equal ones is made before the
 * cut, so that over time each gets its share. */
#include "deliver/hosts.h"
#include <sys/random.h>

uint64_t hosts_random(void *arg)
{
	uint64_t n = 0;
	(void)arg;
	if (getrandom(&n, sizeof(n), 0) != (ssize_t)sizeof(n))
		return 0; /* an order, if not a random one */
	return n;
}

struct place {
	uint16_t preference;
	uint64_t lot;
	uint32_t host;
};

static bool before(const struct place *a, const struct place *b)
{
	return a->preference != b->preference ? a->preference < b->preference : a->lot < b->lot;
}

uint32_t hosts_order(
	const struct job *job, uint64_t (*random)(void *arg), void *arg, struct span *ret_hosts)
{
	struct place best[HOSTS_MAX];
	uint32_t n = 0;
	if (job->n_hosts == 0) {
		ret_hosts[0] = job->host;
		return 1;
	}
	for (uint32_t i = 0; i < job->n_hosts; i++) {
		struct place p = {job->hosts[i].preference, random(arg), i};
		uint32_t at = n;
		while (at > 0 && before(&p, &best[at - 1]))
			at--;
		if (at == HOSTS_MAX)
			continue;
		uint32_t moved = MIN(n, HOSTS_MAX - 1) - at;
		memmove(&best[at + 1], &best[at], moved * sizeof(best[0]));
		best[at] = p;
		n = MIN(n + 1, HOSTS_MAX);
	}
	for (uint32_t i = 0; i < n; i++)
		ret_hosts[i] = job->hosts[best[i].host].name;
	return n;
}
