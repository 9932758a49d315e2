/* The recording owner. Directory rules by local part: list-N has N members (member-I@domain),
 * nobody has none, hold, fail, temp, unknown and slow (no answer) do what they say, same-X becomes
 * same@domain; every other address is delivered at the site named like its domain ("box.*" is a
 * mailbox). Domains "mx.X-PROVIDER" go by MX to the site of the provider; mx.nx* does not exist,
 * mx.fail* has broken name servers, mx.slow* gets no answer. */
#include "fake.h"

#include <string.h>

static void *grow(void *p, size_t *cap, size_t n, size_t each)
{
	if (n < *cap)
		return p;
	*cap = *cap ? *cap * 2 : 16;
	p = realloc(p, *cap * each);
	assert_non_null(p);
	return p;
}

static void on_ledger(void *arg, uint8_t type, struct span payload)
{
	struct fake *f = arg;

	f->ledger = grow(f->ledger, &f->cap_ledger, f->n_ledger, sizeof(*f->ledger));
	f->ledger[f->n_ledger++] = (struct fake_entry){type, arena_span(f->arena, payload)};
}

static void on_sync(void *arg, uint64_t ticket)
{
	struct fake *f = arg;

	assert_true(ticket > f->ticket);
	f->ticket = ticket;
	f->synced = f->written = f->n_ledger;
	f->syncs++;
}

static void on_ask(struct fake *f, const struct expand_ask *ask, bool route)
{
	f->asks = grow(f->asks, &f->cap_asks, f->n_asks, sizeof(*f->asks));
	struct fake_ask *a = &f->asks[f->n_asks++];
	*a = (struct fake_ask){*ask, route};
	a->ask.address = arena_span(f->arena, ask->address);
	a->ask.via = arena_span(f->arena, ask->via);
}

static void on_expand(void *arg, const struct expand_ask *ask)
{
	on_ask(arg, ask, false);
}

static void on_route(void *arg, const struct expand_ask *ask)
{
	on_ask(arg, ask, true);
}

static void on_mx(void *arg, uint64_t token, struct span domain, struct span route)
{
	struct fake *f = arg;

	(void)route;
	f->mxs = grow(f->mxs, &f->cap_mxs, f->n_mxs, sizeof(*f->mxs));
	f->mxs[f->n_mxs++] = (struct fake_mx){token, arena_span(f->arena, domain)};
}

static void on_deliver(void *arg, const struct job *job, const struct record_ref *commit)
{
	struct fake *f = arg;

	assert_int_equal(commit->offset, fake_ref(job->message).offset);
	f->jobs = grow(f->jobs, &f->cap_jobs, f->n_jobs, sizeof(*f->jobs));
	struct job *j = &f->jobs[f->n_jobs++];
	*j = *job;
	j->site = arena_span(f->arena, job->site);
	j->host = arena_span(f->arena, job->host);
	j->domain = arena_span(f->arena, job->domain);
	j->hosts = arena_alloc(f->arena, (job->n_hosts + 1) * sizeof(*j->hosts));
	for (uint32_t i = 0; i < job->n_hosts; i++)
		j->hosts[i] = (struct job_host){
			arena_span(f->arena, job->hosts[i].name), job->hosts[i].preference};
	j->rcpts = arena_alloc(f->arena, job->n_rcpts * sizeof(*j->rcpts));
	for (uint32_t i = 0; i < job->n_rcpts; i++) {
		j->rcpts[i] = job->rcpts[i];
		j->rcpts[i].address = arena_span(f->arena, job->rcpts[i].address);
		j->rcpts[i].original = arena_span(f->arena, job->rcpts[i].original);
	}
	f->handed++;
	f->written = f->n_ledger;
}

static void on_report(void *arg, const struct queue_report *r)
{
	struct fake *f = arg;

	assert_true(r->n_rcpts > 0);
	f->reports = grow(f->reports, &f->cap_reports, f->n_reports, sizeof(*f->reports));
	struct fake_report *report = &f->reports[f->n_reports++];
	*report =
		(struct fake_report){r->message, r->event, r->delay, r->success, r->rcpts[0].action,
			r->n_rcpts, arena_alloc(f->arena, r->n_rcpts * sizeof(struct span)),
			arena_span(f->arena, r->rcpts[0].text)};
	for (uint32_t i = 0; i < r->n_rcpts; i++)
		report->rcpts[i] = arena_span(f->arena, r->rcpts[i].address);
}

