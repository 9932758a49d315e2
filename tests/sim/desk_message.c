/* Messages of the simulated dispatcher: reading a COMMIT, and writing reports
 * as queue/dispatcher_report.c does: durable in slot 0, then told to the queue, then taken as mail.
 */
#include "desk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int desk_load(struct desk *d, uint64_t id, const struct record_ref *ref, struct message *ret)
{
	const struct store_segment *s = store_find(d->store, ref->segment);
	uint8_t header[RECORD_HEADER];
	struct record rec;
	size_t got = 0;

	if (!s)
		return -ENOENT;
	int r = d->seam->ops->read(s->file, ref->offset, header, sizeof(header), &got);
	if (r == 0)
		r = got == sizeof(header)
			    ? record_decode(&s->head.generation, ref->offset, header, &rec)
			    : -EBADMSG;
	if (r == 0 && (rec.type != RECORD_COMMIT || rec.id != id || rec.length != ref->length))
		r = -EBADMSG;
	buf_reset(&d->payload);
	arena_reset(d->arena);
	if (r == 0)
		r = segment_read_payload(d->seam, s->file, &s->head, &rec, &d->payload);
	return r < 0 ? r : message_decode(id, buf_span(&d->payload), d->arena, ret);
}

void desk_forget(void *arg, uint64_t id, const struct record_ref *commit)
{
	holds_release(&((struct desk *)arg)->holds, id, commit);
}

/* ---- reports ---- */

struct writing {
	struct hold_report hold;
	struct writer_ticket ticket;
	struct desk *d;
	struct draft *draft;
	uint64_t message, event;
	struct record_ref ref;
	int result;
};

static void writing_end(struct writing *w, int result)
{
	w->result = result;
	world_tempt(w->d->w);
	trace(w->d->w, "dispatcher: report of %" PRIx64 ":%" PRIu64 ": %d", w->message, w->event,
		result);
	desk_late(w->d, (struct late){.kind = LATE_REPORT, .writing = w});
}

static void on_durable(struct writer_ticket *t, int result)
{
	writing_end(CONTAINER_OF(t, struct writing, ticket), result);
}

void desk_report_late(struct desk *d, struct writing *w)
{
	if (!d->closing) {
		if (w->result < 0 && w->draft)
			queue_void(d->queue, draft_id(w->draft));
		if (w->result < 0 && w->ref.segment)
			store_known(d->store, &w->ref);
		queue_report_written(d->queue, w->message, w->event, w->result);
		if (w->result == 0) {
			uint64_t id = draft_id(w->draft);
			if (!sim_seam_is_dead(d->seam))
				truth_accepted(d->w->truth, truth_find(d->w->truth, id));
			desk_take(d, &(struct held_notice){SLOT_DISPATCHER, id, w->ref});
		}
	}
	if (!d->closing)
		holds_report_end(&d->holds, &w->hold);
	draft_free(w->draft);
	free(w);
}

/* The world must know of it before a COMMIT may stand anywhere. */
static void make_known(struct desk *d, const struct queue_report *report, uint64_t id)
{
	struct truth_mail *m = truth_add(d->w->truth, id, 0);
	struct buf text = BUF_INIT(1u << 20);
	char to[TRUTH_NAME];

	m->null_sender = m->is_report = true;
	m->is_delay = report->delay;
	m->parent = report->message;
	m->event = report->event;
	(void)snprintf(to, sizeof(to), "%.*s", SPAN_FMT(report->reverse_path));
	(void)truth_address_add(m, to, -1, true);
	m->about = must(calloc(report->n_rcpts + 1, sizeof(*m->about)));
	buf_printf(&text, "report of %" PRIx64 ":%" PRIu64 "\r\n", m->parent, m->event);
	for (uint32_t i = 0; i < report->n_rcpts; i++) {
		(void)snprintf(m->about[m->n_about++], TRUTH_NAME, "%.*s",
			SPAN_FMT(report->rcpts[i].address));
		buf_printf(&text, "%.*s\r\n", SPAN_FMT(report->rcpts[i].address));
	}
	m->head = text.ptr;
	m->head_len = text.len;
}

static int store_text(struct desk *d, struct writing *w, const struct queue_report *report)
{
	struct message_rcpt to = {.address = report->reverse_path};
	struct message m = {
		.arrival_wall_usec = d->w->clock.wall,
		.flags = MESSAGE_REPORT,
		.parent = report->message,
		.event = report->event,
		.relay = 1,
		.rcpts = &to,
		.n_rcpts = 1,
	};
	int r = draft_new(d->writer, &w->draft);

	if (r < 0)
		return r;
	w->hold.draft = w->draft;
	make_known(d, report, draft_id(w->draft));
	const struct truth_mail *t = truth_find(d->w->truth, draft_id(w->draft));
	if (!sim_seam_is_dead(d->seam))
		truth_report(d->w->truth, t);
	r = draft_append(w->draft, span_make(t->head, t->head_len));
	if (r == 0)
		r = draft_commit(w->draft, &m, &w->ticket, &w->ref);
	return r;
}

void desk_report(void *arg, const struct queue_report *report)
{
	struct desk *d = arg;
	struct writing *w = must(calloc(1, sizeof(*w)));

	w->d = d;
	w->message = report->message;
	w->event = report->event;
	w->ticket.done = on_durable;
	holds_report(&d->holds, &w->hold);
	int r = store_text(d, w, report);
	if (r < 0)
		writing_end(w, r);
}
