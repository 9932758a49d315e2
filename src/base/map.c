/* A hash map with open addressing and linear probing, from octets or u64 to a borrowed pointer.
 *
 * Keys often come from strangers (addresses, domains), so the hash is keyed SipHash: nobody
 * outside can line up collisions. A slot is 24 octets, because the queue's maps have a million of
 * them: an octet key keeps 32 bits of its hash beside its length, so that a probe seldom touches
 * a key's own memory.
 *
 * Slot states: free (value NULL, ptr NULL), grave (value NULL, ptr GRAVE: a probe walks on), live.
 * Invariants: filled (live + graves) stays at or below 3/4 of the capacity, so that every probe
 * meets a free slot; entries move only in map_put*, so that the entry a cursor just returned may
 * be removed. The table is resized by its live count: it shrinks, too, at a later put. */
#include "base/map.h"
#include "base/clock.h"
#include "base/siphash.h"

#include <stdlib.h>

#define MAP_FIRST_CAP 16

struct slot {
	void *value;
	const char *ptr; /* the octet key, or WORD_KEY, or GRAVE */
	union {
		uint64_t word;
		struct {
			uint32_t len, tag;
		} octets;
	} key;
};

struct map {
	struct slot *slots;
	size_t cap; /* 0 or a power of two */
	size_t live, filled;
	struct siphash_key seed;
};

/* Addresses that no key of a caller's can have. */
static const char marks[3];
#define WORD_KEY  (&marks[0])
#define GRAVE	  (&marks[1])
#define EMPTY_KEY (&marks[2]) /* an empty octet key, wherever the caller's points */

/* A key with its hash; probe.ptr and probe.key are what a slot would hold. */
struct probe {
	struct slot slot;
	uint64_t hash;
};

static struct probe probe_octets(const struct map *m, struct span key)
{
	struct probe p = {.hash = siphash(m->seed, key)};

	assert(key.len <= UINT32_MAX);
	p.slot.ptr = key.len ? key.ptr : EMPTY_KEY;
	p.slot.key.octets.len = (uint32_t)key.len;
	p.slot.key.octets.tag = (uint32_t)(p.hash >> 32);
	return p;
}

/* Words are numbers that processes give out (ids, tokens, sequences): the two halves of a product
 * with secrets spread them well enough, at a tenth of SipHash. Who sees no hash and no timing of a
 * single look-up cannot learn the secrets from the numbers he names. */
static uint64_t word_hash(struct siphash_key seed, uint64_t key)
{
	unsigned __int128 p = (unsigned __int128)(key ^ seed.k0) * (seed.k1 | 1);
	uint64_t folded = (uint64_t)p ^ (uint64_t)(p >> 64);

	return folded ^ folded >> 32;
}

static struct probe probe_word(const struct map *m, uint64_t key)
{
	struct probe p = {.hash = word_hash(m->seed, key)};

	p.slot.ptr = WORD_KEY;
	p.slot.key.word = key;
	return p;
}

static struct probe probe_of_slot(const struct map *m, const struct slot *s)
{
	if (s->ptr == WORD_KEY)
		return probe_word(m, s->key.word);
	return probe_octets(m, span_make(s->ptr, s->key.octets.len));
}

static bool slot_matches(const struct slot *s, const struct slot *want)
{
	if (!s->value || s->key.word != want->key.word)
		return false;
	if (s->ptr == want->ptr)
		return true;
	if (s->ptr == WORD_KEY || want->ptr == WORD_KEY)
		return false;
	return memcmp(s->ptr, want->ptr, want->key.octets.len) == 0;
}

/* A key for each map from one secret of the process: SipHash is a pseudo-random function, so the
 * keys tell nothing of one another, and short-lived maps cost no system call. */
static struct siphash_key next_key(void)
{
	static struct siphash_key secret;
	static uint64_t counter;
	uint64_t place[2] = {0};

	if (counter == 0)
		random_octets(&secret, sizeof(secret));
	place[0] = ++counter;
	uint64_t k0 = siphash(secret, span_make(place, sizeof(place)));
	place[1] = 1;
	return (struct siphash_key){k0, siphash(secret, span_make(place, sizeof(place)))};
}

