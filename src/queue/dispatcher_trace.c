/* A trace waits until the queue hands out a job that matches; then it is that job's, and ends with
 * it. What the dispatcher knows itself (routing, the resolver's answer, which process, results) and
 * what the deliverer sends meanwhile (FRAME_TRACE) become lines of one stream, in the order of
 * their coming.
 *
 * Mail never waits for a trace: a line that would make control's channel long is left out and
 * counted, here as in the deliverer before and in control behind; the next line that gets through
 * says how many are missing. At most TRACES_MAX at once, TRACE_LINES_MAX lines each. */
#include "queue/dispatcher_trace.h"

#include "base/ident.h"
#include "ipc/resolve.h"
#include "ipc/trace.h"
#include <stdlib.h>

#define TRACES_MAX	8u
#define TRACE_LINES_MAX 20000u
#define TRACE_ARENA_MAX (1u << 20)

struct trace {
	struct list node;
	struct peer *control;
	struct arena *arena;
	struct admin_request r;
	uint64_t job; /* 0: none yet */
	uint32_t lost, lines;
};

static void trace_free(struct dispatcher *d, struct trace *t)
{
	list_remove(&t->node);
	d->n_traces--;
	arena_free(t->arena);
	free(t);
}

static void send_end(struct peer *control, uint64_t token, uint32_t error, const char *text)
{
	struct admin_end e = {.token = token, .error = error, .text = span_str(text)};
	struct buf b = BUF_INIT(4096);

	admin_end_encode(&e, &b);
	if (b.error || channel_send(control->channel, FRAME_ADMIN_END, buf_span(&b), NULL, 0) < 0)
		channel_flush(control->channel);
	buf_done(&b);
}

static void send_line(struct trace *t, uint32_t lost, struct span line)
{
	struct buf b = BUF_INIT(4096);
	struct admin_line l = {.token = t->r.token, .lost = t->lost + lost, .line = line};

	t->lost += lost;
	admin_line_encode(&l, &b);
	if (b.error || t->lines >= TRACE_LINES_MAX ||
		channel_backlog(t->control->channel) > ADMIN_BACKLOG_MAX ||
		channel_send(t->control->channel, FRAME_ADMIN_LINE, buf_span(&b), NULL, 0) < 0) {
		t->lost++;
	} else {
		t->lost = 0;
		t->lines++;
	}
	buf_done(&b);
}

/* What was left out last is said before the end. */
static void tell_lost(struct trace *t)
{
	struct buf b = BUF_INIT(256);
	struct admin_line l = {.token = t->r.token, .lost = t->lost};

	admin_line_encode(&l, &b);
	if (b.error == 0)
		(void)!channel_send(t->control->channel, FRAME_ADMIN_LINE, buf_span(&b), NULL, 0);
	buf_done(&b);
}

PRINTF(2, 3) static void say(struct trace *t, const char *fmt, ...)
{
	struct buf text = BUF_INIT(4096), line = BUF_INIT(512);
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	trace_line(loop_wall_usec(), '*', buf_span(&text), &line);
	send_line(t, 0, buf_span(&line));
	buf_done(&text);
	buf_done(&line);
}

/* ---- whose ---- */

static struct span domain_of(struct span address)
{
	size_t at = address.len;

	while (at > 0 && address.ptr[at - 1] != '@')
		at--;
	return span_from(address, at);
}

static bool matches_id(const struct trace *t, uint64_t id)
{
	for (uint32_t i = 0; i < t->r.n_ids; i++)
		if (t->r.ids[i] == id)
			return true;
	return false;
}

static bool matches_address(const struct trace *t, struct span address)
{
	return (t->r.recipient.len && span_equal_nocase(t->r.recipient, address)) ||
	       (t->r.domain.len && span_equal_nocase(t->r.domain, domain_of(address)));
}

static bool matches_job(const struct trace *t, const struct job *job)
{
	if (matches_id(t, job->message))
		return true;
	for (uint32_t i = 0; i < job->n_rcpts; i++)
		if (matches_address(t, job->rcpts[i].address))
			return true;
	return false;
}

static struct trace *trace_of(struct dispatcher *d, uint64_t job)
{
	list_foreach (n, &d->traces) {
		struct trace *t = CONTAINER_OF(n, struct trace, node);
		if (t->job == job)
			return t;
	}
	return NULL;
}

/* ---- coming and going ---- */

static int trace_new(struct peer *control, const struct admin_request *r)
{
	struct dispatcher *d = control->d;
	struct trace *t = calloc(1, sizeof(*t));

	if (!t || !(t->arena = arena_new(TRACE_ARENA_MAX))) {
		free(t);
		return -ENOMEM;
	}
	t->control = control;
	t->r.token = r->token;
	t->r.domain = arena_span(t->arena, r->domain);
	t->r.recipient = arena_span(t->arena, r->recipient);
	t->r.ids = arena_alloc(t->arena, (r->n_ids + 1) * sizeof(*r->ids));
	list_push_back(&d->traces, &t->node);
	d->n_traces++;
	if (!t->r.ids) {
		trace_free(d, t);
		return -ENOMEM;
	}
	t->r.n_ids = r->n_ids;
	for (uint32_t i = 0; i < r->n_ids; i++)
		t->r.ids[i] = r->ids[i];
	return 0;
}

