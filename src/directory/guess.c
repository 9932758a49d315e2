/* Three counters a failure, in one map by text keys "a ADDRESS", "n NETWORK", "u USER".
 *
 * - An address is slowed behind GUESS_FREE failures and locked out at GUESS_ADDRESS_MAX until it
 * was quiet for GUESS_LOCK_USEC.
 * - A network likewise, later, since many may share it.
 * - A user is never locked out as such: that would be a gift to whoever wants to keep somebody from
 *   mailing. Only addresses that fail elsewhere, too, are turned away for him; the right password
 *   from another place always gets through. Answers to failures are slowed, successes never.
 *
 * A success forgives nothing: an attacker who owns one account would use it to start afresh. */
#include "directory/guess.h"
#include "base/list.h"
#include "base/map.h"
#include "base/siphash.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/random.h>

#define KEY_MAX	     352u /* a login is at most 320 octets */
#define SECRETS_KEPT 4u

struct entry {
	struct list node; /* guess.recent, the one with the latest failure last */
	struct span key;
	unsigned failures;
	uint64_t last_usec;
	uint64_t secrets[SECRETS_KEPT]; /* keyed hashes of what was tried last */
	unsigned next_secret;
	char octets[];
};
struct guess {
	struct map *map;
	struct list recent;
	struct siphash_key hash_key;
};

int guess_new(struct guess **ret_guess)
{
	struct guess *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	list_init(&g->recent);
	g->map = map_new(0);
	if (!g->map ||
		getrandom(&g->hash_key, sizeof(g->hash_key), 0) != (ssize_t)sizeof(g->hash_key)) {
		guess_free(g);
		return -ENOMEM;
	}
	*ret_guess = g;
	return 0;
}

static void drop(struct guess *g, struct entry *e)
{
	(void)map_remove(g->map, e->key);
	list_remove(&e->node);
	free(e);
}

void guess_free(struct guess *g)
{
	if (!g)
		return;
	list_foreach_safe (it, tmp, &g->recent)
		drop(g, CONTAINER_OF(it, struct entry, node));
	map_free(g->map);
	free(g);
}

size_t guess_entries(const struct guess *g)
{
	return map_count(g->map);
}

static void key_address(const struct address *a, struct buf *out)
{
	buf_str(out, "a ");
	address_format_host(a, out);
}

static void key_network(const struct address *a, struct buf *out)
{
	uint8_t octets[16];
	size_t n = 0;

	if (a->ss.ss_family == AF_INET) {
		memcpy(octets, &((const struct sockaddr_in *)&a->ss)->sin_addr, 4);
		n = 3;
	} else if (a->ss.ss_family == AF_INET6) {
		memcpy(octets, &((const struct sockaddr_in6 *)&a->ss)->sin6_addr, 16);
		n = 8;
	}
	buf_str(out, "n ");
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%02x", octets[i]);
}

static void key_user(struct span user, struct buf *out)
{
	buf_str(out, "u ");
	buf_put(out, user);
}

/* NULL: no failure that still counts. */
static struct entry *find(struct guess *g, const struct buf *key, uint64_t now)
{
	struct entry *e = map_get(g->map, buf_span(key));

	if (e && now - e->last_usec > GUESS_FORGET_USEC) {
		drop(g, e);
		return NULL;
	}
	return e;
}

static struct entry *make(struct guess *g, const struct buf *key, uint64_t now)
{
	struct entry *e = find(g, key, now);

	if (e || key->error)
		return e;
	if (map_count(g->map) >= GUESS_ENTRIES_MAX)
		drop(g, CONTAINER_OF(g->recent.next, struct entry, node));
	e = calloc(1, sizeof(*e) + key->len);
	if (!e)
		return NULL;
	memcpy(e->octets, key->ptr, key->len);
	e->key = span_make(e->octets, key->len);
	if (map_put(g->map, e->key, e) < 0) {
		free(e);
		return NULL;
	}
	list_push_back(&g->recent, &e->node);
	return e;
}

static unsigned failures(struct guess *g, const struct buf *key, uint64_t now)
{
	struct entry *e = find(g, key, now);

	return e ? e->failures : 0;
}

static bool over(struct guess *g, const struct buf *key, unsigned most, uint64_t now)
{
	struct entry *e = find(g, key, now);

	return e && e->failures >= most && now - e->last_usec < GUESS_LOCK_USEC;
}

