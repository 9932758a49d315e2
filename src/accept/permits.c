/* Rows instead of shared counters: a receiver that dies leaves its counts behind, and the process
 * that follows in its place wipes exactly those; so a permit cannot leak. Only the owner writes a
 * row, so relaxed loads and stores are enough.
 *
 * Addresses are counted by a keyed hash into buckets: two strangers share one now and then, which
 * at 8,192 buckets and a limit of 50 refuses nobody by accident. IPv6 clients count by /64: a
 * host has that many addresses to choose from. */
#include "accept/permits.h"
#include "base/clock.h"
#include "base/siphash.h"
#include "checks/relay.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define BUCKET_NONE UINT32_MAX

struct permits {
	struct permit_table *table;
	unsigned row; /* ours */
};

static struct permit_table *map_shared(int fd)
{
	struct stat st;
	void *m = MAP_FAILED;

	/* Touching a mapping behind the end of the file would be SIGBUS, much later. */
	if (fd >= 0 && fstat(fd, &st) == 0 && (size_t)st.st_size >= sizeof(struct permit_table))
		m = mmap(NULL, sizeof(struct permit_table), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			0);
	if (m == MAP_FAILED)
		m = mmap(NULL, sizeof(struct permit_table), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return m == MAP_FAILED ? NULL : m;
}

/* Whoever comes first decides; all receivers hash alike. */
static void set_key(struct permit_table *s)
{
	uint64_t expected = 0, key = 0;

	while (key == 0)
		random_octets(&key, sizeof(key));
	(void)__atomic_compare_exchange_n(
		&s->key, &expected, key, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

int permits_new(int fd, unsigned row, struct permits **ret_permits)
{
	struct permits *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->table = map_shared(fd);
	if (!p->table) {
		free(p);
		return -ENOMEM;
	}
	set_key(p->table);
	p->row = row % PERMIT_ROWS;
	p->table->totals[p->row] = 0;
	memset(p->table->buckets[p->row], 0, sizeof(p->table->buckets[p->row]));
	*ret_permits = p;
	return 0;
}

void permits_free(struct permits *p)
{
	if (!p)
		return;
	munmap(p->table, sizeof(struct permit_table));
	free(p);
}

static bool is_loopback(const struct address *a)
{
	if (a->ss.ss_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, &a->ss, sizeof(in));
		return ntohl(in.sin_addr.s_addr) >> 24 == 127;
	}
	struct sockaddr_in6 in6;
	memcpy(&in6, &a->ss, sizeof(in6));
	return a->ss.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}

static uint32_t bucket_of(const struct permits *p, const struct address *a)
{
	struct siphash_key key = {.k0 = __atomic_load_n(&p->table->key, __ATOMIC_RELAXED)};
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct span octets = SPAN_NULL;

	if (a->ss.ss_family == AF_INET) {
		memcpy(&in, &a->ss, sizeof(in));
		octets = span_make(&in.sin_addr, sizeof(in.sin_addr));
	} else if (a->ss.ss_family == AF_INET6) {
		memcpy(&in6, &a->ss, sizeof(in6));
		octets = span_make(&in6.sin6_addr, sizeof(in6.sin6_addr) / 2);
	}
	return (uint32_t)(siphash(key, octets) % PERMIT_BUCKETS);
}

static uint64_t total(const struct permits *p)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < PERMIT_ROWS; i++)
		n += __atomic_load_n(&p->table->totals[i], __ATOMIC_RELAXED);
	return n;
}

static uint64_t total_of(const struct permits *p, uint32_t bucket)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < PERMIT_ROWS; i++)
		if (__atomic_load_n(&p->table->totals[i], __ATOMIC_RELAXED) > 0)
			n += __atomic_load_n(&p->table->buckets[i][bucket], __ATOMIC_RELAXED);
	return n;
}

/* No address limit for our own machine and for the networks that relay through us. */
static bool is_exempt(const struct config *c, const struct address *client)
{
	return !client || address_is_unix(client) || is_loopback(client) ||
	       networks_contain(c->relay.from, c->relay.n_from, client);
}

enum permit_result permits_enter(struct permits *p, const struct config *c,
	const struct address *client, uint32_t *ret_bucket)
{
	uint32_t bucket = BUCKET_NONE, *all = &p->table->totals[p->row];
	uint16_t *buckets = p->table->buckets[p->row];

	if (c->limits.connections > 0 && total(p) >= c->limits.connections)
		return PERMIT_ALL_TAKEN;
	if (!is_exempt(c, client)) {
		bucket = bucket_of(p, client);
		if (c->limits.connections_per_ip > 0 &&
			total_of(p, bucket) >= c->limits.connections_per_ip)
			return PERMIT_ADDRESS_TAKEN;
		if (buckets[bucket] == UINT16_MAX)
			return PERMIT_ADDRESS_TAKEN;
		__atomic_store_n(
			&buckets[bucket], (uint16_t)(buckets[bucket] + 1), __ATOMIC_RELAXED);
	}
	__atomic_store_n(all, *all + 1, __ATOMIC_RELAXED);
	*ret_bucket = bucket;
	return PERMIT_OK;
}

void permits_leave(struct permits *p, uint32_t bucket)
{
	uint32_t *all = &p->table->totals[p->row];
	uint16_t *buckets = p->table->buckets[p->row];

	if (bucket < PERMIT_BUCKETS && buckets[bucket] > 0)
		__atomic_store_n(
			&buckets[bucket], (uint16_t)(buckets[bucket] - 1), __ATOMIC_RELAXED);
	if (*all > 0)
		__atomic_store_n(all, *all - 1, __ATOMIC_RELAXED);
}
