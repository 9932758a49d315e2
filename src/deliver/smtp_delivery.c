/* Which session a job goes over: a kept one of its site, else a fresh one. A kept session can die
 * between two messages without either side's fault: if it does before the peer has answered
 * anything of this transaction, nothing has happened, and the job goes over a fresh session as if
 * it had never been (once: a fresh one is not stale). */
#include "deliver/smtp_delivery.h"

#include "base/log.h"
#include "base/stats.h"
#include "deliver/transaction.h"

static void finish_session(
	struct delivery *d, struct cache *cache, struct smtp_client *c, int result)
{
	if (result >= 0) {
		cache_give(cache, &d->job, c);
		return;
	}
	struct log_line *l = log_begin(LOG_LEVEL_DEBUG, "outbound-broken");
	log_id(l, "id", d->job.message);
	log_span(l, "remote", d->outcome.remote);
	log_errno(l, result);
	log_end(l);
	smtp_client_free(c);
}

void smtp_deliver(struct delivery *d, struct cache *cache, const char *hostname)
{
	/* A reload may free the caller's while this fiber waits. */
	const char *name = arena_str(d->arena, span_str(hostname));
	if (!name)
		return;
	struct smtp_client *c = cache_take(cache, &d->job);
	if (c) {
		STATS_ADD(outbound_reused_total, 1);
		d->outcome.remote = arena_span(d->arena, buf_span(&c->remote));
		int r = transaction_run(c, d);
		finish_session(d, cache, c, r);
		if (r != -ESTALE)
			return;
	}
	if (smtp_client_open(d, name, &c) < 0)
		return;
	finish_session(d, cache, c, transaction_run(c, d));
}
