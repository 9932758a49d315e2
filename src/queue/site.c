/* Next hops and their sites: who may get how many jobs at once, and when a dead site is tried.
 *
 * Window: starts small, grows by one for each full window of successes up to the configured
 * concurrency, halves on failure, never below one. A site that lets no session in is down: what is
 * ready there waits, and one message at a time probes it, after 5 s, then doubling up to the
 * schedule's last wait. The first session that comes about makes it up again; its window then grows
 * by one a success until where it was before. Mailboxes and pipes of this machine do not shrink:
 * a user's full mailbox says nothing about the others.
 *
 * Within a site, ready batches stand in lanes (lanes.h) by priority and sender. A place in the
 * window is owned by the job (struct handed) and given back by queue_site_release alone. */
#include "base/siphash.h"
#include "queue/queue_internal.h"

#include <stdlib.h>

#define WINDOW_FIRST	   5u
#define WINDOW_FIRST_LOCAL 64u
#define PROBE_USEC	   (5 * USEC_PER_SEC)

static bool via_is_local(enum job_via via)
{
	return via == JOB_MAILDIR || via == JOB_PIPE || via == JOB_DISCARD;
}

static uint32_t window_ceiling(const struct queue *q, const struct site *s)
{
	uint64_t ceiling = MIN(MAX(q->settings.concurrency, UINT64_C(1)), UINT32_MAX);

	return (uint32_t)(s->local ? MAX(ceiling, WINDOW_FIRST_LOCAL) : ceiling);
}

static void window_reset(const struct queue *q, struct site *s)
{
	uint32_t first = s->local ? WINDOW_FIRST_LOCAL : WINDOW_FIRST;

	s->window = s->fast_until = MIN(first, window_ceiling(q, s));
	s->credits = 0;
}

static struct site *site_new(struct queue *q, struct span key, bool local)
{
	if (heap_reserve(&q->heap, q->timers + 1) < 0)
		return NULL;
	struct site *s = calloc(1, sizeof(*s) + key.len);
	if (!s)
		return NULL;
	s->timer = (struct timer){.due = USEC_INFINITY, .kind = TIMER_SITE};
	s->local = local;
	s->key_len = (uint32_t)key.len;
	if (key.len)
		memcpy(s->key, key.ptr, key.len);
	lanes_init(&s->lanes);
	window_reset(q, s);
	if (map_put(q->sites, span_make(s->key, s->key_len), s) < 0) {
		free(s);
		return NULL;
	}
	q->timers++;
	return s;
}

void queue_site_free(struct queue *q, struct site *s)
{
	(void)map_remove(q->sites, span_make(s->key, s->key_len));
	heap_set(&q->heap, &s->timer, USEC_INFINITY);
	q->timers--;
	list_remove(&s->runnable);
	if (list_linked(&s->idle)) {
		list_remove(&s->idle);
		q->idle--;
	}
	note_unref(s->note);
	lanes_done(&s->lanes);
	free(s);
}

static struct site *site_ref(struct queue *q, struct span key, bool local)
{
	struct site *s = map_get(q->sites, key);

	if (!s)
		s = site_new(q, key, local);
	if (!s)
		return NULL;
	if (list_linked(&s->idle)) {
		list_remove(&s->idle);
		q->idle--;
	}
	s->hops++;
	return s;
}

static void site_unref(struct queue *q, struct site *s)
{
	if (--s->hops)
		return;
	list_push_back(&q->idle_sites, &s->idle);
	if (++q->idle > QUEUE_IDLE_SITES)
		queue_site_free(q, CONTAINER_OF(q->idle_sites.next, struct site, idle));
}

#define HOP_KEY_FIXED 6u /* via, port, three flags */

/* The key of a next hop is its encoding; its spans point into it. */
static struct next_hop *hop_new(struct queue *q, const struct hop *h, struct span key)
{
	struct next_hop *n = malloc(sizeof(*n) + key.len);

