/* From the counts of a period that is over to reports: each domain is asked for its record (RFC
 * 8460 3). Who has none gets none, and its counts are forgotten; who cannot be asked is asked
 * again, for a day. Several domains at a time, so that a silent one delays nobody.
 *
 * A busy domain is its fiber's: nobody else removes it, and its period stays as long as it has
 * domains. The JSON is made on a thread from a domain that nobody changes. */
#include "tlsrpt/reporter_internal.h"

#include "base/log.h"
#include "base/stats.h"
#include "fiber/offload.h"
#include <stdlib.h>

#define PREPARE_ARENA_MAX (1u << 20)
#define GIVE_UP_USEC	  (24 * 3600 * USEC_PER_SEC)
#define RECORDS_MAX	  16u

static struct counts_domain *pick(struct reporter *r, struct closed **ret_closed)
{
	uint64_t now = reporter_now();
	list_foreach (it, &r->closed) {
		struct closed *c = CONTAINER_OF(it, struct closed, node);
		if (c->due_usec > now)
			continue;
		list_foreach (id, &c->counts->domains) {
			struct counts_domain *d = CONTAINER_OF(id, struct counts_domain, node);
			if (d->busy || d->retry_usec > now)
				continue;
			/* What has been looked at lies behind what has not. */
			list_remove(&d->node);
			list_push_back(&c->counts->domains, &d->node);
			d->busy = true;
			*ret_closed = c;
			return d;
		}
	}
	return NULL;
}

/* 0: a record with somewhere to send to; -ENOENT: none; -EAGAIN: it cannot be known now. */
SUSPENDS static int find_record(
	struct reporter *r, struct span domain, struct arena *a, struct tlsrpt_record *ret)
{
	struct resolve_answer answer;
	struct span txts[RECORDS_MAX];
	unsigned n = 0;
	struct buf name = BUF_INIT(RESOLVE_NAME_MAX + 16);
	buf_printf(&name, "_smtp._tls.%.*s", SPAN_FMT(domain));
	struct span asked = name.error ? SPAN_NULL : arena_span(a, buf_span(&name));
	buf_done(&name);
	if (!asked.ptr)
		return -ENOENT;
	int e = resolve(r->resolver, asked, RESOLVE_TXT, a, &answer);
	if (e < 0)
		return e;
	if (resolve_is_temporary(answer.status))
		return -EAGAIN;
	for (uint32_t i = 0; i < answer.n_rdata && n < ARRAY_LEN(txts); i++)
		n += resolve_txt(answer.rdata[i], a, &txts[n]) >= 0;
	if (answer.status != RESOLVE_OK || tlsrpt_record_choose(txts, n, ret) < 0 || ret->n == 0)
		return -ENOENT;
	return 0;
}

struct making {
	const struct reporter *r;
	const struct counts_domain *d;
	struct rpt_head head;
	struct outbox_report *report;
};

static int make_work(void *arg)
{
	struct making *m = arg;
	struct buf text = BUF_INIT(REPORT_OCTETS_MAX), gz = BUF_INIT(OUTBOX_OCTETS_MAX);
	int e = rpt_write(&m->head, m->d, &text);
	if (e == 0)
		e = rpt_compress(buf_span(&text), &gz);
	if (e == 0)
		e = outbox_save(m->r->folder, m->report, buf_span(&gz));
	buf_done(&text);
	buf_done(&gz);
	return e;
}

static int describe(const struct making *m, const struct tlsrpt_record *record)
{
	struct outbox_report *report = m->report;
	struct buf id = BUF_INIT(1024);
	rpt_id(&m->head, m->d->name, &id);
	buf_char(&id, '\0');
	report->id = id.error ? NULL : TAKE(id.ptr);
	buf_done(&id);
	report->end_sec = m->head.end_sec;
	report->made_usec = report->due_usec = reporter_now();
	counts_sum(m->d, &report->ok, &report->failed);
	for (unsigned i = 0; i < record->n; i++) {
		int e = outbox_report_add_target(report, &record->uris[i]);
		if (e < 0)
			return e;
	}
	return report->id ? 0 : -ENOMEM;
}

