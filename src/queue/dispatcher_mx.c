/* The queue's questions for MX sets: to the resolver, and what its answers mean (route/mx.h). Up to
 * three answers make one: MX, and for a domain without MX its A and AAAA. Questions outlive the
 * resolver (ipc/resolve_client.h); every one ends with an answer for the queue. */
#include "queue/dispatcher_internal.h"
#include "queue/dispatcher_trace.h"

#include "base/log.h"
#include "ipc/resolve_client.h"
#include "route/mx.h"
#include <stdlib.h>
#include <string.h>

#define MX_ARENA_MAX	(512u * 1024u)
#define RESTART_SECONDS 10u /* beside dns.timeout: for a resolver that is being restarted */
#define OWN_NAMES_MAX	64u

struct mx_question {
	struct dispatcher *d;
	struct arena *arena;
	uint64_t token;
	struct span domain, route;
	struct resolve_query queries[3]; /* MX, A, AAAA */
	struct resolve_answer answers[3];
	unsigned open;
};
enum { ASK_MX, ASK_A, ASK_AAAA };

static void question_free(struct mx_question *q)
{
	for (size_t i = 0; i < ARRAY_LEN(q->queries); i++)
		resolve_cancel(&q->queries[i]);
	arena_free(q->arena);
	free(q);
}

/* Names by which this server is known: mail for an MX of this name would come back. */
static size_t own_names(const struct config *c, struct span *names)
{
	size_t n = 0;

	names[n++] = span_str(c->hostname);
	for (size_t i = 0; i < c->n_routes; i++)
		for (size_t k = 0; k < c->routes[i].out.n_sources; k++)
			if (c->routes[i].out.sources[k].name && n < OWN_NAMES_MAX)
				names[n++] = span_str(c->routes[i].out.sources[k].name);
	return n;
}

static void question_answer(struct mx_question *q)
{
	struct dispatcher *d = q->d;
	struct span own[OWN_NAMES_MAX];
	bool addresses = mx_wants_addresses(&q->answers[ASK_MX]);
	struct mx_facts facts = {.domain = q->domain,
		.route = q->route,
		.own = own,
		.n_own = own_names(role_config(d->process), own),
		.mx = &q->answers[ASK_MX],
		.a = addresses ? &q->answers[ASK_A] : NULL,
		.aaaa = addresses ? &q->answers[ASK_AAAA] : NULL};
	struct hop hop;

	if (mx_decide(&facts, q->arena, &hop) < 0)
		hop = (struct hop){.kind = HOP_TEMPORARY,
			.enhanced = SPAN_LIT("4.3.0"),
			.text = SPAN_LIT("out of memory")};
	if (tracing(d)) {
		struct mx_trace m = {.domain = q->domain,
			.route = q->route,
			.mx = &q->answers[ASK_MX],
			.hop = &hop};
		trace_mx(d, &m);
	}
	dispatcher_event(d);
	queue_mx_answered(d->queue, q->token, &hop);
	question_free(q);
}

static void ask(struct mx_question *q, unsigned which, uint16_t type);

static void question_done(struct mx_question *q, unsigned which, const struct resolve_answer *a)
{
	if (resolve_answer_copy(a, q->arena, &q->answers[which]) < 0)
		q->answers[which] = (struct resolve_answer){.status = RESOLVE_UNAVAILABLE};
	q->open--;
	if (which == ASK_MX && mx_wants_addresses(&q->answers[ASK_MX])) {
		ask(q, ASK_A, RESOLVE_A);
		ask(q, ASK_AAAA, RESOLVE_AAAA);
	}
	if (q->open == 0)
		question_answer(q);
}

static void on_mx(struct resolve_query *r, const struct resolve_answer *a)
{
	question_done(CONTAINER_OF(r, struct mx_question, queries[ASK_MX]), ASK_MX, a);
}

static void on_a(struct resolve_query *r, const struct resolve_answer *a)
{
	question_done(CONTAINER_OF(r, struct mx_question, queries[ASK_A]), ASK_A, a);
}

static void on_aaaa(struct resolve_query *r, const struct resolve_answer *a)
{
	question_done(CONTAINER_OF(r, struct mx_question, queries[ASK_AAAA]), ASK_AAAA, a);
}

/* What cannot be asked counts as asked in vain. */
static void ask(struct mx_question *q, unsigned which, uint16_t type)
{
	static void (*const done[])(struct resolve_query *, const struct resolve_answer *) = {
		on_mx, on_a, on_aaaa};
	struct resolve_query *r = &q->queries[which];

	*r = (struct resolve_query){.name = q->domain, .type = type, .done = done[which]};
	q->answers[which] = (struct resolve_answer){.status = RESOLVE_UNAVAILABLE};
	if (resolve_start(q->d->resolver, r) == 0)
		q->open++;
}

void dispatcher_mx(void *arg, uint64_t token, struct span domain, struct span route)
{
	struct dispatcher *d = arg;
	struct mx_question *q = calloc(1, sizeof(*q));

	if (!q || !(q->arena = arena_new(MX_ARENA_MAX)))
		abort(); /* in the middle of a step: recovery restores the queue */
	q->d = d;
	q->token = token;
	q->domain = arena_span(q->arena, domain);
	q->route = arena_span(q->arena, route);
	if (!q->domain.ptr || !q->route.ptr)
		abort();
	ask(q, ASK_MX, RESOLVE_MX);
	/* Not asked: the queue asks again after a while, as of any owner that lost a question. */
	if (q->open == 0)
		question_free(q);
}

int dispatcher_resolver_init(struct dispatcher *d)
{
	int r = resolve_client_new(&d->resolver);

	if (r == 0)
		dispatcher_resolver_settings(d);
	return r;
}

void dispatcher_resolver_settings(struct dispatcher *d)
{
	resolve_client_set_wait(
		d->resolver, role_config(d->process)->dns.timeout + RESTART_SECONDS * USEC_PER_SEC);
}

void dispatcher_resolver_attach(struct dispatcher *d, int fd)
{
	int r = resolve_client_attach(d->resolver, fd);

	if (r < 0)
		log_text(LOG_LEVEL_ERROR, "peer-lost", "resolver: %s", strerror(-r));
}
