/* The resolver as a process. A question is answered exactly once: by libunbound's answer, by its
 * deadline (dns.timeout), or by our own bounds. The work behind a question that nobody waits for
 * any more goes on in the library and fills the cache; its memory (struct work) lives until the
 * library is done with it or its context is gone.
 *
 * Every asker is untrusted: a receiver speaks to strangers. It can keep OPEN_MAX questions open,
 * all together RUNNING_MAX; beyond that the answer is "unavailable" at once, which is temporary. */
#include "resolver/resolver.h"

#include "base/log.h"
#include "base/stats.h"
#include "ipc/resolve.h"
#include "resolver/anchor.h"
#include "resolver/context.h"
#include "resolver/packet.h"
#include <stdlib.h>
#include <unistd.h>

#define OPEN_MAX	   4096u
#define RUNNING_MAX	   16384u
#define ANSWER_ARENA_MAX   (512u * 1024u)
#define ANSWER_MAX	   (256u * 1024u)
#define SECURITY_BOGUS	   1
#define SECURITY_SECURE	   2
#define RCODE_NXDOMAIN_ANY 3
#define LOGGED_NAME_MAX	   253u

struct resolver {
	struct role_process *process;
	struct events *events;
	struct contexts *contexts;
	struct buf settings, anchors; /* what the contexts were made from */
	struct list askers;
	struct list works;
	unsigned n_works;
	bool rebuilding;
	uint64_t timeout_usec;
	struct arena *arena;
	struct buf answer;
};
struct asker {
	struct list node;
	struct resolver *r;
	struct channel *channel;
	enum role role;
	struct list questions;
	unsigned n_questions;
};
struct question {
	struct list node;
	struct asker *asker;
	struct work *work;
	uint64_t token;
	struct loop_timer deadline;
};
/* What libunbound was asked. question NULL: nobody waits any more. */
struct work {
	struct list node;
	struct resolver *r;
	struct question *question;
	uint16_t type;
	char *name;
};

/* ---- answers ---- */

static void log_failure(const struct work *w, const struct resolve_answer *a)
{
	bool bogus = a->status == RESOLVE_BOGUS;
	struct log_line *l = log_begin(bogus ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "resolve-failed");

	log_str(l, "name", w->name);
	log_u64(l, "type", w->type);
	log_str(l, "status", resolve_status_name(a->status));
	if (a->why.len)
		log_span(l, "why", a->why);
	log_end(l);
}

static void count(const struct resolve_answer *a)
{
	if (a->status == RESOLVE_BOGUS)
		STATS_ADD(dns_bogus_total, 1);
	else if (a->status == RESOLVE_TIMEOUT)
		STATS_ADD(dns_timeouts_total, 1);
	else if (resolve_is_temporary(a->status))
		STATS_ADD(dns_failures_total, 1);
	if (a->secure)
		STATS_ADD(dns_secure_total, 1);
}

static void send_answer(struct asker *asker, const struct resolve_answer *a)
{
	struct resolver *r = asker->r;

	count(a);
	buf_reset(&r->answer);
	resolve_answer_encode(a, &r->answer);
	/* An asker that does not read its answers has its own deadline. */
	if (r->answer.error == 0)
		(void)!channel_send(
			asker->channel, FRAME_RESOLVE_ANSWER, buf_span(&r->answer), NULL, 0);
}

static void question_free(struct question *q)
{
	loop_timer_cancel(&q->deadline);
	list_remove(&q->node);
	q->asker->n_questions--;
	if (q->work)
		q->work->question = NULL;
	free(q);
}

static void question_answer(struct question *q, struct resolve_answer *a)
{
	a->token = q->token;
	send_answer(q->asker, a);
	question_free(q);
}

static void work_free(struct work *w)
{
	list_remove(&w->node);
	w->r->n_works--;
	free(w->name);
	free(w);
}

static void on_deadline(struct loop_timer *t)
{
	struct question *q = CONTAINER_OF(t, struct question, deadline);
	struct resolve_answer a = {.status = RESOLVE_TIMEOUT};

	log_failure(q->work, &a);
	question_answer(q, &a);
}

/* libunbound's answer as ours. */
static void read_answer(struct work *w, int rcode, struct span packet, int security,
	const char *why_bogus, struct resolve_answer *ret)
{
	struct arena *a = w->r->arena;

	*ret = (struct resolve_answer){.status = RESOLVE_SERVFAIL};
	if (security == SECURITY_BOGUS) {
		ret->status = RESOLVE_BOGUS;
		ret->why = span_head(span_str(why_bogus ? why_bogus : ""), RESOLVE_WHY_MAX);
		return;
	}
	if (rcode == RCODE_NXDOMAIN_ANY && !packet.ptr) {
		ret->status = RESOLVE_NXDOMAIN;
		return;
	}
	if ((rcode != 0 && rcode != RCODE_NXDOMAIN_ANY) || !packet.ptr)
		return;
	if (packet_read(packet, span_str(w->name), w->type, a, ret) < 0)
		*ret = (struct resolve_answer){
			.status = RESOLVE_SERVFAIL, .why = SPAN_LIT("malformed answer")};
	else
		ret->secure = security == SECURITY_SECURE && ret->status != RESOLVE_SERVFAIL;
}