bool guess_is_locked(struct guess *g, const struct address *client, struct span user, uint64_t now)
{
	struct buf address = BUF_INIT(KEY_MAX), network = BUF_INIT(KEY_MAX),
		   name = BUF_INIT(KEY_MAX);

	key_address(client, &address);
	key_network(client, &network);
	key_user(user, &name);
	bool locked = over(g, &address, GUESS_ADDRESS_MAX, now) ||
		      over(g, &network, GUESS_NETWORK_MAX, now) ||
		      (user.len && over(g, &name, GUESS_USER_MAX, now) &&
			      failures(g, &address, now) >= GUESS_USER_SUSPECT);
	buf_done(&address);
	buf_done(&network);
	buf_done(&name);
	return locked;
}

bool guess_is_clean(struct guess *g, const struct address *client, uint64_t now)
{
	struct buf address = BUF_INIT(KEY_MAX);

	key_address(client, &address);
	bool clean = failures(g, &address, now) == 0;
	buf_done(&address);
	return clean;
}

static unsigned count(struct guess *g, const struct buf *key, bool again, uint64_t now)
{
	struct entry *e = make(g, key, now);

	if (!e)
		return 0;
	e->failures += again ? 0 : 1;
	e->last_usec = now;
	list_remove(&e->node);
	list_push_back(&g->recent, &e->node);
	return e->failures;
}

/* Was the same tried before from there? Remembers it. */
static bool tried_before(struct guess *g, struct entry *e, struct span user, struct span secret)
{
	struct buf octets = BUF_INIT(4096);

	buf_put(&octets, user);
	buf_char(&octets, '\0');
	buf_put(&octets, secret);
	uint64_t hash = siphash(g->hash_key, buf_span(&octets));
	if (octets.ptr)
		explicit_bzero(octets.ptr, octets.cap);
	buf_done(&octets);
	for (unsigned i = 0; i < SECRETS_KEPT; i++)
		if (e->secrets[i] == hash)
			return true;
	e->secrets[e->next_secret++ % SECRETS_KEPT] = hash;
	return false;
}

static uint64_t delay_of(unsigned n, unsigned free_ones)
{
	return n > free_ones ? MIN((n - free_ones) * GUESS_STEP_USEC, GUESS_DELAY_MAX_USEC) : 0;
}

uint64_t guess_failed(struct guess *g, const struct address *client, struct span user,
	struct span secret, uint64_t now)
{
	struct buf key = BUF_INIT(KEY_MAX);

	key_address(client, &key);
	struct entry *e = make(g, &key, now);
	bool again = e && secret.len && tried_before(g, e, user, secret);
	uint64_t delay = delay_of(count(g, &key, again, now), GUESS_FREE);
	buf_reset(&key);
	key_network(client, &key);
	delay = MAX(delay, delay_of(count(g, &key, again, now), GUESS_NETWORK_FREE));
	buf_reset(&key);
	key_user(user, &key);
	if (user.len)
		delay = MAX(delay, delay_of(count(g, &key, again, now), GUESS_FREE));
	buf_done(&key);
	return delay;
}

static bool matters(const struct entry *e, uint64_t now)
{
	return e->failures >= GUESS_USER_SUSPECT && now - e->last_usec <= GUESS_FORGET_USEC;
}

void guess_each(const struct guess *g, size_t most, uint64_t now,
	void (*fn)(void *arg, struct span key, unsigned failures, uint64_t age_usec), void *arg)
{
	size_t n = 0;

	list_foreach (it, &g->recent)
		n += matters(CONTAINER_OF(it, struct entry, node), now);
	list_foreach (it, &g->recent) {
		const struct entry *e = CONTAINER_OF(it, struct entry, node);
		if (matters(e, now) && n-- <= most)
			fn(arg, e->key, e->failures, now - e->last_usec);
	}
}

void guess_restore(
	struct guess *g, struct span key, unsigned failures, uint64_t age_usec, uint64_t now)
{
	struct buf text = BUF_INIT(KEY_MAX);

	buf_put(&text, key);
	struct entry *e = make(g, &text, now);
	if (e) {
		e->failures = failures;
		e->last_usec = now - age_usec; /* may be before this clock began: it wraps */
	}
	buf_done(&text);
}