	if (!n)
		return NULL;
	*n = (struct next_hop){.refs = 1,
		.via = h->via,
		.port = h->port,
		.implicit_tls = h->implicit_tls,
		.mx = h->kind == HOP_MX,
		.mx_secure = h->mx_secure};
	memcpy(n->octets, key.ptr, key.len);
	n->key = span_make(n->octets, key.len);
	struct wire w = wire_reader(span_from(n->key, HOP_KEY_FIXED));
	n->host = wire_get_span(&w);
	n->path = wire_get_span(&w);
	n->route = wire_get_span(&w);
	n->domain = wire_get_span(&w);
	(void)wire_get_span(&w); /* the site has a copy */
	n->n_hosts = h->n_hosts;
	n->hosts = calloc(MAX(h->n_hosts, 1u), sizeof(*n->hosts));
	for (uint32_t i = 0; n->hosts && i < n->n_hosts; i++) {
		n->hosts[i].preference = wire_get_u16(&w);
		n->hosts[i].name = wire_get_span(&w);
	}
	n->site = n->hosts ? site_ref(q, h->site, via_is_local(h->via)) : NULL;
	if (!n->site || map_put(q->hops, n->key, n) < 0) {
		if (n->site)
			site_unref(q, n->site);
		free(n->hosts);
		free(n);
		return NULL;
	}
	return n;
}

struct next_hop *queue_hop(struct queue *q, const struct hop *h)
{
	buf_reset(&q->entry);
	wire_put_u8(&q->entry, (uint8_t)h->via);
	wire_put_u16(&q->entry, h->port);
	wire_put_u8(&q->entry, h->implicit_tls);
	wire_put_u8(&q->entry, h->kind == HOP_MX);
	wire_put_u8(&q->entry, h->mx_secure);
	wire_put_span(&q->entry, h->host);
	wire_put_span(&q->entry, h->path);
	wire_put_span(&q->entry, h->route);
	wire_put_span(&q->entry, h->domain);
	wire_put_span(&q->entry, h->site);
	for (uint32_t i = 0; i < h->n_hosts; i++) {
		wire_put_u16(&q->entry, h->hosts[i].preference);
		wire_put_span(&q->entry, h->hosts[i].name);
	}
	if (q->entry.error)
		return NULL;
	struct next_hop *n = map_get(q->hops, buf_span(&q->entry));
	if (!n)
		return hop_new(q, h, buf_span(&q->entry));
	n->refs++;
	return n;
}

void queue_hop_unref(struct queue *q, struct next_hop *hop)
{
	if (--hop->refs)
		return;
	(void)map_remove(q->hops, hop->key);
	site_unref(q, hop->site);
	free(hop->hosts);
	free(hop);
}

void queue_site_runnable(struct queue *q, struct site *s)
{
	bool can = s->ready > 0;

	if (s->down)
		can = can && !s->probing && !s->timer.place;
	else
		can = can && s->in_flight < MIN(s->window, window_ceiling(q, s));
	if (can && !list_linked(&s->runnable))
		list_push_back(&q->runnable, &s->runnable);
	else if (!can)
		list_remove(&s->runnable);
}

void queue_site_probe(struct queue *q, struct site *s)
{
	heap_set(&q->heap, &s->timer, USEC_INFINITY);
	queue_site_runnable(q, s);
}

static void probe_later(struct queue *q, struct site *s)
{
	const struct queue_settings *set = &q->settings;
	uint64_t wait = MIN(PROBE_USEC, set->n_retry ? set->retry[0] : PROBE_USEC);

	for (uint32_t i = 1; i < s->failures && wait < queue_retry_last(q); i++)
		wait *= 2;
	wait = MIN(wait, queue_retry_last(q));
	heap_set(&q->heap, &s->timer, q->now + MAX(wait, UINT64_C(1)));
}

static void site_goes_down(struct queue *q, struct site *s)
{
	s->down = true;
	s->failures = 1;
	s->fast_until = MAX(s->fast_until, s->window);
	q->ready_down += s->ready;
	probe_later(q, s);
	queue_say(q, "site-down", NULL, NULL, s->note, span_make(s->key, s->key_len));
}

