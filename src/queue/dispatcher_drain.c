/* The orderly end: no more jobs are handed out, those not begun are called back, and outcomes of
 * the rest are awaited within the grace; then the ledger is synced once more, so that the next
 * start has nothing to name. Whatever does not end in time is in the ledger as handed out: the next
 * life asks deliverers for it, or names it. */
#include "queue/dispatcher_internal.h"

#include "base/log.h"
#include <string.h>

#define DRAIN_MARGIN_USEC (500 * USEC_PER_MSEC) /* before the supervisor loses patience */
#define DRAIN_SYNC_USEC	  (5 * USEC_PER_SEC)

static void drain_finish(struct dispatcher *d)
{
	list_foreach (n, &d->peers)
		channel_flush(CONTAINER_OF(n, struct peer, node)->channel);
	role_finished(d->process);
}

static void drain_synced(struct writer_ticket *t, int result)
{
	struct dispatcher *d = CONTAINER_OF(t, struct dispatcher, drain.ticket);

	if (result < 0)
		log_text(LOG_LEVEL_WARN, "drain-unsynced", "%s", strerror(-result));
	drain_finish(d);
}

static void drain_sync(struct dispatcher *d)
{
	if (d->drain.syncing)
		return;
	d->drain.syncing = true;
	d->drain.ticket.done = drain_synced;
	/* A disk that hangs must not keep the server from ending. */
	if (loop_timer_set(&d->drain.timer, loop_now_usec() + DRAIN_SYNC_USEC) < 0)
		drain_finish(d);
	ledger_sync(d->ledger, &d->drain.ticket);
}

void dispatcher_drain_step(struct dispatcher *d)
{
	bool busy = map_count(d->jobs) > 0 || d->reports > 0 || !list_empty(&d->late);

	if (!d->started || !busy)
		drain_sync(d);
}

static void on_drain_timer(struct loop_timer *t)
{
	struct dispatcher *d = CONTAINER_OF(t, struct dispatcher, drain.timer);

	if (d->drain.syncing)
		drain_finish(d);
	else
		drain_sync(d);
}

void dispatcher_drain(struct dispatcher *d, uint64_t grace_usec)
{
	uint64_t grace = grace_usec > 2 * DRAIN_MARGIN_USEC ? grace_usec - DRAIN_MARGIN_USEC
							    : grace_usec / 2;

	d->drain.on = true;
	d->drain.timer.fn = on_drain_timer;
	if (loop_timer_set(&d->drain.timer, loop_now_usec() + grace) < 0)
		drain_sync(d);
	jobs_cancel_all(d);
	loop_defer(&d->turn);
}