void trace_begin(struct peer *control, const struct admin_request *r)
{
	struct dispatcher *d = control->d;
	struct admin_request retry = *r;
	const char *why = NULL;

	if (!d->started)
		why = "the dispatcher is starting; try again in a moment";
	else if (d->n_traces >= TRACES_MAX)
		why = "too many traces at once";
	else if (r->n_ids && !queue_has(d->queue, r->ids[0]))
		why = "no such message in the queue";
	else if (trace_new(control, r) < 0)
		why = "no memory";
	if (why) {
		send_end(control, r->token, r->n_ids && d->started ? ENOENT : EAGAIN, why);
		return;
	}
	retry.verb = ADMIN_QUEUE_RETRY;
	if (r->retry && queue_command(d->queue, &retry) > 0)
		loop_defer(&d->turn);
}

void trace_cancel(struct peer *control, uint64_t token)
{
	list_foreach_safe (n, tmp, &control->d->traces) {
		struct trace *t = CONTAINER_OF(n, struct trace, node);
		if (t->control == control && t->r.token == token)
			trace_free(control->d, t);
	}
}

void traces_gone(struct peer *control)
{
	list_foreach_safe (n, tmp, &control->d->traces) {
		struct trace *t = CONTAINER_OF(n, struct trace, node);
		if (t->control == control)
			trace_free(control->d, t);
	}
}

/* ---- what is told ---- */

bool trace_job(struct dispatcher *d, const struct job *job)
{
	list_foreach (n, &d->traces) {
		struct trace *t = CONTAINER_OF(n, struct trace, node);
		if (t->job || !matches_job(t, job))
			continue;
		t->job = job->job;
		say(t, "message %s, %u recipients, attempt %u, to %.*s",
			ident_format(job->message).s, job->n_rcpts, job->attempt,
			SPAN_FMT(job->site));
		return true;
	}
	return false;
}

void trace_sent(struct dispatcher *d, const struct handed_job *j, const struct peer *to)
{
	struct trace *t = trace_of(d, j->job);

	if (t)
		say(t, "handed to %s[%u]", role_name(to->role), to->index);
}

static const char *result_name(enum outcome_class c)
{
	static const char *const names[] = {[OUTCOME_DELIVERED] = "delivered",
		[OUTCOME_DEFERRED] = "deferred",
		[OUTCOME_FAILED] = "failed",
		[OUTCOME_NOT_TRIED] = "not tried"};

	return names[c];
}

void trace_outcome(struct dispatcher *d, const struct outcome *o)
{
	struct trace *t = trace_of(d, o->job);

	for (uint32_t i = 0; t && i < o->n_rcpts; i++) {
		const struct outcome_rcpt *r = &o->rcpts[i];
		/* A reply has its enhanced code in its text. */
		if (r->code)
			say(t, "recipient %u: %s: %u %.*s", r->index + 1, result_name(r->result),
				r->code, SPAN_FMT(r->text));
		else
			say(t, "recipient %u: %s: %.*s %.*s", r->index + 1, result_name(r->result),
				SPAN_FMT(r->enhanced), SPAN_FMT(r->text));
	}
}

void trace_over(struct dispatcher *d, uint64_t job)
{
	struct trace *t = trace_of(d, job);

	if (!t)
		return;
	if (t->lost > 0)
		tell_lost(t);
	send_end(t->control, t->r.token, 0, "");
	trace_free(d, t);
}

void trace_event(
	struct dispatcher *d, const char *event, uint64_t id, struct span rcpt, struct span detail)
{
	list_foreach (n, &d->traces) {
		struct trace *t = CONTAINER_OF(n, struct trace, node);
		if (!matches_id(t, id) && !matches_address(t, rcpt))
			continue;
		say(t, "%s %s%s%.*s%s%.*s", ident_format(id).s, event, rcpt.len ? " " : "",
			SPAN_FMT(rcpt), detail.len ? ": " : "", SPAN_FMT(detail));
	}
}

static void say_mx(struct trace *t, const struct mx_trace *m)
{
	struct buf hosts = BUF_INIT(4096);

	for (uint32_t i = 0; i < m->hop->n_hosts; i++)
		buf_printf(&hosts, "%s%u %.*s", i ? ", " : "", m->hop->hosts[i].preference,
			SPAN_FMT(m->hop->hosts[i].name));
	say(t, "the resolver says of MX %.*s: %s%s", SPAN_FMT(m->domain),
		resolve_status_name(m->mx->status), m->mx->secure ? ", by DNSSEC" : "");
	if (m->hop->n_hosts)
		say(t, "hosts: %.*s", SPAN_FMT(buf_span(&hosts)));
	else
		say(t, "no hosts: %.*s %.*s", SPAN_FMT(m->hop->enhanced), SPAN_FMT(m->hop->text));
	buf_done(&hosts);
}

/* Of a message that is named by its id, every domain may be one of its. */
void trace_mx(struct dispatcher *d, const struct mx_trace *m)
{
	list_foreach (n, &d->traces) {
		struct trace *t = CONTAINER_OF(n, struct trace, node);
		struct span wanted = t->r.domain.len ? t->r.domain : domain_of(t->r.recipient);
		if (!t->job && (t->r.n_ids || span_equal_nocase(wanted, m->domain)))
			say_mx(t, m);
	}
}

int trace_frame(struct peer *p, struct span payload)
{
	struct wire w = wire_reader(payload);
	uint64_t job = wire_get_u64(&w);
	uint32_t lost = wire_get_u32(&w);
	struct span line = wire_get_span(&w);
	struct trace *t = w.error ? NULL : trace_of(p->d, job);

	if (t)
		send_line(t, lost, line);
	return w.error;
}
