/* Comparing what was accepted with what arrived, and saying it, as text or as one JSON object. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/resource.h>

#include "bench/load.h"
#include "bench/tally.h"
#include "bench/bench.h"

const char *const stage_names[STAGE_COUNT] = {
	"connect", "banner", "tls", "hello", "envelope", "data", "to-250", "session"};
static const unsigned permilles[] = {500, 900, 990, 999};

void account_make(const struct load *l, const uint8_t *marks, struct account *ret_account)
{
	struct account a = {.pairs = l->next_message * l->o->recipients, .compared = marks};

	for (uint64_t i = 0; i < a.pairs; i++) {
		unsigned copies = marks ? marks[i] & MARK_COUNT : 0;
		bool accepted = l->fates[i] == FATE_ACCEPTED;
		a.accepted += accepted;
		a.refused += l->fates[i] == FATE_REFUSED;
		a.unknown += l->fates[i] == FATE_UNKNOWN;
		a.unsent += l->fates[i] == FATE_UNSENT;
		if (!marks)
			continue;
		a.arrived += copies > 0;
		a.lost += accepted && copies == 0;
		a.doubled += copies > 1;
		a.damaged += (marks[i] & MARK_DAMAGED) != 0;
		/* No fault where the reply got lost (RFC 5321 4.5.3.2.6); one where it was 5xx. */
		a.unasked += !accepted && copies > 0;
	}
	*ret_account = a;
}

static uint64_t cpu_usec(void)
{
	struct rusage u;

	if (getrusage(RUSAGE_SELF, &u) < 0)
		return 0;
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * USEC_PER_SEC +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static double rate(uint64_t n, uint64_t usec)
{
	return usec ? (double)n * 1e6 / (double)usec : 0;
}

/* From the first connect to the last copy at the sink. */
static uint64_t arrival_span(const struct load *l, const struct watch_counts *c)
{
	return c->known && c->last_usec > l->begun_wall_usec ? c->last_usec - l->begun_wall_usec
							     : 0;
}

static bool all_is_well(const struct load *l, const struct account *a)
{
	if (l->o->idle_usec)
		return l->connections_failed == 0 && l->closed_early == 0;
	if (a->accepted == 0 || a->refused || a->unknown || a->unsent)
		return false;
	return !a->compared || (a->lost == 0 && a->doubled == 0 && a->damaged == 0);
}

/* ---- text ---- */

static void text_stages(const struct load *l)
{
	(void)printf("\n%-10s %9s %9s %9s %9s %9s %9s  ms\n", "stage", "count", "p50", "p90", "p99",
		"p99.9", "max");
	for (size_t i = 0; i < STAGE_COUNT; i++) {
		const struct histogram *h = &l->stages[i];
		if (h->count == 0)
			continue;
		(void)printf("%-10s %9" PRIu64, stage_names[i], h->count);
		for (size_t k = 0; k < ARRAY_LEN(permilles); k++)
			(void)printf(" %9.3f", (double)histogram_permille(h, permilles[k]) / 1e3);
		(void)printf(" %9.3f\n", (double)h->max / 1e3);
	}
}

static void text_sink(const struct load *l, const struct account *a, const struct watch_counts *c)
{
	uint64_t usec = arrival_span(l, c);

	(void)printf("%-10s %9" PRIu64, "delivery", c->pairs);
	for (size_t k = 0; k < ARRAY_LEN(c->latency_usec); k++)
		(void)printf(" %9.3f", (double)c->latency_usec[k] / 1e3);
	(void)printf("\n\ndelivered  %.1f messages/s, %.1f recipients/s until the last copy "
		     "(%.2f s)\n",
		rate(c->messages, usec), rate(c->pairs, usec), (double)usec / 1e6);
	if (a->compared)
		(void)printf("account    %" PRIu64 " arrived, %" PRIu64 " lost, %" PRIu64
			     " doubled, %" PRIu64 " damaged, %" PRIu64 " without our 250\n",
			a->arrived, a->lost, a->doubled, a->damaged, a->unasked);
}

static void text_replies(const struct load *l)
{
	for (size_t i = 0; i < l->n_replies; i++) {
		const struct reply_count *r = &l->replies[i];
		if (r->code < 0)
			(void)printf("%9" PRIu64 " times at %s: %s\n", r->count, r->where,
				strerror(-r->code));
		else if (r->code == 0)
			(void)printf(
				"%9" PRIu64 " times at %s: %s\n", r->count, r->where, r->sample);
		else
			(void)printf("%9" PRIu64 " times at %s: %d %s\n", r->count, r->where,
				r->code, r->sample);
	}
}

static void text_report(const struct load *l, const struct account *a, const struct watch_counts *c)
{
	uint64_t usec = l->ended_usec - l->begun_usec;

	(void)printf("target     %s, %" PRIu64 " connections made, %" PRIu64 " failed\n",
		l->o->target_text, l->connections, l->connections_failed);
	if (l->o->idle_usec) {
		(void)printf("idle       %" PRIu64 " ended by the server\n", l->closed_early);
	} else {
		(void)printf("accepted   %" PRIu64 " messages, %" PRIu64 " recipients (%" PRIu64
			     " refused, %" PRIu64 " unknown, %" PRIu64 " unsent), %" PRIu64
			     " tried again\n",
			l->accepted_messages, a->accepted, a->refused, a->unknown, a->unsent,
			l->retried);
		(void)printf("           %.1f messages/s, %.1f MB/s until the last 250 (%.2f s)\n",
			rate(l->accepted_messages, usec), rate(l->octets, usec) / 1e6,
			(double)usec / 1e6);
	}
	text_stages(l);
	if (c->known)
		text_sink(l, a, c);
	if (l->accepted_messages)
		(void)printf("own CPU    %.1f us a message",
			(double)cpu_usec() / (double)l->accepted_messages);
	if (l->accepted_messages && c->known)
		(void)printf(", the sink's %.1f",
			(double)c->sink_cpu_usec / (double)MAX(c->messages, UINT64_C(1)));
	if (l->accepted_messages)
		(void)printf("\n");
	if (l->tls_cipher[0])
		(void)printf("TLS        %s\n", l->tls_cipher);
	text_replies(l);
}

/* ---- JSON ---- */

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static json_t *json_stages(const struct load *l)
{
	json_t *stages = json_object();

	for (size_t i = 0; i < STAGE_COUNT; i++) {
		const struct histogram *h = &l->stages[i];
		if (h->count == 0)
			continue;
		(void)json_object_set_new(stages, stage_names[i],
			json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "count",
				number(h->count), "min_us", number(h->min), "mean_us",
				number(histogram_mean(h)), "p50_us",
				number(histogram_permille(h, 500)), "p90_us",
				number(histogram_permille(h, 900)), "p99_us",
				number(histogram_permille(h, 990)), "p999_us",
				number(histogram_permille(h, 999)), "max_us", number(h->max)));
	}
	return stages;
}

