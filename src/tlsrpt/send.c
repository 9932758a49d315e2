/* Reports on their way, by POST (RFC 8460 5.4). The certificate of the host that takes them is
 * verified: section 3 lets a sender ignore that it does not, and we do not: what a stranger's DNS
 * record names should be no way to make us talk to somebody who is not named so.
 *
 * 200 and 201 are success by 5.4, the other 2xx too; another answer of the 4xx kind will be the
 * same tomorrow, but for those that say that it will not. What fails is tried again for 24 hours
 * (5.5). A death between the answer and the state's file repeats a report, under the same
 * report-id.
 */
#include "tlsrpt/reporter_internal.h"

#include "base/log.h"
#include "base/stats.h"
#include "fiber/offload.h"
#include "ipc/addresses.h"
#include "net/https.h"
#include <stdio.h>

#define SEND_USEC      (60 * USEC_PER_SEC)
#define SEND_ARENA_MAX (256u << 10)
#define ROOTS_MAX      (8u << 20)

enum outbox_state send_judge(long status)
{
	if (status >= 200 && status < 300)
		return OUTBOX_SENT;
	/* RFC 9110 15.5.9, RFC 8470 5.2, RFC 6585 4: not now. */
	if (status == 408 || status == 425 || status == 429)
		return OUTBOX_PENDING;
	return status >= 400 && status < 500 ? OUTBOX_REFUSED : OUTBOX_PENDING;
}

/* Nothing to do for it now but to be kept, or not even that. */
static bool is_over(const struct outbox_report *report)
{
	if (outbox_report_has(report, OUTBOX_PENDING))
		return false;
	return !outbox_report_has(report, OUTBOX_WAITING) ||
	       reporter_now() > report->made_usec + OUTBOX_KEEP_USEC;
}

static struct outbox_report *pick(const struct reporter *r)
{
	uint64_t now = reporter_now();
	list_foreach (it, &r->reports) {
		struct outbox_report *report = CONTAINER_OF(it, struct outbox_report, node);
		if (report->busy)
			continue;
		if (is_over(report) ||
			(outbox_report_has(report, OUTBOX_PENDING) && report->due_usec <= now))
			return report;
	}
	return NULL;
}

/* ---- one exchange ---- */

struct posting {
	const struct reporter *r;
	const struct outbox_report *report;
	struct https_exchange x;
};

static int post_work(void *arg)
{
	struct posting *p = arg;
	struct buf body = BUF_INIT(OUTBOX_OCTETS_MAX + BUF_READ_STEP);
	int e = outbox_body(p->r->folder, p->report, &body);
	if (e == 0) {
		p->x.body = buf_span(&body);
		e = https_run(&p->x);
		p->x.body = SPAN_NULL;
	} else {
		(void)snprintf(p->x.why, sizeof(p->x.why), "its file cannot be read: %s",
			strerrordesc_np(-e));
	}
	buf_done(&body);
	return e;
}

static void log_sent(const struct outbox_report *report, const struct outbox_target *t, long status)
{
	STATS_ADD(tlsrpt_sent_total, 1);
	struct log_line *l = log_begin(LOG_LEVEL_INFO, "tlsrpt-report-sent");
	log_str(l, "domain", report->domain);
	log_str(l, "report", report->id);
	log_str(l, "uri", t->owned);
	log_u64(l, "status", (uint64_t)status);
	log_u64(l, "sessions", report->ok);
	log_u64(l, "failures", report->failed);
	log_end(l);
}

static void log_unsent(const struct outbox_report *report, const struct outbox_target *t)
{
	bool refused = t->state == OUTBOX_REFUSED;
	if (refused)
		STATS_ADD(tlsrpt_refused_total, 1);
	struct log_line *l = log_begin(
		LOG_LEVEL_INFO, refused ? "tlsrpt-report-refused" : "tlsrpt-report-deferred");
	log_str(l, "domain", report->domain);
	log_str(l, "report", report->id);
	log_str(l, "uri", t->owned);
	log_str(l, "reason", report->why);
	log_end(l);
}

/* By the fd of now: a reload may have brought another. Without roots the exchange says so. */
static void read_roots(const struct reporter *r, struct buf *out)
{
	int fd = role_fd(r->process, "ca:");
	int e = fd < 0 ? 0 : buf_read_fd(out, fd);

	if (e < 0) {
		struct log_line *l = log_begin(LOG_LEVEL_ERROR, "roots-unusable");
		log_errno(l, e);
		log_end(l);
		buf_reset(out);
	}
}