static void on_forget(void *arg, uint64_t id, const struct record_ref *commit)
{
	struct fake *f = arg;

	assert_int_equal(commit->offset, fake_ref(id).offset);
	f->forgotten++;
}

static void on_kept(void *arg, uint64_t job)
{
	struct fake *f = arg;

	(void)job;
	f->kept++;
}

static void on_cancel(void *arg, uint64_t job)
{
	struct fake *f = arg;

	(void)job;
	f->cancelled++;
}

static void on_event(void *arg, const char *event, uint64_t id, struct span rcpt,
	const struct outcome_rcpt *outcome, struct span remote, struct span detail)
{
	struct fake *f = arg;

	struct span text = outcome ? outcome->text : SPAN_NULL;

	(void)remote;
	if (f->hook)
		f->hook(f->hook_arg, event, id, rcpt);
	if (f->quiet)
		return;
	buf_printf(&f->events, "%s %s %.*s %.*s %.*s\n", event, ident_format(id).s, SPAN_FMT(rcpt),
		SPAN_FMT(text), SPAN_FMT(detail));
}

static void on_moved(void *arg, uint64_t id)
{
	struct fake *f = arg;

	(void)id;
	f->moved++;
	f->moved_first = f->forgotten == 0;
}

static const struct queue_ops ops = {
	.ledger = on_ledger,
	.ledger_sync = on_sync,
	.expand = on_expand,
	.route = on_route,
	.mx = on_mx,
	.deliver = on_deliver,
	.report = on_report,
	.forget = on_forget,
	.outcome_kept = on_kept,
	.event = on_event,
	.cancel = on_cancel,
	.moved = on_moved,
};

void fake_init(struct fake *f)
{
	*f = (struct fake){.now = 1000 * SEC, .wall = WALL_START};
	f->arena = arena_new((size_t)1 << 32);
	assert_non_null(f->arena);
	f->events = BUF_INIT((size_t)1 << 28);
	f->settings = (struct queue_settings){.retry = {300 * SEC, 900 * SEC, 3600 * SEC},
		.n_retry = 3,
		.warn = 4 * 3600 * SEC,
		.expire = 5 * 86400 * SEC,
		.bounce_expire = 86400 * SEC,
		.concurrency = 20,
		.connect_timeout = 30 * SEC,
		.command_timeout = 300 * SEC,
		.data_timeout = 300 * SEC,
		.seed = 7};
	assert_int_equal(queue_new(&ops, f, &f->settings, &f->q), 0);
}

void fake_done(struct fake *f)
{
	queue_free(f->q);
	arena_free(f->arena);
	buf_done(&f->events);
	free(f->ledger);
	free(f->asks);
	free(f->mxs);
	free(f->jobs);
	free(f->reports);
}

void fake_start(struct fake *f, bool same_boot)
{
	assert_int_equal(queue_start(f->q, f->now, f->wall, same_boot), 0);
}

