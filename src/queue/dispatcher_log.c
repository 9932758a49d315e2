/* The log's lines about messages, and the counters. One event of the queue, one line; what the
 * dispatcher knows beside it (the job, its stages, the envelope) is added here. The names are an
 * interface: docs/logs-dispatcher.md. */
#include "queue/dispatcher_internal.h"
#include "queue/dispatcher_trace.h"

#include "base/log.h"
#include "base/stats.h"
#include <string.h>

#define SHOWN_OCTETS 1024u

/* What is more than a line of the log, the commonest first; all else is news (INFO). */
enum counted { COUNT_NONE, COUNT_DELIVERED, COUNT_DEFERRED, COUNT_FAILED, COUNT_DUPLICATE };
static const struct event_kind {
	const char *name;
	enum log_level level;
	enum counted counted;
	bool has_envelope;
} kinds[] = {
	{"queued", LOG_LEVEL_INFO, COUNT_NONE, true},
	{"delivered", LOG_LEVEL_INFO, COUNT_DELIVERED, false},
	{"done", LOG_LEVEL_INFO, COUNT_NONE, false},
	{"expanded", LOG_LEVEL_DEBUG, COUNT_NONE, false},
	{"deferred", LOG_LEVEL_INFO, COUNT_DEFERRED, false},
	{"failed", LOG_LEVEL_WARN, COUNT_FAILED, false},
	{"expired", LOG_LEVEL_WARN, COUNT_FAILED, false},
	{"possible-duplicate", LOG_LEVEL_WARN, COUNT_DUPLICATE, false},
	{"site-down", LOG_LEVEL_WARN, COUNT_NONE, false},
	{"held", LOG_LEVEL_WARN, COUNT_NONE, false},
	{"delayed", LOG_LEVEL_WARN, COUNT_NONE, false},
};

static const struct event_kind *kind_of(const char *event)
{
	static const struct event_kind other = {.level = LOG_LEVEL_INFO};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(event, kinds[i].name) == 0)
			return &kinds[i];
	return &other;
}

static void count_event(enum counted what)
{
	switch (what) {
	case COUNT_DELIVERED:
		STATS_ADD(deliveries_total, 1);
		break;
	case COUNT_DEFERRED:
		STATS_ADD(deferrals_total, 1);
		break;
	case COUNT_FAILED:
		STATS_ADD(bounces_total, 1);
		break;
	case COUNT_DUPLICATE:
		STATS_ADD(possible_duplicates_total, 1);
		break;
	case COUNT_NONE:
		break;
	}
}

static void put(struct log_line *l, const char *key, struct span value)
{
	if (value.len > 0)
		log_span(l, key, span_head(value, SHOWN_OCTETS));
}

static void put_envelope(struct log_line *l, const struct message *m)
{
	log_span(l, "from", span_head(m->reverse_path, SHOWN_OCTETS));
	log_u64(l, "size", m->size);
	log_u64(l, "rcpts", m->n_rcpts);
	put(l, "client", m->client);
	put(l, "login", m->login);
	if (m->parent)
		log_id(l, "about", m->parent);
}

static uint64_t since(uint64_t from, uint64_t to)
{
	return to > from ? to - from : 0;
}

/* Where the time went: until it was handed out the last time, to a session, in the session. */
static void put_stages(struct log_line *l, const struct handed_job *j, const struct outcome *o)
{
	if (j && j->arrival_wall_usec) {
		log_msec(l, "delay", since(j->arrival_wall_usec, loop_wall_usec()));
		log_msec(l, "queue", since(j->arrival_wall_usec, j->handed_wall_usec));
	}
	put(l, "tls", o->tls);
	log_msec(l, "connect", o->connect_usec);
	log_msec(l, "transfer", o->transfer_usec);
}

void dispatcher_log_event(void *arg, const char *event, uint64_t id, struct span rcpt,
	const struct outcome_rcpt *outcome, struct span remote, struct span detail)
{
	struct dispatcher *d = arg;
	struct log_line *l;

	const struct event_kind *kind = kind_of(event);
	count_event(kind->counted);
	if (tracing(d))
		trace_event(d, event, id, rcpt, detail);
	d->warned = d->warned || kind->counted == COUNT_DUPLICATE;
	l = log_begin(kind->level, event);
	if (!l)
		return;
	if (id)
		log_id(l, "id", id);
	put(l, "rcpt", rcpt);
	if (d->about_message && kind->has_envelope)
		put_envelope(l, d->about_message);
	if (d->about_job && d->about_job->site_len)
		put(l, "site", span_make(d->about_job->site, d->about_job->site_len));
	put(l, "remote", remote);
	if (outcome) {
		if (outcome->code)
			log_u64(l, "code", outcome->code);
		put(l, "enhanced", outcome->enhanced);
		put(l, "text", outcome->text);
	}
	if (d->about_outcome && d->about_outcome->message == id && rcpt.len > 0)
		put_stages(l, d->about_job, d->about_outcome);
	/* "attempts=2 delay=...": the delay stands above. */
	if (span_starts_nocase(detail, SPAN_LIT("attempts="))) {
		detail = span_from(detail, sizeof("attempts=") - 1);
		put(l, "attempts", span_head(detail, span_index(detail, ' ')));
	} else {
		put(l, "detail", detail);
	}
	log_end(l);
}

void dispatcher_log_damage(const char *file, uint64_t offset, uint64_t octets, const char *what)
{
	struct log_line *l = log_begin(LOG_LEVEL_ERROR, "spool-damaged");

	log_str(l, "file", file);
	log_u64(l, "offset", offset);
	if (octets)
		log_u64(l, "octets", octets);
	log_str(l, "text", what);
	log_end(l);
	STATS_ADD(spool_errors_total, 1);
}

void dispatcher_count(struct dispatcher *d)
{
	if (d->started) {
		struct queue_counts c = queue_counts(d->queue);
		d->most_messages = MAX(d->most_messages, c.messages);
		STATS_SET(queue_messages, c.messages);
		STATS_SET(queue_recipients, c.recipients);
		STATS_SET(queue_ready, c.ready);
		STATS_SET(queue_deferred, c.deferred);
		STATS_SET(queue_held, c.held);
		STATS_SET(queue_in_flight, c.in_flight);
	}
	STATS_SET(spool_segments, store_count(d->store));
	STATS_SET(spool_syncs_total, writer_counts(d->writer)->syncs);
}