struct map *map_new(uint64_t seed)
{
	struct map *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	if (seed)
		m->seed = (struct siphash_key){seed, ~seed};
	else
		m->seed = next_key();
	return m;
}

void map_free(struct map *m)
{
	if (!m)
		return;
	free(m->slots);
	free(m);
}

size_t map_count(const struct map *m)
{
	return m->live;
}

/* The live slot with this key, or NULL; *ret_place is where a put would store it. */
static struct slot *map_find(const struct map *m, const struct probe *p, struct slot **ret_place)
{
	struct slot *place = NULL;

	for (size_t i = (size_t)p->hash & (m->cap - 1); m->cap; i = (i + 1) & (m->cap - 1)) {
		struct slot *s = &m->slots[i];
		if (slot_matches(s, &p->slot))
			return s;
		if (!s->value && !place)
			place = s;
		if (!s->value && !s->ptr)
			break;
	}
	if (ret_place)
		*ret_place = place;
	return NULL;
}

static int map_resize(struct map *m)
{
	struct map fresh = {.cap = MAP_FIRST_CAP, .seed = m->seed};

	/* At most half full afterwards, so that the next resize is as many puts away. */
	while (fresh.cap / 2 < m->live + 1)
		fresh.cap *= 2;
	fresh.slots = calloc(fresh.cap, sizeof(*fresh.slots));
	if (!fresh.slots)
		return -ENOMEM;
	for (size_t i = 0; i < m->cap; i++) {
		if (!m->slots[i].value)
			continue;
		struct probe p = probe_of_slot(m, &m->slots[i]);
		struct slot *place = NULL;
		(void)map_find(&fresh, &p, &place);
		*place = m->slots[i];
	}
	fresh.live = fresh.filled = m->live;
	free(m->slots);
	*m = fresh;
	return 0;
}

static int map_store(struct map *m, const struct probe *p, void *value)
{
	struct slot *place = NULL;

	assert(value);
	if (map_find(m, p, &place))
		return -EEXIST;
	if ((m->filled + 1) > m->cap / 4 * 3) {
		int r = map_resize(m);
		if (r < 0)
			return r;
		(void)map_find(m, p, &place);
	}
	if (!place->ptr)
		m->filled++;
	*place = p->slot;
	place->value = value;
	m->live++;
	return 0;
}

static void *map_take(struct map *m, const struct probe *p)
{
	struct slot *s = map_find(m, p, NULL);

	if (!s)
		return NULL;
	void *value = s->value;
	*s = (struct slot){.ptr = GRAVE};
	m->live--;
	/* No probe passes through the end of a run: graves there can be free slots again. */
	size_t i = (size_t)(s - m->slots);
	const struct slot *next = &m->slots[(i + 1) & (m->cap - 1)];
	while (!next->value && !next->ptr && m->slots[i].ptr == GRAVE) {
		m->slots[i].ptr = NULL;
		m->filled--;
		next = &m->slots[i];
		i = (i - 1) & (m->cap - 1);
	}
	return value;
}

void *map_get(const struct map *m, struct span key)
{
	struct probe p = probe_octets(m, key);
	struct slot *s = map_find(m, &p, NULL);

	return s ? s->value : NULL;
}

int map_put(struct map *m, struct span key, void *value)
{
	struct probe p = probe_octets(m, key);

	return map_store(m, &p, value);
}

void *map_remove(struct map *m, struct span key)
{
	struct probe p = probe_octets(m, key);

	return map_take(m, &p);
}

void *map_get_u64(const struct map *m, uint64_t key)
{
	struct probe p = probe_word(m, key);
	struct slot *s = map_find(m, &p, NULL);

	return s ? s->value : NULL;
}

int map_put_u64(struct map *m, uint64_t key, void *value)
{
	struct probe p = probe_word(m, key);

	return map_store(m, &p, value);
}

void *map_remove_u64(struct map *m, uint64_t key)
{
	struct probe p = probe_word(m, key);

	return map_take(m, &p);
}

void *map_next(const struct map *m, size_t *cursor)
{
	while (*cursor < m->cap) {
		void *value = m->slots[(*cursor)++].value;
		if (value)
			return value;
	}
	return NULL;
}
