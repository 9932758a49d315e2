/* Reports (RFC 3464) on their way into the spool: the queue says who is to be told of what, bounce/
 * writes the words, and our own writer (slot 0) keeps them like any message, with the null
 * reverse-path (RFC 5321 4.5.5) and the facts that tell recovery which event they are about.
 *
 * Only when a report is durable does the queue hear so, and then it takes the report itself as new
 * mail. What cannot be written is said to be so, and the queue comes back to it; that our writer
 * has no segment at the moment (at the start, on a full disk) is waited for. */
#include "queue/dispatcher_internal.h"

#include "base/ident.h"
#include "base/log.h"
#include "base/stats.h"
#include "bounce/report.h"
#include "mail/idna.h"
#include "mail/xtext.h"
#include <stdlib.h>
#include <string.h>

#define UNWRITTEN_MAX 1000u /* reports that wait for our writer to get a segment */
#define COMMIT_ROOM   (64u * 1024u)

_Static_assert((int)REPORT_EXPANDED == (int)ACTION_EXPANDED &&
		       (int)REPORT_RELAYED == (int)ACTION_RELAYED &&
		       (int)REPORT_DELAYED == (int)ACTION_DELAYED,
	"actions have one order");

struct writing {
	struct list node; /* in d->unwritten */
	struct hold_report hold;
	struct writer_ticket ticket;
	struct dispatcher *d;
	struct draft *draft;
	struct buf text, to;
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
	/* It is written again, and must not be told twice. */
	if (w->result < 0 && w->draft)
		queue_void(d->queue, w->id);
	if (w->result < 0 && w->ref.segment)
		store_known(d->store, &w->ref);
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
	holds_report_end(&d->holds, &w->hold);
	draft_free(w->draft);
	buf_done(&w->text);
	buf_done(&w->to);
	free(w);
}

/* RFC 3461 4.3: the whole message only where it was asked for and something failed; and only where
 * it is of a size and kind that a report can carry. */
static bool wants_whole(const struct queue_report *report, const struct message *m)
{
	return m->ret == MESSAGE_RET_FULL && !report->delay && !report->success &&
	       m->size <= REPORT_FULL_MAX && m->body != 2;
}

/* What the COMMIT says of the message, for the report; it borrows from it. A report without that
 * is better than none. */
static void message_facts(struct dispatcher *d, const struct queue_report *report,
	struct report_rcpt *rcpts, struct report *out, struct buf *original)
{
	struct loaded *l;

	if (message_load(d, report->message, &report->commit, &l) < 0)
		return;
	out->envid = l->m.envid;
	out->original_utf8 = (l->m.flags & MESSAGE_SMTPUTF8) != 0;
	for (uint32_t i = 0; i < report->n_rcpts; i++) {
		if (report->rcpts[i].origin < l->m.n_rcpts)
			rcpts[i].orcpt = l->m.rcpts[report->rcpts[i].origin].orcpt;
	}
	bool whole = wants_whole(report, &l->m);
	if (message_head(d, l, whole ? REPORT_FULL_MAX : REPORT_HEADER_MAX, original) < 0)
		buf_reset(original);
	else
		out->original_is_whole = whole && original->len == l->m.size;
}

static void compose(struct dispatcher *d, const struct queue_report *report,
	struct report_rcpt *rcpts, struct buf *out)
{
	struct buf original = BUF_INIT(REPORT_FULL_MAX + 1);
	struct report r = {
		.delay = report->delay,
		.success = report->success,
		.utf8 = !text_is_ascii(report->reverse_path) && text_is_utf8(report->reverse_path),
		.message = report->message,
		.event = report->event,
		.hostname = span_str(role_config(d->process)->hostname),
		.to = report->reverse_path,
		.now_wall_usec = loop_wall_usec(),
		.arrival_wall_usec = report->arrival_wall_usec,
		.expires_wall_usec = report->expires_wall_usec,
		.rcpts = rcpts,
		.n_rcpts = report->n_rcpts,
	};

	message_facts(d, report, rcpts, &r, &original);
	r.original = buf_span(&original);
	report_write(&r, out);
	buf_done(&original);
}

static int store_text(struct writing *w)
{
	struct message_rcpt to = {.address = buf_span(&w->to)};
	bool ascii = text_is_ascii(buf_span(&w->text)), utf8 = !text_is_ascii(buf_span(&w->to));
	struct message m = {
		.arrival_wall_usec = loop_wall_usec(),
		.flags = MESSAGE_REPORT | (ascii ? 0 : MESSAGE_8BIT_BODY) |
			 (utf8 ? MESSAGE_SMTPUTF8 | MESSAGE_UTF8_HEADER : 0),
		.body = ascii ? 0 : 1,
		.parent = w->message,
		.event = w->event,
		.relay = 1, /* ours: it may go wherever the sender is */
		.rcpts = &to,
		.n_rcpts = 1,
	};

	int r = w->text.error ? w->text.error : w->to.error;
	if (r == 0)
		r = draft_new(w->d->writer, &w->draft);
	if (r < 0)
		return r;
	w->hold.draft = w->draft;
	w->id = draft_id(w->draft);
	r = draft_append(w->draft, buf_span(&w->text));
	if (r == 0)
		r = draft_commit(w->draft, &m, &w->ticket, &w->ref);
	buf_done(&w->text);
	return r;
}

void reports_run(struct dispatcher *d)
{
	while (!list_empty(&d->unwritten)) {
		struct writing *w = CONTAINER_OF(d->unwritten.next, struct writing, node);
		/* A large report goes in chunks: room for the next one is enough to begin. */
		bool room = writer_can_append(
			d->writer, MIN(w->text.len, (size_t)SPOOL_CHUNK) + COMMIT_ROOM);
		if (!room && !d->drain.on)
			return; /* until a segment comes */
		list_remove(&w->node);
		d->n_unwritten--;
		int r = room ? store_text(w) : -ECANCELED;
		if (r < 0)
			writing_end(w, r);
	}
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
			.action = (enum report_action)p->action,
			.address = p->address,
			.original = p->original,
			.code = p->code,
			.enhanced = p->enhanced,
			.text = p->text,
			.remote = p->remote,
			.remote_said = p->remote_said,
		};
	}
	*w = (struct writing){
		.d = d,
		.message = report->message,
		.event = report->event,
		.ticket.done = on_durable,
		.text = BUF_INIT(REPORT_OCTETS_MAX),
		.to = BUF_INIT(RECORD_PAYLOAD_MAX),
	};
	d->reports++;
	holds_report(&d->holds, &w->hold);
	if (d->n_unwritten >= UNWRITTEN_MAX) {
		free(rcpts);
		writing_end(w, -ENOSPC);
		return;
	}
	buf_put(&w->to, report->reverse_path);
	compose(d, report, rcpts, &w->text);
	free(rcpts);
	list_push_back(&d->unwritten, &w->node);
	d->n_unwritten++;
	loop_defer(&d->turn);
}
