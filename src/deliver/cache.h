/* Sessions kept for the next message to the same site. */
#pragma once
#include "deliver/smtp_client.h"

#define CACHE_TOTAL_MAX	       200u
#define CACHE_SITE_MAX	       20u
#define CACHE_IDLE_USEC	       (60 * USEC_PER_SEC)
#define CACHE_TRANSACTIONS_MAX 100u /* then a fresh session: peers count messages too */
#define CACHE_QUITTING_MAX     256u

struct cache;
MUST_CHECK int cache_new(struct cache **ret_cache);
void cache_free(struct cache *cache); /* nothing may be quitting; NULL allowed */
/* A session kept under that key that was alive a moment ago, or NULL. The key says all that must be
 * equal: host, way, TLS and what proved it. */
struct smtp_client *cache_take(struct cache *cache, struct span key);
/* Takes over a synchronised session, whose key is set: keeps it, or ends it with QUIT. */
void cache_give(struct cache *cache, struct smtp_client *c);
/* Takes over a session and ends it with QUIT, on a fiber of its own. */
void cache_quit(struct cache *cache, struct smtp_client *c);
/* QUIT to all, nothing is kept any more; then done(arg), from the loop, also when there is nothing
 * to do; cache_free is allowed in it. */
void cache_drain(struct cache *cache, void (*done)(void *arg), void *arg);
size_t cache_idle(const struct cache *cache);