SUSPENDS static int post(struct reporter *r, const struct outbox_report *report,
	const struct outbox_target *t, struct arena *a, struct posting *p)
{
	struct addresses at;
	struct buf roots = BUF_INIT(ROOTS_MAX + BUF_READ_STEP);
	int e = addresses_find(r->resolver, t->uri.host, t->uri.port, a, &at);
	*p = (struct posting){.r = r, .report = report};
	if (e < 0)
		return e;
	if (at.n == 0) {
		(void)snprintf(p->x.why, sizeof(p->x.why), "its host has no address: %s",
			resolve_status_name(at.status));
		return -EPROTO;
	}
	read_roots(r, &roots);
	p->x = (struct https_exchange){
		.url = t->owned,
		.host = t->uri.host,
		.port = t->uri.port,
		.addresses = at.list,
		.n_addresses = at.n,
		.roots = buf_span(&roots),
		.timeout_usec = SEND_USEC,
		.type = "application/tlsrpt+gzip",
		.cancelled = &r->cancelled,
	};
	e = offload_call(post_work, p);
	buf_done(&roots);
	return e;
}

SUSPENDS static void send_to(
	struct reporter *r, struct outbox_report *report, struct outbox_target *t, struct arena *a)
{
	struct posting p;
	int e = post(r, report, t, a, &p);
	if (e == 0) {
		t->state = send_judge(p.x.status);
		if (t->state == OUTBOX_SENT) {
			log_sent(report, t, p.x.status);
			return;
		}
		(void)snprintf(report->why, sizeof(report->why), "HTTP status %ld", p.x.status);
	} else {
		(void)snprintf(report->why, sizeof(report->why), "%s",
			p.x.why[0] ? p.x.why : strerrordesc_np(-e));
	}
	if (t->state == OUTBOX_REFUSED)
		log_unsent(report, t);
}

/* ---- one report ---- */

struct keeping {
	int folder;
	const struct outbox_report *report;
	bool gone;
};

static int keep_work(void *arg)
{
	struct keeping *k = arg;
	if (!k->gone)
		return outbox_save(k->folder, k->report, SPAN_NULL);
	outbox_remove(k->folder, k->report);
	return 0;
}

/* What waited for DKIM for too long. */
static void log_dropped(struct outbox_report *report)
{
	(void)snprintf(report->why, sizeof(report->why), "it waited for DKIM for a week");
	for (unsigned i = 0; i < report->n_targets; i++) {
		if (report->targets[i].state != OUTBOX_WAITING)
			continue;
		report->targets[i].state = OUTBOX_REFUSED;
		log_unsent(report, &report->targets[i]);
	}
}

SUSPENDS static void keep(struct reporter *r, struct outbox_report *report)
{
	struct keeping k = {.folder = r->folder, .report = report, .gone = is_over(report)};
	int e = offload_call(keep_work, &k);
	if (e < 0) {
		struct log_line *l = log_begin(LOG_LEVEL_ERROR, "tlsrpt-not-saved");
		log_errno(l, e);
		log_end(l);
	}
	report->busy = false;
	if (!k.gone)
		return;
	log_dropped(report);
	list_remove(&report->node);
	outbox_report_free(report);
	r->n_reports--;
	STATS_SET(tlsrpt_reports, r->n_reports);
}

SUSPENDS static void attempt(struct reporter *r, struct outbox_report *report, struct arena *a)
{
	if (report->first_usec == 0)
		report->first_usec = reporter_now();
	report->attempts++;
	for (unsigned i = 0; i < report->n_targets && !r->draining; i++) {
		arena_reset(a);
		if (report->targets[i].state == OUTBOX_PENDING)
			send_to(r, report, &report->targets[i], a);
	}
	if (r->draining || !outbox_report_has(report, OUTBOX_PENDING))
		return;
	bool was[TLSRPT_URIS_MAX] = {false};
	for (unsigned i = 0; i < report->n_targets; i++)
		was[i] = report->targets[i].state == OUTBOX_PENDING;
	outbox_report_postpone(report, reporter_now());
	for (unsigned i = 0; i < report->n_targets; i++)
		if (was[i])
			log_unsent(report, &report->targets[i]);
}

static void run(void *arg)
{
	struct worker *w = arg;
	struct reporter *r = w->r;
	struct outbox_report *report;
	struct arena *a = arena_new(SEND_ARENA_MAX);
	while (a && !r->draining && (report = pick(r)) != NULL) {
		report->busy = true;
		if (!is_over(report))
			attempt(r, report, a);
		keep(r, report);
	}
	arena_free(a);
	w->fiber = NULL;
	reporter_wake(r);
}

void send_start(struct reporter *r)
{
	if (r->draining || !pick(r))
		return;
	for (unsigned i = 0; i < SENDERS_MAX; i++) {
		struct worker *w = &r->senders[i];
		if (w->fiber)
			continue;
		w->r = r;
		if (fiber_spawn(run, w, &w->fiber) < 0)
			w->fiber = NULL;
	}
}
