/* `postrider tlsrpt list|show|send`, from the control process. Everything is answered in the turn
 * in which it was asked; what `send` begins goes on behind its answer. */
#include "tlsrpt/reporter_internal.h"

#include "ipc/admin.h"
#include <stdio.h>

#define ROW_OCTETS_MAX (REPORT_OCTETS_MAX + 4096u)

static int send_row(struct reporter *r, const struct tlsrpt_row *row)
{
	struct buf b = BUF_INIT(ROW_OCTETS_MAX);
	tlsrpt_row_encode(row, &b);
	int e = b.error ? b.error
			: channel_send(r->control, FRAME_ADMIN_ROW, buf_span(&b), NULL, 0);
	buf_done(&b);
	return e;
}

static void send_end(
	struct reporter *r, uint64_t token, int error, const char *text, uint64_t count)
{
	struct admin_end end = {
		.token = token, .error = (uint32_t)error, .text = span_str(text), .count = count};
	struct buf b = BUF_INIT(4096);
	admin_end_encode(&end, &b);
	(void)!channel_send(r->control, FRAME_ADMIN_END, buf_span(&b), NULL, 0);
	buf_done(&b);
}

static bool is_wanted(const struct admin_request *q, struct span domain)
{
	return q->domain.len == 0 || span_equal_nocase(q->domain, domain);
}

static int list_counts(struct reporter *r, const struct admin_request *q, const struct counts *t,
	const char *state, uint64_t due_usec)
{
	list_foreach (it, &t->domains) {
		const struct counts_domain *d = CONTAINER_OF(it, struct counts_domain, node);
		struct tlsrpt_row row = {
			.token = q->token,
			.domain = d->name,
			.state = span_str(state),
			.begin_sec = t->begin_sec,
			.end_sec = t->end_sec,
			.due_usec = MAX(due_usec, d->retry_usec),
		};
		counts_sum(d, &row.ok, &row.failed);
		int e = is_wanted(q, d->name) ? send_row(r, &row) : 0;
		if (e < 0)
			return e;
	}
	return 0;
}

static int list_report(
	struct reporter *r, const struct admin_request *q, const struct outbox_report *p)
{
	struct buf targets = BUF_INIT(TLSRPT_URIS_MAX * (TLSRPT_URI_MAX + 16));
	for (unsigned i = 0; i < p->n_targets; i++)
		buf_printf(&targets, "%s%s %s", i > 0 ? "\n" : "",
			outbox_state_name(p->targets[i].state), p->targets[i].owned);
	bool pending = outbox_report_has(p, OUTBOX_PENDING);
	struct tlsrpt_row row = {
		.token = q->token,
		.domain = span_str(p->domain),
		.state = pending ? SPAN_LIT("sending") : SPAN_LIT("waiting for DKIM"),
		.begin_sec = p->begin_sec,
		.end_sec = p->end_sec,
		.ok = p->ok,
		.failed = p->failed,
		.due_usec = pending ? p->due_usec : 0,
		.attempts = p->attempts,
		.report = span_str(p->id),
		.targets = buf_span(&targets),
		.text = span_str(p->why),
	};
	int e = is_wanted(q, row.domain) ? send_row(r, &row) : 0;
	buf_done(&targets);
	return e;
}

static int answer_list(struct reporter *r, const struct admin_request *q)
{
	int e = list_counts(r, q, r->now, "collecting", 0);
	list_foreach (it, &r->closed) {
		const struct closed *c = CONTAINER_OF(it, struct closed, node);
		if (e == 0)
			e = list_counts(r, q, c->counts, "collected", c->due_usec);
	}
	list_foreach (it, &r->reports) {
		const struct outbox_report *p = CONTAINER_OF(it, struct outbox_report, node);
		if (e == 0)
			e = list_report(r, q, p);
	}
	return e;
}

static int show(
	struct reporter *r, const struct admin_request *q, const struct counts *t, uint64_t *count)
{
	const struct counts_domain *d = counts_find(t, q->domain);
	struct rpt_head head;
	struct buf text = BUF_INIT(REPORT_OCTETS_MAX);
	if (!d)
		return 0;
	reporter_head(r, t, &head);
	int e = rpt_write(&head, d, &text);
	struct tlsrpt_row row = {.token = q->token, .domain = d->name, .text = buf_span(&text)};
	if (e == 0)
		e = send_row(r, &row);
	buf_done(&text);
	++*count;
	return e;
}

static int answer_show(struct reporter *r, const struct admin_request *q, uint64_t *count)
{
	int e = show(r, q, r->now, count);
	list_foreach (it, &r->closed) {
		const struct closed *c = CONTAINER_OF(it, struct closed, node);
		if (e == 0)
			e = show(r, q, c->counts, count);
	}
	return e;
}

/* Everything that is over is due now; with `all` the running day is over too. */
static int answer_send(struct reporter *r, const struct admin_request *q, uint64_t *count)
{
	uint64_t now = reporter_now();
	int e = q->all ? periods_close(r, now / USEC_PER_SEC + 1) : 0;
	list_foreach (it, &r->closed) {
		struct closed *c = CONTAINER_OF(it, struct closed, node);
		c->due_usec = MIN(c->due_usec, now);
		*count += c->counts->n;
		list_foreach (id, &c->counts->domains)
			CONTAINER_OF(id, struct counts_domain, node)->retry_usec = 0;
	}
	list_foreach (it, &r->reports) {
		struct outbox_report *p = CONTAINER_OF(it, struct outbox_report, node);
		if (!p->busy && outbox_report_has(p, OUTBOX_PENDING)) {
			p->due_usec = MIN(p->due_usec, now);
			++*count;
		}
	}
	reporter_wake(r);
	return e;
}

int answers_frame(struct reporter *r, struct span payload)
{
	struct admin_request q;
	uint64_t count = 0;
	arena_reset(r->arena);
	int e = admin_request_decode(payload, r->arena, &q);
	if (e < 0)
		return e;
	if (!r->started)
		e = -EAGAIN;
	else if (q.verb == ADMIN_TLSRPT_LIST)
		e = answer_list(r, &q);
	else if (q.verb == ADMIN_TLSRPT_SHOW)
		e = answer_show(r, &q, &count);
	else if (q.verb == ADMIN_TLSRPT_SEND)
		e = answer_send(r, &q, &count);
	else
		e = -EINVAL;
	send_end(r, q.token, -e, e < 0 ? strerrordesc_np(-e) : NULL, count);
	return 0;
}
