/* `trace`: the next delivery that matches, told line by line to who asked (private to
 * dispatcher*.c). Where nobody traces, each hook costs one comparison (tracing). */
#pragma once
#include "queue/dispatcher_internal.h"

struct mx_trace {
	struct span domain, route;
	const struct resolve_answer *mx; /* decided from; the hop says what came of it */
	const struct hop *hop;
};
static inline bool tracing(const struct dispatcher *d)
{
	return d->n_traces > 0;
}
/* ADMIN_TRACE. Every trace ends with one FRAME_ADMIN_END, unless its asker goes. */
void trace_begin(struct peer *control, const struct admin_request *r);
void trace_cancel(struct peer *control, uint64_t token);
void traces_gone(struct peer *control);
/* Is this job to be traced? It is bound to who asked for it first. */
bool trace_job(struct dispatcher *d, const struct job *job);
void trace_sent(struct dispatcher *d, const struct handed_job *j, const struct peer *to);
void trace_outcome(struct dispatcher *d, const struct outcome *o);
void trace_over(struct dispatcher *d, uint64_t job); /* nothing more will come of it */
void trace_event(
	struct dispatcher *d, const char *event, uint64_t id, struct span rcpt, struct span detail);
void trace_mx(struct dispatcher *d, const struct mx_trace *m);
/* FRAME_TRACE of a deliverer. */
MUST_CHECK int trace_frame(struct peer *p, struct span payload);