static void log_made(const struct outbox_report *report)
{
	for (unsigned i = 0; i < report->n_targets; i++) {
		const struct outbox_target *t = &report->targets[i];
		if (t->state != OUTBOX_WAITING)
			continue;
		struct log_line *l = log_begin(LOG_LEVEL_INFO, "tlsrpt-report-waiting");
		log_str(l, "domain", report->domain);
		log_str(l, "report", report->id);
		log_str(l, "uri", t->owned);
		log_str(l, "reason", "a report by mail must be signed by DKIM (RFC 8460 3)");
		log_end(l);
	}
}

static void log_failed(const struct counts_domain *d, int e)
{
	struct log_line *l = log_begin(LOG_LEVEL_ERROR, "tlsrpt-not-made");
	log_span(l, "domain", d->name);
	log_errno(l, e);
	log_end(l);
}

/* A reload may free the configuration while the thread works: the head's words are copied. */
static int copy_head(struct rpt_head *h, struct arena *a)
{
	h->organization = arena_str(a, span_str(h->organization));
	h->contact = arena_str(a, span_str(h->contact));
	h->hostname = arena_str(a, span_str(h->hostname));
	return h->organization && h->contact && h->hostname ? 0 : -ENOMEM;
}

SUSPENDS static int make(struct reporter *r, const struct closed *c, const struct counts_domain *d,
	const struct tlsrpt_record *record, struct arena *a)
{
	struct making m = {.r = r, .d = d};
	reporter_head(r, c->counts, &m.head);
	int e = r->n_reports < OUTBOX_REPORTS_MAX ? 0 : -ENOSPC;
	if (e == 0)
		e = copy_head(&m.head, a);
	if (e == 0)
		e = outbox_report_new(d->name, c->counts->begin_sec, &m.report);
	if (e == 0)
		e = describe(&m, record);
	if (e == 0)
		e = offload_call(make_work, &m);
	if (e < 0) {
		outbox_report_free(m.report);
		return e;
	}
	list_push_back(&r->reports, &m.report->node);
	r->n_reports++;
	STATS_SET(tlsrpt_reports, r->n_reports);
	log_made(m.report);
	return 0;
}

SUSPENDS static void prepare(struct reporter *r, struct closed *c, struct counts_domain *d)
{
	struct tlsrpt_record record;
	struct arena *a = arena_new(PREPARE_ARENA_MAX);
	int e = a ? find_record(r, d->name, a, &record) : -ENOMEM;
	if (e == 0)
		e = make(r, c, d, &record, a);
	arena_free(a);
	d->busy = false;
	if (e < 0 && e != -ENOENT && e != -EAGAIN && e != -ECANCELED)
		log_failed(d, e);
	bool later = e == -ECANCELED ||
		     (e < 0 && e != -ENOENT && reporter_now() < c->due_usec + GIVE_UP_USEC);
	if (later)
		d->retry_usec = reporter_now() + ASK_AGAIN_USEC;
	else
		counts_remove(c->counts, d);
}

static void run(void *arg)
{
	struct worker *w = arg;
	struct reporter *r = w->r;
	struct closed *c;
	struct counts_domain *d;
	while (!r->draining && (d = pick(r, &c)) != NULL)
		prepare(r, c, d);
	w->fiber = NULL;
	reporter_wake(r);
}

static bool work_waits(const struct reporter *r)
{
	uint64_t now = reporter_now();
	list_foreach (it, &r->closed) {
		const struct closed *c = CONTAINER_OF(it, struct closed, node);
		list_foreach (id, &c->counts->domains) {
			struct counts_domain *d = CONTAINER_OF(id, struct counts_domain, node);
			if (c->due_usec <= now && !d->busy && d->retry_usec <= now)
				return true;
		}
	}
	return false;
}

void prepare_start(struct reporter *r)
{
	if (r->draining || !work_waits(r))
		return;
	for (unsigned i = 0; i < PREPARERS_MAX; i++) {
		struct worker *w = &r->preparers[i];
		if (w->fiber)
			continue;
		w->r = r;
		if (fiber_spawn(run, w, &w->fiber) < 0)
			w->fiber =
				NULL; /* another takes its share, or the next look at the clock */
	}
}
