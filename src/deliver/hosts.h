/* The hosts of a job in the order in which they are tried. */
#pragma once
#include "ipc/job.h"

/* RFC 5321 5.1 wants at least two addresses tried; more hosts than this are somebody's mischief. */
#define HOSTS_MAX 20u

/* By preference, equal ones shuffled (RFC 5321 5.1); a job without a set: its host. ret_hosts has
 * room for HOSTS_MAX; what is beyond is left out, least preferred first. random: 64 bits. */
uint32_t hosts_order(
	const struct job *job, uint64_t (*random)(void *arg), void *arg, struct span *ret_hosts);
/* From getrandom. */
uint64_t hosts_random(void *arg);