static void on_resolved(void *arg, int rcode, void *packet, int packet_len, int security,
	char *why_bogus, int was_ratelimited)
{
	struct work *w = arg;
	struct resolve_answer a;

	(void)was_ratelimited;
	if (w->r->rebuilding)
		return; /* a context that goes away says SERVFAIL; ask_again asks the next one */
	if (w->question) {
		arena_reset(w->r->arena);
		size_t len = packet && packet_len > 0 ? (size_t)packet_len : 0;
		read_answer(w, rcode, span_make(len ? packet : NULL, len), security, why_bogus, &a);
		if (resolve_is_temporary(a.status))
			log_failure(w, &a);
		question_answer(w->question, &a);
	}
	work_free(w);
}

/* ---- questions ---- */

static void refuse(struct asker *asker, uint64_t token, enum resolve_status status)
{
	struct resolve_answer a = {.token = token, .status = status};

	send_answer(asker, &a);
}

static int begin_work(struct resolver *r, struct work *w)
{
	return contexts_ask(r->contexts, w->name, w->type, on_resolved, w);
}

/* A fully qualified copy: libunbound takes text. */
static char *full_name(struct span name)
{
	char *text = malloc(name.len + 2);

	if (!text)
		return NULL;
	memcpy(text, name.ptr, name.len);
	if (name.len == 0 || name.ptr[name.len - 1] != '.')
		text[name.len++] = '.';
	text[name.len] = '\0';
	return text;
}

static bool is_name(struct span name)
{
	struct buf wire = BUF_INIT(512);
	bool good = resolve_name_to_wire(name, &wire) == 0;

	buf_done(&wire);
	return good;
}

static int new_question(struct asker *asker, const struct resolve_ask *ask)
{
	struct resolver *r = asker->r;
	struct question *q = calloc(1, sizeof(*q));
	struct work *w = calloc(1, sizeof(*w));
	char *name = full_name(ask->name);

	if (!q || !w || !name) {
		free(q);
		free(w);
		free(name);
		return -ENOMEM;
	}
	*q = (struct question){
		.asker = asker, .work = w, .token = ask->token, .deadline.fn = on_deadline};
	*w = (struct work){.r = r, .question = q, .type = ask->type, .name = name};
	list_push_back(&asker->questions, &q->node);
	asker->n_questions++;
	list_push_back(&r->works, &w->node);
	r->n_works++;
	int e = loop_timer_set(&q->deadline, loop_now_usec() + r->timeout_usec);
	/* From here on the answer may come at once: nothing of ours is touched after it. */
	if (e == 0)
		return begin_work(r, w) == 0 ? 0 : (question_free(q), work_free(w), -EIO);
	question_free(q);
	work_free(w);
	return e;
}

static int on_frame(void *arg, struct frame *f)
{
	struct asker *asker = arg;
	struct resolver *r = asker->r;
	struct resolve_ask ask;

	if (f->type != FRAME_RESOLVE)
		return -EPROTO;
	int e = resolve_ask_decode(f->payload, &ask);
	if (e < 0)
		return e;
	STATS_ADD(dns_questions_total, 1);
	if (!is_name(ask.name) || ask.type == 0) {
		refuse(asker, ask.token, RESOLVE_BAD_NAME);
		return 0;
	}
	if (!r->contexts || asker->n_questions >= OPEN_MAX || r->n_works >= RUNNING_MAX ||
		new_question(asker, &ask) < 0)
		refuse(asker, ask.token, RESOLVE_UNAVAILABLE);
	return 0;
}

static void on_close(void *arg, int error)
{
	struct asker *a = arg;

	if (error < 0)
		log_text(LOG_LEVEL_WARN, "peer-lost", "a channel to the resolver broke: %s",
			strerror(-error));
	list_foreach_safe (it, tmp, &a->questions)
		question_free(CONTAINER_OF(it, struct question, node));
	list_remove(&a->node);
	channel_free(a->channel);
	free(a);
}

/* ---- the role ---- */

/* A peer may come before start. */
static struct resolver *state_of(struct role_process *p)
{
	struct resolver *r = role_state(p);

	if (r)
		return r;
	r = calloc(1, sizeof(*r));
	if (!r || !(r->arena = arena_new(ANSWER_ARENA_MAX)) || events_new(&r->events) < 0)
		abort(); /* at start, without memory: the supervisor tries again */
	r->process = p;
	r->answer = BUF_INIT(ANSWER_MAX);
	list_init(&r->askers);
	list_init(&r->works);
	role_set_state(p, r);
	return r;
}