void fake_crash(struct fake *f, size_t n)
{
	queue_free(f->q);
	f->q = NULL;
	f->n_ledger = n;
	f->durable = MIN(f->durable, n);
	f->written = n;
	f->synced = f->n_asks = f->n_mxs = f->n_jobs = f->n_reports = 0;
	f->ticket = 0;
	buf_reset(&f->events);
	assert_int_equal(queue_new(&ops, f, &f->settings, &f->q), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(
			queue_replay_entry(f->q, f->ledger[i].type, f->ledger[i].payload), 0);
}

struct record_ref fake_ref(uint64_t id)
{
	return (struct record_ref){id >> 24, 4096 + (id & 0xffffff) * 64, 64};
}

struct message fake_message(
	struct fake *f, uint64_t id, const char *sender, const char *const *rcpts)
{
	struct message m = {.id = id,
		.arrival_wall_usec = f->wall,
		.size = 1000,
		.reverse_path = arena_span(f->arena, span_str(sender)),
		.client = SPAN_LIT("192.0.2.1")};

	while (rcpts[m.n_rcpts])
		m.n_rcpts++;
	m.rcpts = arena_alloc(f->arena, m.n_rcpts * sizeof(*m.rcpts));
	for (uint32_t i = 0; i < m.n_rcpts; i++)
		m.rcpts[i].address = arena_span(f->arena, span_str(rcpts[i]));
	return m;
}

int fake_commit(struct fake *f, uint64_t id, const char *sender, const char *const *rcpts)
{
	struct message m = fake_message(f, id, sender, rcpts);
	struct record_ref ref = fake_ref(id);

	queue_time(f->q, f->now, f->wall);
	return queue_committed(f->q, &m, &ref);
}

int fake_commit_one(struct fake *f, uint64_t id, const char *rcpt)
{
	return fake_commit(f, id, "sender@example.net", (const char *const[]){rcpt, NULL});
}

static bool is(struct span address, const char *prefix)
{
	return span_starts_nocase(address, span_str(prefix));
}

static struct hop hop_for(const struct fake *f, const struct expand_ask *ask)
{
	struct span domain = span_from(ask->address, span_index(ask->address, '@') + 1);
	struct hop h = {
		.kind = HOP_DELIVER, .via = JOB_SMTP, .host = domain, .port = 25, .site = domain};

	if (is(domain, "box."))
		h.via = JOB_MAILDIR;
	if (is(domain, "mx."))
		h.kind = HOP_MX;
	if (f->route)
		h.site = h.host = span_str(f->route);
	if (ask->via.len) {
		h.site = h.host = ask->via;
		return h;
	}
	if (is(ask->address, "hold@"))
		return (struct hop){.kind = HOP_HOLD, .text = SPAN_LIT("routed to hold")};
	if (is(ask->address, "fail@"))
		return (struct hop){.kind = HOP_FAIL,
			.enhanced = SPAN_LIT("5.1.10"),
			.text = SPAN_LIT("null MX")};
	if (is(ask->address, "temp@"))
		return (struct hop){.kind = HOP_TEMPORARY, .text = SPAN_LIT("table busy")};
	return h;
}

static uint32_t members(struct fake *f, const struct expand_ask *ask, struct expand_child *child)
{
	struct span domain = span_from(ask->address, span_index(ask->address, '@') + 1);
	uint32_t n = (uint32_t)strtoul(ask->address.ptr + 5, NULL, 10);

	for (uint32_t i = 0; i < n; i++) {
		struct expand_ask member = *ask;
		struct buf b = BUF_INIT(4096);
		buf_printf(&b, "member-%u@%.*s", i, SPAN_FMT(domain));
		member.address = arena_span(f->arena, buf_span(&b));
		buf_done(&b);
		child[i] = (struct expand_child){member.address, hop_for(f, &member)};
	}
	return n;
}

static void answer(struct fake *f, const struct fake_ask *asked)
{
	static struct expand_child children[EXPAND_MAX];
	const struct expand_ask *ask = &asked->ask;
	struct expand_answer a = {.token = ask->token, .children = children, .n_children = 1};

	if (is(ask->address, "slow@"))
		return;
	children[0] = (struct expand_child){ask->address, hop_for(f, ask)};
	if (is(ask->address, "unknown@"))
		a.status = LOOKUP_UNKNOWN_USER;
	if (asked->route) {
		queue_routed(f->q, &a);
		return;
	}
	if (is(ask->address, "list-"))
		a.n_children = members(f, ask, children);
	if (is(ask->address, "nobody@"))
		a.n_children = 0;
	if (is(ask->address, "same-")) {
		struct expand_ask same = *ask;
		struct buf b = BUF_INIT(4096);
		buf_printf(&b, "same%.*s",
			SPAN_FMT(span_from(ask->address, span_index(ask->address, '@'))));
		same.address = arena_span(f->arena, buf_span(&b));
		buf_done(&b);
		children[0] = (struct expand_child){same.address, hop_for(f, &same)};
	}
	queue_expanded(f->q, &a);
}

static void answer_mx(struct fake *f, const struct fake_mx *ask)
{
	size_t dash = span_index(ask->domain, '-');
	struct span provider = span_from(ask->domain, dash + 1);
	struct job_host hosts[] = {{provider, 10}};
	struct hop h = {.kind = HOP_DELIVER,
		.via = JOB_SMTP,
		.port = 25,
		.site = provider,
		.domain = ask->domain,
		.hosts = hosts,
		.n_hosts = 1};

	if (is(ask->domain, "mx.slow"))
		return;
	if (is(ask->domain, "mx.nx"))
		h = (struct hop){.kind = HOP_FAIL,
			.enhanced = SPAN_LIT("5.1.2"),
			.text = SPAN_LIT("no such domain")};
	else if (is(ask->domain, "mx.fail"))
		h = (struct hop){.kind = HOP_TEMPORARY,
			.enhanced = SPAN_LIT("4.4.3"),
			.text = SPAN_LIT("servers fail")};
	queue_mx_answered(f->q, ask->token, &h);
}

static void answer_mxs(struct fake *f)
{
	size_t n = f->n_mxs;

	for (size_t i = 0; i < n; i++) {
		struct fake_mx ask = f->mxs[i];
		answer_mx(f, &ask);
	}
	if (f->n_mxs > n)
		memmove(f->mxs, f->mxs + n, (f->n_mxs - n) * sizeof(*f->mxs));
	f->n_mxs -= n;
}

void fake_answer(struct fake *f)
{
	answer_mxs(f);
	size_t n = f->n_asks;

	for (size_t i = 0; i < n; i++) {
		struct fake_ask asked = f->asks[i];
		answer(f, &asked);
	}
	memmove(f->asks, f->asks + n, (f->n_asks - n) * sizeof(*f->asks));
	f->n_asks -= n;
}

void fake_turn(struct fake *f, uint64_t usec)
{
	f->now += usec;
	f->wall += usec;
	queue_time(f->q, f->now, f->wall);
	queue_run(f->q, 100000);
	while (f->n_asks || f->n_mxs) {
		fake_answer(f);
		queue_run(f->q, 100000);
	}
}

void fake_durable(struct fake *f, int result)
{
	if (!f->ticket)
		return;
	if (result >= 0)
		f->durable = f->synced;
	queue_ledger_durable(f->q, f->ticket, result);
}

void fake_flow(struct fake *f)
{
	fake_turn(f, 1);
	fake_durable(f, 0);
	fake_turn(f, 1);
	fake_durable(f, 0);
}

void fake_job_remove(struct fake *f, size_t job)
{
	f->n_jobs--;
	memmove(&f->jobs[job], &f->jobs[job + 1], (f->n_jobs - job) * sizeof(*f->jobs));
}

static struct outcome_rcpt result_of(uint32_t index, enum outcome_class result)
{
	static const struct outcome_rcpt results[] = {
		[OUTCOME_DELIVERED] = {.result = OUTCOME_DELIVERED,
			.code = 250,
			.enhanced = {"2.0.0", 5},
			.text = {"ok", 2}},
		[OUTCOME_DEFERRED] = {.result = OUTCOME_DEFERRED,
			.code = 450,
			.enhanced = {"4.2.0", 5},
			.text = {"try later", 9}},
		[OUTCOME_FAILED] = {.result = OUTCOME_FAILED,
			.code = 550,
			.enhanced = {"5.1.1", 5},
			.text = {"no such user", 12}},
		[OUTCOME_NOT_TRIED] = {.result = OUTCOME_NOT_TRIED,
			.enhanced = {"", 0},
			.text = {"", 0}},
	};
	struct outcome_rcpt r = results[result];

	r.index = index;
	return r;
}

static void outcome(
	struct fake *f, size_t job, const enum outcome_class *results, size_t n, bool down)
{
	assert_true(job < f->n_jobs);
	struct job j = f->jobs[job];
	struct outcome_rcpt *rcpts = calloc(j.n_rcpts, sizeof(*rcpts));
	assert_non_null(rcpts);
	for (uint32_t i = 0; i < j.n_rcpts; i++)
		rcpts[i] = result_of(j.rcpts[i].index, results[MIN((size_t)i, n - 1)]);
	struct outcome o = {.job = j.job,
		.message = j.message,
		.site_down = down,
		.remote = SPAN_LIT("192.0.2.25:25 mx"),
		.rcpts = rcpts,
		.n_rcpts = j.n_rcpts};
	fake_job_remove(f, job);
	queue_outcome(f->q, &o);
	free(rcpts);
}

void fake_outcome(struct fake *f, size_t job, const enum outcome_class *results, size_t n)
{
	outcome(f, job, results, n, false);
}

void fake_result(struct fake *f, enum outcome_class result, bool site_down)
{
	outcome(f, 0, &result, 1, site_down);
}

size_t fake_said_times(const struct fake *f, const char *text)
{
	size_t n = 0, len = strlen(text);

	for (size_t i = 0; i + len <= f->events.len; i++)
		n += memcmp(f->events.ptr + i, text, len) == 0;
	return n;
}

bool fake_said(const struct fake *f, const char *text)
{
	if (fake_said_times(f, text))
		return true;
	print_error("not said: \"%s\" in:\n%.*s", text, (int)f->events.len, f->events.ptr);
	return false;
}

size_t fake_entries(const struct fake *f, enum entry_type type)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_ledger; i++)
		n += f->ledger[i].type == type;
	return n;
}

void fake_command(struct fake *f, enum admin_verb verb, struct admin_request request, uint64_t want)
{
	request.verb = verb;
	assert_int_equal(queue_command(f->q, &request), want);
}
