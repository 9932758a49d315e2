/* Reports (RFC 3464) on their way into the spool: the queue says who is to be told of what, bounce/
 * writes the words, and our own writer (slot 0) keeps them like any message, with the null
 * reverse-path (RFC 5321 4.5.5) and the facts that tell recovery which event they are about.
 *
 * Only when a report is durable does the queue hear so, and then it takes the report itself as new
 * mail. What cannot be written now is said to be so, and the queue comes back to it. */
#include "queue/dispatcher_internal.h"

#include "base/ident.h"
#include "base/log.h"
#include "base/stats.h"
#include "bounce/report.h"
#include <stdlib.h>
#include <string.h>

struct writing {
	struct writer_ticket ticket;
	struct dispatcher *d;
	struct draft *draft;
	uint64_t message, event, id;
	struct record_ref ref;
	int result;
};

static void writing_end(struct writing *w, int result)
{
	struct dispatcher *d = w->d;
	struct log_line *l;

	w->result = result;
	if (result < 0) {
		l = log_begin(LOG_LEVEL_ERROR, "report-unwritten");
		log_id(l, "id", w->message);
		log_errno(l, result);
		log_end(l);
	}
	/* The queue may be in the middle of asking. */
	struct late late = {.kind = LATE_REPORT, .payload = BUF_INIT(sizeof(w))};
	buf_append(&late.payload, &w, sizeof(w));
	if (late.payload.error)
		abort();
	dispatcher_late(d, late);
}

static void on_durable(struct writer_ticket *t, int result)
{
	writing_end(CONTAINER_OF(t, struct writing, ticket), result);
}

void dispatcher_report_late(struct dispatcher *d, const struct late *late)
{
	struct writing *w;

	memcpy(&w, late->payload.ptr, sizeof(w));
	d->reports--;
	queue_report_written(d->queue, w->message, w->event, w->result);
	if (w->result == 0) {
		struct log_line *l = log_begin(LOG_LEVEL_INFO, "report");
		log_id(l, "id", w->id);
		log_id(l, "about", w->message);
		log_u64(l, "event-number", w->event);
		log_end(l);
		STATS_ADD(reports_total, 1);
		dispatcher_take(d, SLOT_DISPATCHER,
			&(struct commit_notice){
				w->id, w->ref.segment, w->ref.offset, w->ref.length});
	}
	draft_free(w->draft);
	free(w);
}

static void header_of(struct dispatcher *d, const struct queue_report *report, struct buf *out)
{
	struct loaded *l;
	int r = message_load(d, report->message, &report->commit, &l);

	if (r == 0)
		r = message_head(d, l, REPORT_HEADER_MAX, out);
	/* A report without the header is better than none. */
	if (r < 0)
		buf_reset(out);
}

static void compose(struct dispatcher *d, const struct queue_report *report,
	const struct report_rcpt *rcpts, uint64_t id, struct buf *out)
{
	struct buf original = BUF_INIT(REPORT_HEADER_MAX + 1);
	struct report r = {
		.delay = report->delay,
		.id = id,
		.hostname = span_str(role_config(d->process)->hostname),
		.to = report->reverse_path,
		.now_wall_usec = loop_wall_usec(),
		.arrival_wall_usec = report->arrival_wall_usec,
		.expires_wall_usec = report->expires_wall_usec,
		.rcpts = rcpts,
		.n_rcpts = report->n_rcpts,
	};

	header_of(d, report, &original);
	r.original = buf_span(&original);
	report_write(&r, out);
	buf_done(&original);
}

static int store_text(struct dispatcher *d, struct writing *w, const struct queue_report *report,
	const struct report_rcpt *rcpts)
{
	struct buf text = BUF_INIT(REPORT_OCTETS_MAX);
	struct message_rcpt to = {.address = report->reverse_path};
	struct message m = {
		.arrival_wall_usec = loop_wall_usec(),
		.flags = MESSAGE_REPORT,
		.parent = report->message,
		.event = report->event,
		.relay = 1, /* ours: it may go wherever the sender is */
		.rcpts = &to,
		.n_rcpts = 1,
	};

	int r = draft_new(d->writer, &w->draft);
	if (r < 0)
		return r;
	w->id = draft_id(w->draft);
	compose(d, report, rcpts, w->id, &text);
	r = text.error ? text.error : draft_append(w->draft, buf_span(&text));
	buf_done(&text);
	if (r == 0)
		r = draft_commit(w->draft, &m, &w->ticket, &w->ref);
	return r;
}

void dispatcher_report(void *arg, const struct queue_report *report)
{
	struct dispatcher *d = arg;
	struct writing *w = calloc(1, sizeof(*w));
	struct report_rcpt *rcpts = calloc(report->n_rcpts + 1, sizeof(*rcpts));

	if (!w || !rcpts)
		abort(); /* owed by the ledger: asked for again */
	for (uint32_t i = 0; i < report->n_rcpts; i++) {
		const struct queue_report_rcpt *p = &report->rcpts[i];
		rcpts[i] = (struct report_rcpt){
			.address = p->address,
			.original = p->original,
			.code = p->code,
			.enhanced = p->enhanced,
			.text = p->text,
			.remote = p->remote,
			.remote_said = p->remote_said,
		};
	}
	w->d = d;
	w->message = report->message;
	w->event = report->event;
	w->ticket.done = on_durable;
	d->reports++;
	int r = store_text(d, w, report, rcpts);
	if (r < 0)
		writing_end(w, r);
	free(rcpts);
}
