/* `queue list` and `show`: rows by a cursor that is the next id to look at, so that it stays right
 * whatever comes and goes between two calls: what is queued throughout is listed exactly once.
 * A call looks at a bounded number of messages, matching or not. */
#include "queue/queue_internal.h"

#define LOOKS_A_ROW 16u

static struct queue_row_rcpt row_rcpt(
	const struct queue *q, const struct mail *m, const struct rcpt *r)
{
	const struct site *s = r->hop ? r->hop->site : NULL;
	const struct note *note = r->note;
	uint64_t due = USEC_INFINITY;

	if (r->state == RCPT_DEFERRED)
		due = r->due;
	if (r->state == RCPT_READY && s->down) {
		due = s->timer.place ? s->timer.due : q->now;
		note = note ? note : s->note;
	}
	return (struct queue_row_rcpt){.address = rcpt_address(r),
		.original = rcpt_original(m, r),
		.state = queue_state_name(r),
		.attempts = r->attempts,
		.due_wall_usec = queue_to_wall(q, due),
		.site = s ? span_make(s->key, s->key_len) : SPAN_NULL,
		.enhanced = note_enhanced(note),
		.text = note_text(note)};
}

/* A list shows what is still to be done; `show` the finished recipients, too. */
static bool is_shown(const struct rcpt *r, const struct admin_request *a)
{
	return rcpt_is_live(r) || (a->verb == ADMIN_QUEUE_SHOW && r->state != RCPT_MERGED);
}

static void row_make(
	struct queue *q, const struct mail *m, const struct admin_request *a, struct queue_row *row)
{
	uint32_t max = MIN(m->n_rcpts, QUEUE_ROW_RCPTS);

	*row = (struct queue_row){.token = a->token,
		.id = m->id,
		.arrival_wall_usec = m->arrival_wall,
		.size = m->size,
		.expires_wall_usec = queue_to_wall(q, queue_expire_at(q, m)),
		.reverse_path = mail_reverse_path(m),
		.client = text_span(text_next(mail_texts(m))),
		.login = text_span(text_next(text_next(mail_texts(m)))),
		.rcpts = queue_scratch(q, max * sizeof(*row->rcpts))};
	for (uint32_t i = 0; i < m->n_rcpts; i++) {
		const struct rcpt *r = &m->rcpts[i];
		if (!is_shown(r, a))
			continue;
		row->held = row->held || r->state == RCPT_HELD;
		row->n_rcpts_all++;
		if (row->n_rcpts < max)
			row->rcpts[row->n_rcpts++] = row_rcpt(q, m, r);
	}
}

bool queue_list(struct queue *q, const struct admin_request *r, uint64_t *cursor, unsigned max,
	void (*each)(void *arg, const struct queue_row *row), void *arg)
{
	uint64_t looks = (uint64_t)max * LOOKS_A_ROW;

	for (unsigned rows = 0; rows < max && looks > 0; looks--) {
		struct queue_row row;
		bool over;
		struct mail *m = queue_request_next(q, r, cursor, &over);
		if (over)
			return false;
		if (!m || !queue_match_mail(m, r))
			continue;
		row_make(q, m, r, &row);
		each(arg, &row);
		rows++;
	}
	return true;
}