static json_t *json_sink(
	const struct load *l, const struct account *a, const struct watch_counts *c)
{
	uint64_t usec = arrival_span(l, c);

	return json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:f, s:f, s:f, s:o, s:o, s:o, s:o, s:o, s:o}",
		"messages", number(c->messages), "arrived", number(a->arrived), "lost",
		number(a->lost), "doubled", number(a->doubled), "damaged", number(a->damaged),
		"without_250", number(a->unasked), "compared", a->compared, "seconds",
		(double)usec / 1e6, "messages_per_second", rate(c->messages, usec),
		"recipients_per_second", rate(c->pairs, usec), "p50_us", number(c->latency_usec[0]),
		"p90_us", number(c->latency_usec[1]), "p99_us", number(c->latency_usec[2]),
		"p999_us", number(c->latency_usec[3]), "max_us", number(c->latency_usec[4]),
		"cpu_us", number(c->sink_cpu_usec));
}

static json_t *json_replies(const struct load *l)
{
	json_t *list = json_array();

	for (size_t i = 0; i < l->n_replies; i++) {
		const struct reply_count *r = &l->replies[i];
		(void)json_array_append_new(
			list, json_pack("{s:s, s:i, s:o, s:s}", "where", r->where, "code", r->code,
				      "count", number(r->count), "text",
				      r->code < 0 ? strerror(-r->code) : r->sample));
	}
	return list;
}

static int json_report(
	const struct load *l, const struct account *a, const struct watch_counts *c, bool ok)
{
	uint64_t usec = l->ended_usec - l->begun_usec;
	json_t *all = json_pack("{s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f, "
				"s:f, s:f, s:o, s:o, s:o}",
		"target", l->o->target_text, "ok", ok, "connections", number(l->connections),
		"connections_failed", number(l->connections_failed), "closed_early",
		number(l->closed_early), "messages", number(l->accepted_messages), "accepted",
		number(a->accepted), "refused", number(a->refused), "unknown", number(a->unknown),
		"unsent", number(a->unsent), "tried_again", number(l->retried), "octets",
		number(l->octets), "seconds", (double)usec / 1e6, "messages_per_second",
		rate(l->accepted_messages, usec), "octets_per_second", rate(l->octets, usec),
		"cpu_us", number(cpu_usec()), "stages", json_stages(l), "failures",
		json_replies(l));

	if (all && l->tls_cipher[0])
		(void)json_object_set_new(all, "tls", json_string(l->tls_cipher));
	if (all && c->known)
		(void)json_object_set_new(all, "sink", json_sink(l, a, c));
	int r = all ? json_dumpf(all, stdout, JSON_COMPACT) : -1;
	(void)putchar('\n');
	json_decref(all);
	return r;
}

int report_load(const struct load *l, const struct account *a, const struct watch_counts *counts)
{
	bool ok = all_is_well(l, a);
	int r = 0;

	if (l->o->json)
		r = json_report(l, a, counts, ok);
	else
		text_report(l, a, counts);
	if (fflush(stdout) != 0 || r < 0)
		return BENCH_OS;
	if (l->connections == 0)
		return BENCH_UNAVAILABLE;
	return ok ? BENCH_OK : BENCH_INCOMPLETE;
}
