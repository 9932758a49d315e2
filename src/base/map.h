/* Hash map from octets or u64 to a borrowed pointer: open addressing. Octets are hashed by SipHash
 * with a random key, so that peers cannot choose collisions; u64 keys, which are numbers that our
 * own processes give out, by a product with secrets. Keys given as octets must outlive their entry
 * (they live in the value). Iteration order is unspecified; deterministic for a fixed seed. */
#pragma once
#include "base/span.h"

struct map;
/* seed 0: random. The simulator gives its own. */
MUST_CHECK struct map *map_new(uint64_t seed);
void map_free(struct map *m); /* values are the caller's */
size_t map_count(const struct map *m);
void *map_get(const struct map *m, struct span key); /* NULL: absent */
/* 0, -ENOMEM, -EEXIST. */
MUST_CHECK int map_put(struct map *m, struct span key, void *value);
void *map_remove(struct map *m, struct span key); /* the value, or NULL */
/* Cursor starts at 0; returns NULL at the end. Removing the entry just returned is allowed. */
void *map_next(const struct map *m, size_t *cursor);
/* u64 keys: the key is copied into the entry. */
void *map_get_u64(const struct map *m, uint64_t key);
MUST_CHECK int map_put_u64(struct map *m, uint64_t key, void *value);
void *map_remove_u64(struct map *m, uint64_t key);
