/* Idle sessions, most recently used first, so that those not needed age out. A kept session that
 * speaks (421) or closes is dead: a timer looks once a second, and cache_take looks again, so that
 * a job seldom meets one (if it does, before any reply, smtp_delivery dials afresh).
 *
 * An idle session costs no fiber; ending one politely (RFC 5321 4.1.1.10) does, for a moment,
 * away from the path of any message. */
#include "deliver/cache.h"
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"

#define SWEEP_USEC     USEC_PER_SEC
#define QUIT_USEC      (10 * USEC_PER_SEC)
#define QUIT_LAST_USEC (2 * USEC_PER_SEC) /* at a drain */

struct cache {
	struct list idle;
	size_t n_idle;
	struct loop_timer sweep;
	struct list quitting; /* struct goodbye */
	size_t n_quitting;
	bool draining;
	struct loop_timer patience;
	struct loop_defer done_call;
	void (*done)(void *arg);
	void *done_arg;
};
struct goodbye {
	struct list node;
	struct cache *cache;
	struct smtp_client *c;
	struct fiber *fiber;
};

static void remove_idle(struct cache *cache, struct smtp_client *c)
{
	list_remove(&c->node);
	cache->n_idle--;
}

static void note_closed(const struct smtp_client *c, const char *why)
{
	struct log_line *l = log_begin(LOG_LEVEL_DEBUG, "outbound-closed");
	log_span(l, "remote", buf_span(&c->remote));
	log_u64(l, "transactions", c->transactions);
	log_str(l, "reason", why);
	log_end(l);
}

/* Nothing came since: a peer that spoke unasked, or is gone, is of no use. */
static bool is_quiet(struct smtp_client *c)
{
	return stream_fill_now(c->stream) == -EAGAIN && stream_buffered(c->stream).len == 0;
}

static void on_sweep(struct loop_timer *t)
{
	struct cache *cache = CONTAINER_OF(t, struct cache, sweep);
	list_foreach_safe (n, next, &cache->idle) {
		struct smtp_client *c = CONTAINER_OF(n, struct smtp_client, node);
		if (!is_quiet(c)) {
			remove_idle(cache, c);
			note_closed(c, "closed by the peer");
			smtp_client_free(c);
		} else if (c->idle_deadline_usec <= loop_now_usec()) {
			remove_idle(cache, c);
			cache_quit(cache, c);
		}
	}
	if (cache->n_idle > 0 && loop_timer_set(t, loop_now_usec() + SWEEP_USEC) < 0)
		log_text(LOG_LEVEL_ERROR, "no-memory", "idle sessions are not watched");
}

static void call_done(struct loop_defer *d)
{
	struct cache *cache = CONTAINER_OF(d, struct cache, done_call);
	cache->done(cache->done_arg);
}

int cache_new(struct cache **ret_cache)
{
	struct cache *cache = calloc(1, sizeof(*cache));
	if (!cache)
		return -ENOMEM;
	list_init(&cache->idle);
	list_init(&cache->quitting);
	cache->sweep.fn = on_sweep;
	cache->done_call.fn = call_done;
	*ret_cache = cache;
	return 0;
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	assert(cache->n_quitting == 0);
	loop_timer_cancel(&cache->sweep);
	loop_timer_cancel(&cache->patience);
	loop_defer_cancel(&cache->done_call);
	list_foreach_safe (n, next, &cache->idle)
		smtp_client_free(CONTAINER_OF(n, struct smtp_client, node));
	free(cache);
}

struct smtp_client *cache_take(struct cache *cache, struct span key)
{
	struct smtp_client *found = NULL;
	list_foreach_safe (n, next, &cache->idle) {
		struct smtp_client *c = CONTAINER_OF(n, struct smtp_client, node);
		if (!span_equal(buf_span(&c->key), key))
			continue;
		remove_idle(cache, c);
		if (is_quiet(c)) {
			found = c;
			break;
		}
		note_closed(c, "closed by the peer");
		smtp_client_free(c);
	}
	return found;
}

static size_t idle_of_site(const struct cache *cache, struct span key)
{
	size_t n = 0;
	list_foreach (it, &cache->idle)
		n += span_equal(buf_span(&CONTAINER_OF(it, struct smtp_client, node)->key), key);
	return n;
}

void cache_give(struct cache *cache, struct smtp_client *c)
{
	if (cache->draining || c->key.error || c->transactions >= CACHE_TRANSACTIONS_MAX ||
		(c->offers.mail_max && c->transactions >= c->offers.mail_max) ||
		idle_of_site(cache, buf_span(&c->key)) >= CACHE_SITE_MAX ||
		stream_buffered(c->stream).len > 0) {
		cache_quit(cache, c);
		return;
	}
	if (cache->n_idle >= CACHE_TOTAL_MAX) {
		struct smtp_client *oldest =
			CONTAINER_OF(cache->idle.prev, struct smtp_client, node);
		remove_idle(cache, oldest);
		cache_quit(cache, oldest);
	}
	c->idle_deadline_usec = loop_now_usec() + CACHE_IDLE_USEC;
	if (cache->sweep.heap_index == 0 &&
		loop_timer_set(&cache->sweep, loop_now_usec() + SWEEP_USEC) < 0) {
		smtp_client_free(c);
		return;
	}
	list_push_front(&cache->idle, &c->node);
	cache->n_idle++;
}

SUSPENDS static void goodbye_run(void *arg)
{
	struct goodbye *g = arg;
	struct cache *cache = g->cache;
	smtp_client_quit(g->c, cache->draining ? QUIT_LAST_USEC : QUIT_USEC);
	note_closed(g->c, "QUIT");
	smtp_client_free(g->c);
	list_remove(&g->node);
	free(g);
	if (--cache->n_quitting == 0 && cache->draining)
		loop_defer(&cache->done_call);
}

void cache_quit(struct cache *cache, struct smtp_client *c)
{
	struct goodbye *g = cache->n_quitting < CACHE_QUITTING_MAX ? calloc(1, sizeof(*g)) : NULL;
	if (g)
		*g = (struct goodbye){.cache = cache, .c = c};
	if (!g || fiber_spawn(goodbye_run, g, &g->fiber) < 0) {
		free(g);
		smtp_client_free(c); /* rude, and bounded */
		return;
	}
	list_push_back(&cache->quitting, &g->node);
	cache->n_quitting++;
}

static void on_patience(struct loop_timer *t)
{
	struct cache *cache = CONTAINER_OF(t, struct cache, patience);
	list_foreach (n, &cache->quitting)
		fiber_cancel(CONTAINER_OF(n, struct goodbye, node)->fiber);
}

void cache_drain(struct cache *cache, void (*done)(void *arg), void *arg)
{
	cache->draining = true;
	cache->done = done;
	cache->done_arg = arg;
	loop_timer_cancel(&cache->sweep);
	list_foreach_safe (n, next, &cache->idle) {
		struct smtp_client *c = CONTAINER_OF(n, struct smtp_client, node);
		remove_idle(cache, c);
		cache_quit(cache, c);
	}
	cache->patience.fn = on_patience;
	if (cache->n_quitting == 0)
		loop_defer(&cache->done_call);
	else if (loop_timer_set(&cache->patience, loop_now_usec() + QUIT_LAST_USEC) < 0)
		on_patience(&cache->patience);
}

size_t cache_idle(const struct cache *cache)
{
	return cache->n_idle;
}