static void resolver_peer(struct role_process *p, enum role peer, unsigned index, int fd)
{
	static const struct channel_ops ops = {.on_frame = on_frame, .on_close = on_close};
	struct asker *a = calloc(1, sizeof(*a));

	if (!a) {
		fd_close(fd);
		return;
	}
	a->r = state_of(p);
	a->role = peer;
	list_init(&a->questions);
	int e = channel_new(fd, &ops, a, &a->channel);
	if (e < 0) {
		log_text(LOG_LEVEL_ERROR, "peer-lost", "%s[%u]: %s", role_name(peer), index,
			strerror(-e));
		free(a);
		return;
	}
	list_push_back(&a->r->askers, &a->node);
}

static int read_anchors(struct role_process *p, struct buf *out, const char **ret_why)
{
	int fd = role_fd(p, "trust_anchor:0");
	struct buf text = BUF_INIT(ANCHOR_FILE_MAX);
	size_t n, line;
	int e = fd < 0 ? -ENOENT : buf_read_fd(&text, fd);

	*ret_why = "the file cannot be read";
	if (e == 0) {
		e = anchor_parse(buf_span(&text), out, &n, &line);
		*ret_why = "it must hold DS or DNSKEY records in zone-file form, and nothing else";
	}
	buf_done(&text);
	return e;
}

static int build(struct role_process *p, const char **ret_what, const char **ret_why)
{
	const struct config *c = role_config(p);
	struct resolver *r = state_of(p);
	struct buf settings = BUF_INIT(1 << 20), anchors = BUF_INIT(ANCHOR_FILE_MAX + 1);
	struct contexts *k = NULL;
	bool own = c->dns.trust_anchor != NULL;
	int e = 0;

	*ret_what = own ? c->dns.trust_anchor : "dns";
	*ret_why = "";
	if (own)
		e = read_anchors(p, &anchors, ret_why);
	contexts_describe(c, &settings);
	buf_printf(&settings, "%s", own ? "own anchors" : "root anchors");
	if (e == 0)
		e = settings.error;
	bool same = r->contexts && span_equal(buf_span(&settings), buf_span(&r->settings)) &&
		    span_equal(buf_span(&anchors), buf_span(&r->anchors));
	if (e == 0 && !same)
		e = contexts_new(c, own ? &anchors : NULL, r->events, &k, ret_why);
	if (e < 0 || same) {
		buf_done(&settings);
		buf_done(&anchors);
		return e;
	}
	buf_done(&r->settings);
	buf_done(&r->anchors);
	r->settings = settings;
	r->anchors = anchors;
	r->rebuilding = true;
	contexts_free(r->contexts);
	r->rebuilding = false;
	r->contexts = k;
	return 1;
}

/* The old contexts have forgotten what was asked. */
static void ask_again(struct resolver *r)
{
	struct list again;

	list_init(&again);
	for (struct list *n; (n = list_pop_front(&r->works));)
		list_push_back(&again, n);
	for (struct list *n; (n = list_pop_front(&again));) {
		struct work *w = CONTAINER_OF(n, struct work, node);
		struct resolve_answer a = {.status = RESOLVE_UNAVAILABLE};
		list_push_back(&r->works, n);
		if (w->question && begin_work(r, w) == 0)
			continue;
		if (w->question)
			question_answer(w->question, &a);
		work_free(w);
	}
}

static int resolver_start(struct role_process *p)
{
	struct resolver *r = state_of(p);
	const char *what, *why;
	int e = build(p, &what, &why);

	r->timeout_usec = role_config(p)->dns.timeout;
	if (e >= 0)
		return 0;
	/* A resolver that cannot validate as it was told must not answer. */
	role_failed(p, "%s: %s (%s)", what, why, strerror(-e));
	return e;
}

static void resolver_reload(struct role_process *p, const struct config *old)
{
	struct resolver *r = state_of(p);
	const char *what, *why;
	int e = build(p, &what, &why);

	(void)old;
	r->timeout_usec = role_config(p)->dns.timeout;
	if (e < 0)
		log_text(LOG_LEVEL_ERROR, "resolver-not-reloaded",
			"%s: %s (%s): the earlier settings stay in force", what, why, strerror(-e));
	else if (e > 0)
		ask_again(r);
}

static void resolver_drain(struct role_process *p, uint64_t grace_usec)
{
	(void)grace_usec;
	role_finished(p);
}

const struct role_ops resolver_role = {
	.role = ROLE_RESOLVER,
	.load = contexts_load,
	.start = resolver_start,
	.peer = resolver_peer,
	.reload = resolver_reload,
	.drain = resolver_drain,
};
