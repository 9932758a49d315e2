/* Delivery status notifications (RFC 3464): what is owed, and when.
 *
 * Order, so that a report is neither lost nor told twice: the recipients' FAILED state with its
 * event number is durable; the owner writes the report to the spool, durable, with the parent's id
 * and the event; queue_report_written appends BOUNCED (or the message's DONE); only then does the
 * owner give the report itself to queue_committed. A crash between the last two is found at
 * recovery: the report's COMMIT names (parent, event), see replay.c. */
#include "queue/queue_internal.h"

static enum queue_action action_of(const struct rcpt *r)
{
	if (r->state == RCPT_FAILED)
		return ACTION_FAILED;
	if (r->state != RCPT_SUCCEEDED)
		return ACTION_DELAYED;
	if (r->flags & RF_NOTICE)
		return ACTION_EXPANDED;
	return r->flags & RF_RELAYED ? ACTION_RELAYED : ACTION_DELIVERED;
}

static struct queue_report_rcpt *report_rcpt(
	struct queue_report *report, const struct mail *m, const struct rcpt *r)
{
	struct queue_report_rcpt *out = &report->rcpts[report->n_rcpts++];

	*out = (struct queue_report_rcpt){.action = action_of(r),
		.origin = r->origin,
		.address = rcpt_address(r),
		.original = rcpt_original(m, r),
		.code = r->note ? r->note->code : 0,
		.enhanced = note_enhanced(r->note),
		.text = note_text(r->note),
		.remote = note_remote(r->note),
		.remote_said = r->note && r->note->remote_said};
	return out;
}

static struct queue_report report_begin(struct queue *q, const struct mail *m, uint32_t event)
{
	return (struct queue_report){.message = m->id,
		.event = event,
		.delay = event == EVENT_DELAY,
		.reverse_path = mail_reverse_path(m),
		.arrival_wall_usec = m->arrival_wall,
		.expires_wall_usec = queue_to_wall(q, queue_expire_at(q, m)),
		.commit = m->commit,
		.rcpts = queue_scratch(q, m->n_rcpts * sizeof(struct queue_report_rcpt))};
}

void queue_report_owed(struct queue *q, struct mail *m, uint32_t event)
{
	struct queue_report report = report_begin(q, m, event);

	for (uint32_t i = 0; i < m->n_rcpts; i++) {
		struct rcpt *r = &m->rcpts[i];
		if (!rcpt_owes_report(r) || r->event != event)
			continue;
		r->due = USEC_INFINITY;
		report.success = r->state == RCPT_SUCCEEDED;
		(void)report_rcpt(&report, m, r);
	}
	if (report.n_rcpts)
		q->ops.report(q->arg, &report);
}

void queue_report_delay(struct queue *q, struct mail *m)
{
	struct queue_report report = report_begin(q, m, EVENT_DELAY);

	for (uint32_t i = 0; i < m->n_rcpts; i++) {
		const struct rcpt *r = &m->rcpts[i];
		if (!queue_rcpt_warns(m, r))
			continue;
		struct queue_report_rcpt *out = report_rcpt(&report, m, r);
		const struct site *s = r->hop ? r->hop->site : NULL;
		/* Never tried itself because its site is down: say what the site says. */
		if (r->note || !s || !s->down)
			continue;
		out->code = s->note ? s->note->code : 0;
		out->enhanced = note_enhanced(s->note);
		out->text = note_text(s->note);
		out->remote = note_remote(s->note);
		out->remote_said = s->note && s->note->remote_said;
	}
	if (!report.n_rcpts)
		return; /* held meanwhile */
	m->flags |= MAIL_WARNING;
	q->ops.report(q->arg, &report);
}

void queue_void(struct queue *q, uint64_t id)
{
	queue_done_add(q, id);
	queue_entry(q, &(struct entry){.type = ENTRY_VOID, .id = id});
	q->want_sync = true;
}

static void write_bounced(struct queue *q, const struct mail *m, uint32_t event)
{
	queue_entry(q, &(struct entry){.type = ENTRY_BOUNCED, .id = m->id, .event = event});
	q->want_sync = true;
}

static void warning_written(struct queue *q, struct mail *m, int result)
{
	if (!(m->flags & MAIL_WARNING))
		return;
	if (result < 0) {
		q->warn_again = q->now + QUEUE_REPORT_USEC;
		m->flags &= (uint16_t)~MAIL_WARNING;
		queue_mail_timer(q, m);
		return;
	}
	m->flags &= (uint16_t)~MAIL_WARNING;
	m->flags |= MAIL_WARNED;
	write_bounced(q, m, EVENT_DELAY);
	queue_say(q, "delayed", m, NULL, NULL, SPAN_NULL);
}

void queue_report_written(struct queue *q, uint64_t message, uint64_t event, int result)
{
	struct mail *m = table_get(&q->mails, message);
	bool any = false;

	if (!m || (m->flags & MAIL_DONE))
		return;
	if (event == EVENT_DELAY) {
		warning_written(q, m, result);
		return;
	}
	for (uint32_t i = 0; i < m->n_rcpts; i++) {
		struct rcpt *r = &m->rcpts[i];
		if (!rcpt_owes_report(r) || r->event != event)
			continue;
		if (result < 0) {
			r->due = q->now + QUEUE_REPORT_USEC;
			queue_mail_due(q, m, r->due);
			continue;
		}
		any = true;
		bool failed = r->state == RCPT_FAILED;
		queue_rcpt_set(q, m, r, failed ? RCPT_REPORTED : RCPT_DELIVERED);
		queue_say(q, failed ? "bounced" : "notified", m, r, r->note, SPAN_NULL);
	}
	if (!any)
		return;
	if (m->live > 0)
		write_bounced(q, m, (uint32_t)event);
	queue_settle(q, m, NULL, false);
}