static void site_comes_up(struct queue *q, struct site *s)
{
	s->down = false;
	s->failures = 0;
	s->window = 1;
	s->credits = 0;
	q->ready_down -= s->ready;
	heap_set(&q->heap, &s->timer, USEC_INFINITY);
}

static void window_grow(const struct queue *q, struct site *s)
{
	uint32_t ceiling = window_ceiling(q, s);

	if (s->window < ceiling && (s->window < s->fast_until || ++s->credits >= s->window)) {
		s->window++;
		s->credits = 0;
	}
	s->window = MIN(s->window, ceiling);
}

void queue_site_result(
	struct queue *q, struct site *s, bool probe, enum site_change change, struct note *why)
{
	if (why && change != SITE_SUCCESS) {
		note_unref(s->note);
		s->note = note_ref(why);
	}
	if (change == SITE_NO_SESSION) {
		if (!s->down) {
			site_goes_down(q, s);
		} else if (probe) {
			s->failures++;
			probe_later(q, s);
		}
		return;
	}
	if (s->down && change != SITE_UNKNOWN) {
		site_comes_up(q, s);
		queue_say(q, "site-up", NULL, NULL, NULL, span_make(s->key, s->key_len));
	}
	if (change == SITE_SUCCESS) {
		window_grow(q, s);
	} else if (change == SITE_FAILURE && !s->local) {
		s->window = MAX(s->window / 2, 1u);
		s->fast_until = s->window;
		s->credits = 0;
	}
}

void queue_site_release(struct queue *q, struct site *s, bool probe)
{
	assert(s->in_flight > 0);
	s->in_flight--;
	if (probe)
		s->probing = false;
	queue_site_runnable(q, s);
}

void queue_site_try(struct queue *q, struct site *s)
{
	if (s->down)
		site_comes_up(q, s);
	window_reset(q, s);
	queue_site_runnable(q, s);
}

static unsigned lane_of(const struct queue *q, const struct mail *m)
{
	struct siphash_key key = {q->random_key, 1};

	return (unsigned)(siphash(key, mail_reverse_path(m)) % LANES);
}

/* RFC 6710; among equals what is large comes behind what is small, which is the likelier to be a
 * person's, and costs it little time. */
static int level_of(const struct mail *m)
{
	return 2 * m->priority - (m->size > QUEUE_LARGE_OCTETS);
}

/* Recipients that became ready (+) or no longer are (-). */
void queue_site_ready(struct queue *q, struct site *s, int64_t n)
{
	s->ready = (uint32_t)((int64_t)s->ready + n);
	if (s->down)
		q->ready_down += (uint64_t)n;
	queue_site_runnable(q, s);
}

void queue_batch_add(struct queue *q, struct batch *b, bool front)
{
	struct site *s = b->hop->site;

	if (b->hop->mx) {
		queue_mx_park(q, b, front);
		return;
	}
	lanes_add(&s->lanes, level_of(b->m), lane_of(q, b->m), &b->lane, front);
	list_push_back(&b->m->batches, &b->of_mail);
	queue_site_ready(q, s, b->n);
}

void queue_batch_free(struct queue *q, struct batch *b)
{
	struct site *s = b->hop->site;

	if (b->hop->mx) {
		queue_mx_unpark(q, b);
	} else {
		lanes_remove(&s->lanes, level_of(b->m), lane_of(q, b->m), &b->lane);
		list_remove(&b->of_mail);
		queue_site_ready(q, s, -(int64_t)b->n);
	}
	free(b);
}

void queue_batch_back(struct queue *q, struct batch *b)
{
	lanes_to_back(&b->hop->site->lanes, level_of(b->m), lane_of(q, b->m), &b->lane);
}

struct batch *queue_site_next(struct site *s)
{
	return CONTAINER_OF(lanes_next(&s->lanes), struct batch, lane);
}
