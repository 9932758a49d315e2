/* Deliverers with their next hops, by the rules of deliver/jobs.c: a job that was taken ends in one
 * outcome; the final dot is announced before it is sent; an outcome is kept until the dispatcher
 * has it durable; a new dispatcher is told what it asks for. And the directory, whose answers are
 * written in the addresses:
 *
 *   u, r, x, y, z  deliver        l  two children       d  stands for z        n  for nobody
 *   h  hold        t  sometimes temporary               f  5xx */
#include "world.h"

#include "base/crc32c.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define JOB_ARENA (4u << 20)

enum task_state { TASK_WAITING, TASK_DOTTED, TASK_KEPT };
struct task {
	struct list node;
	enum task_state state;
	struct buf payload, outcome;
	struct arena *arena;
	struct job job;
	struct said_file *files;
	unsigned n_files;
	struct outcome_rcpt *results;
	bool site_down, unwanted, no_result, damaged;
};
struct deliverer {
	struct world *w;
	struct seam *seam;
	unsigned index;
	struct link *link, *next_link;
	bool greeted;
	struct list tasks;
};

/* With the dispatcher gone there is nobody to tell; the next one asks. */
static void say(struct deliverer *v, struct said s)
{
	link_say(v->link, v->seam, true, s);
}

static void close_files(struct deliverer *v, struct task *t)
{
	for (unsigned i = 0; i < t->n_files; i++)
		if (t->files[i].file)
			v->seam->ops->close(t->files[i].file);
	free(TAKE(t->files));
	t->n_files = 0;
}

static void task_free(struct deliverer *v, struct task *t)
{
	list_remove(&t->node);
	close_files(v, t);
	arena_free(t->arena);
	buf_done(&t->payload);
	buf_done(&t->outcome);
	free(t);
}

/* ---- reading the message ---- */

static struct disk_file *file_of(const struct task *t, uint64_t sequence)
{
	for (unsigned i = 0; i < t->n_files; i++)
		if (t->files[i].sequence == sequence)
			return t->files[i].file;
	return NULL;
}

static void check_range(struct deliverer *v, const struct truth_mail *m, struct span octets,
	const struct job_range *r, uint64_t at, struct disk_file *f)
{
	if (truth_matches(m, at, octets))
		return;
	/* A disk that lies gives other octets, where it does. */
	if (f && world_was_flipped(v->w, sim_disk_file_id(f), r->offset, r->length))
		return;
	violation(v->w,
		"message %" PRIx64 " at octet %" PRIu64 " (segment %" PRIu64 ", offset %" PRIu64
		", %u octets) is not what was sent",
		m->id, at, r->segment, r->offset, r->length);
}

/* Reads all of it as the real reader does. false: a checksum is wrong. */
static bool read_octets(struct deliverer *v, const struct task *t)
{
	const struct truth_mail *m = truth_find(v->w->truth, t->job.message);
	uint64_t at = 0;

	if (!m)
		violation(v->w, "a job for message %" PRIx64 " that nobody sent", t->job.message);
	for (uint32_t i = 0; i < t->job.n_ranges; i++) {
		const struct job_range *r = &t->job.ranges[i];
		struct disk_file *f = file_of(t, r->segment);
		char *octets = must(malloc(r->length + 1));
		size_t got = 0;
		bool good = f && v->seam->ops->read(f, r->offset, octets, r->length, &got) == 0 &&
			    got == r->length &&
			    (!r->checked || crc32c(0, octets, r->length) == r->crc);
		if (good)
			check_range(v, m, span_make(octets, got), r, at, f);
		free(octets);
		if (!good)
			return false;
		at += r->length;
	}
	if (at != m->head_len + m->body_len || at != t->job.size)
		violation(v->w, "message %" PRIx64 " has %" PRIu64 " octets of %" PRIu64, m->id, at,
			m->head_len + m->body_len);
	return true;
}

/* ---- a job's life ---- */

static void finish(struct deliverer *v, struct task *t, bool tried)
{
	struct outcome o = {.job = t->job.job,
		.message = t->job.message,
		.site_down = t->site_down,
		.damaged = t->damaged,
		.remote = SPAN_LIT("127.0.0.1:25 hop"),
		.rcpts = t->results,
		.n_rcpts = t->no_result ? 0 : t->job.n_rcpts};

	for (uint32_t i = 0; !tried && i < t->job.n_rcpts; i++)
		t->results[i].result = OUTCOME_NOT_TRIED;
	t->outcome = BUF_INIT(1u << 20);
	outcome_encode(&o, &t->outcome);
	t->state = TASK_KEPT;
	close_files(v, t);
	trace(v->w, "deliverer %u: outcome of job %" PRIu64, v->index, t->job.job);
	if (!v->greeted)
		return; /* asked for */
	struct said s = {.kind = SAY_OUTCOME, .a = o.job, .payload = BUF_INIT(1u << 20)};
	buf_put(&s.payload, buf_span(&t->outcome));
	say(v, s);
}

static enum outcome_class any_result(struct world *w)
{
	uint64_t p = below(w, 100);

	if (w->healing || p < 74)
		return OUTCOME_DELIVERED;
	return p < 88 ? OUTCOME_DEFERRED : p < 95 ? OUTCOME_FAILED : OUTCOME_NOT_TRIED;
}

/* What the next hop says to each recipient; true: the message is sent to some. */
static bool transaction(struct deliverer *v, struct task *t)
{
	struct truth_mail *m = truth_find(v->w->truth, t->job.message);
	bool any = false;

	for (uint32_t i = 0; i < t->job.n_rcpts; i++) {
		struct outcome_rcpt *r = &t->results[i];
		struct truth_address *a = m ? truth_address_find(m, t->job.rcpts[i].address) : NULL;
		r->result = any_result(v->w);
		any = any || r->result == OUTCOME_DELIVERED;
		r->code = r->result == OUTCOME_DELIVERED ? 250 : 451;
		if (r->result == OUTCOME_FAILED) {
			r->code = 550;
			r->enhanced = SPAN_LIT("5.1.1");
			if (a)
				a->refused = true;
		} else if (r->result == OUTCOME_DEFERRED) {
			r->enhanced = SPAN_LIT("4.2.0");
			r->text = SPAN_LIT("later");
		}
	}
	return any;
}

static void set_all(struct task *t, enum outcome_class result)
{
	for (uint32_t i = 0; i < t->job.n_rcpts; i++) {
		t->results[i].result = result;
		t->results[i].enhanced = SPAN_LIT("4.4.1");
	}
}

static unsigned site_of(const struct job *j)
{
	return (unsigned)(j->site.ptr[j->site.len - 1] - '0') % SITES;
}

static void begin(struct deliverer *v, struct task *t)
{
	struct world *w = v->w;

	if (!read_octets(v, t)) {
		t->damaged = true;
		world_damage(w, "a message that is not what it was");
		set_all(t, OUTCOME_DEFERRED);
		finish(v, t, true);
	} else if (t->unwanted) {
		finish(v, t, false);
	} else if (!w->healing && w->site_down[site_of(&t->job)]) {
		t->site_down = true;
		set_all(t, OUTCOME_DEFERRED);
		finish(v, t, true);
	} else if (!w->healing && chance(w, 20)) { /* the session ends before anything is said */
		t->no_result = true;
		finish(v, t, true);
	} else if (transaction(v, t)) {
		t->state = TASK_DOTTED;
		if (v->greeted)
			say(v, (struct said){.kind = SAY_DOT, .a = t->job.job});
	} else {
		finish(v, t, true);
	}
}

static void deliver(struct deliverer *v, struct task *t)
{
	/* Read while it is sent: a mistake shows before the final dot. */
	if (!read_octets(v, t)) {
		t->damaged = true;
		world_damage(v->w, "a message that is not what it was");
		set_all(t, OUTCOME_DEFERRED);
		finish(v, t, true);
		return;
	}
	for (uint32_t i = 0; i < t->job.n_rcpts; i++) {
		if (t->results[i].result != OUTCOME_DELIVERED)
			continue;
		trace(v->w, "next hop: takes %" PRIx64 " for %.*s (job %" PRIu64 ")",
			t->job.message, SPAN_FMT(t->job.rcpts[i].address), t->job.job);
		truth_delivered(v->w->truth, t->job.message, t->job.rcpts[i].address);
	}
	world_tempt(v->w);
	/* It may die between the next hop's word and telling of it. */
	if (sim_seam_touch(v->seam))
		finish(v, t, true);
}

bool deliverer_step(struct deliverer *v)
{
	struct task *chosen = NULL;
	uint64_t n = 0;

	list_foreach (it, &v->tasks) {
		struct task *t = CONTAINER_OF(it, struct task, node);
		if (t->state != TASK_KEPT && below(v->w, ++n) == 0)
			chosen = t;
	}
	if (!chosen || !sim_seam_touch(v->seam))
		return false;
	if (chosen->state == TASK_WAITING)
		begin(v, chosen);
	else
		deliver(v, chosen);
	return true;
}

/* ---- frames ---- */

static struct task *find(struct deliverer *v, uint64_t job)
{
	list_foreach (n, &v->tasks) {
		struct task *t = CONTAINER_OF(n, struct task, node);
		if (t->job.job == job)
			return t;
	}
	return NULL;
}

static void say_outcome(struct deliverer *v, const struct task *t)
{
	struct said s = {.kind = SAY_OUTCOME, .a = t->job.job, .payload = BUF_INIT(1u << 20)};

	buf_put(&s.payload, buf_span(&t->outcome));
	say(v, s);
}

static void on_job(struct deliverer *v, struct said *s)
{
	struct task *t = must(calloc(1, sizeof(*t)));

	t->payload = s->payload;
	s->payload = (struct buf){0};
	t->arena = must(arena_new(JOB_ARENA));
	if (job_decode(buf_span(&t->payload), t->arena, &t->job) < 0)
		violation(v->w, "a job that does not decode");
	if (find(v, t->job.job))
		violation(v->w, "job %" PRIu64 " is handed out twice", t->job.job);
	t->results = must(arena_alloc(t->arena, t->job.n_rcpts * sizeof(*t->results)));
	for (uint32_t i = 0; i < t->job.n_rcpts; i++)
		t->results[i].index = t->job.rcpts[i].index;
	t->files = TAKE(s->files);
	t->n_files = s->n_files;
	s->n_files = 0;
	list_push_back(&v->tasks, &t->node);
	v->w->count.jobs++;
	trace(v->w, "deliverer %u: job %" PRIu64 " of %" PRIx64 " to %.*s, %u names%s", v->index,
		t->job.job, t->job.message, SPAN_FMT(t->job.site), t->job.n_rcpts,
		t->job.suspect ? ", suspect" : "");
}

static void on_ask(struct deliverer *v)
{
	struct said s = {.kind = SAY_INFLIGHT, .payload = BUF_INIT(1u << 20)};

	list_foreach (n, &v->tasks) {
		const struct task *t = CONTAINER_OF(n, struct task, node);
		if (t->state == TASK_KEPT)
			say_outcome(v, t);
		else
			buf_append(&s.payload, &t->job.job, sizeof(t->job.job));
	}
	say(v, s);
	list_foreach (n, &v->tasks) {
		const struct task *t = CONTAINER_OF(n, struct task, node);
		if (t->state == TASK_DOTTED)
			say(v, (struct said){.kind = SAY_DOT, .a = t->job.job});
	}
}

static void on_frame(struct deliverer *v, struct said *s)
{
	struct task *t;

	v->greeted = true;
	switch (s->kind) {
	case SAY_JOB:
		on_job(v, s);
		break;
	case SAY_ASK_INFLIGHT:
		on_ask(v);
		break;
	case SAY_CANCEL:
		t = find(v, s->a);
		if (t)
			t->unwanted = true;
		break;
	case SAY_KEPT:
		t = find(v, s->a);
		if (t && t->state == TASK_KEPT)
			task_free(v, t);
		break;
	default:
		abort();
	}
}

bool deliverer_hear(struct deliverer *v)
{
	struct said *s;

	if (v->next_link && (!v->link || chance(v->w, 300))) {
		if (v->link)
			link_leave(v->link, false);
		v->link = TAKE(v->next_link);
		v->greeted = false;
		return true;
	}
	s = v->link ? link_hear(&v->link->down) : NULL;
	if (!s && v->link && v->link->dispatcher_left) {
		link_leave(TAKE(v->link), false);
		return true;
	}
	if (!s)
		return false;
	on_frame(v, s);
	said_free(s);
	return true;
}

void deliverer_attach(struct deliverer *v, struct link *l)
{
	if (v->next_link)
		link_leave(v->next_link, false);
	v->next_link = l;
}

struct deliverer *deliverer_new(struct world *w, unsigned index)
{
	struct deliverer *v = must(calloc(1, sizeof(*v)));

	v->w = w;
	v->index = index;
	v->seam = sim_seam_new(w->disk, &w->clock);
	list_init(&v->tasks);
	return v;
}

void deliverer_free(struct deliverer *v)
{
	if (!v)
		return;
	sim_seam_kill(v->seam);
	list_foreach_safe (n, tmp, &v->tasks)
		task_free(v, CONTAINER_OF(n, struct task, node));
	if (v->link)
		link_leave(v->link, false);
	if (v->next_link)
		link_leave(v->next_link, false);
	sim_seam_free(v->seam);
	free(v);
}

struct seam *deliverer_seam(struct deliverer *v)
{
	return v->seam;
}

bool deliverer_is_quiet(const struct deliverer *v)
{
	return v->link && !v->next_link && list_empty(&v->link->down) &&
	       !v->link->dispatcher_left && list_empty(&v->tasks);
}

/* ---- the directory ---- */

struct directory {
	struct world *w;
	struct seam *seam;
	struct link *link;
	struct list asked; /* struct said */
};

static void hop_of(struct world *w, struct span address, bool via, struct hop *h)
{
	char kind = address.ptr[0];
	unsigned site = (unsigned)(address.ptr[address.len - 1] - '0') % SITES;
	static const char *const sites[SITES] = {"site0", "site1", "site2", "site3", "site4"};

	*h = (struct hop){.kind = HOP_DELIVER,
		.via = site == 0 ? JOB_MAILDIR : JOB_SMTP,
		.host = SPAN_LIT("127.0.0.1"),
		.port = 25,
		.site = span_str(sites[site])};
	if (site >= 3) {
		h->kind = HOP_MX;
		h->host = h->site;
	}
	if (kind == 'h' && !via && !w->healing && chance(w, 800))
		*h = (struct hop){.kind = HOP_HOLD,
			.enhanced = SPAN_LIT("4.0.0"),
			.text = SPAN_LIT("held by the configuration")};
	else if (kind == 'f')
		*h = (struct hop){.kind = HOP_FAIL,
			.enhanced = SPAN_LIT("5.4.4"),
			.text = SPAN_LIT("no such host")};
	else if (kind == 't' && !w->healing && chance(w, 400))
		*h = (struct hop){.kind = HOP_TEMPORARY,
			.enhanced = SPAN_LIT("4.4.3"),
			.text = SPAN_LIT("no answer")};
}

/* Children of an alias: the address with other first letters. */
static void children(struct world *w, struct span address, bool via, char names[2][TRUTH_NAME],
	struct expand_child *c, struct expand_answer *a)
{
	char kind = address.ptr[0];
	unsigned site = (unsigned)(address.ptr[address.len - 1] - '0') % SITES;
	size_t at = span_index(address, '@'), dot = span_index(address, '.');
	struct span middle = span_make(address.ptr + 1, at - 1);

	a->n_children = kind == 'n' ? 0 : kind == 'l' ? 2 : 1;
	if (kind == 'd')
		(void)snprintf(names[0], TRUTH_NAME, "z%.*s@s0", (int)(dot - 1), address.ptr + 1);
	else if (kind == 'l')
		(void)snprintf(names[0], TRUTH_NAME, "x%.*s@s%u", SPAN_FMT(middle), site);
	else
		(void)snprintf(names[0], TRUTH_NAME, "%.*s", SPAN_FMT(address));
	(void)snprintf(names[1], TRUTH_NAME, "y%.*s@s%u", SPAN_FMT(middle), (site + 1) % SITES);
	for (uint32_t i = 0; i < a->n_children; i++) {
		c[i].address = span_str(names[i]);
		hop_of(w, c[i].address, via, &c[i].hop);
	}
}

/* The asker's message is not in the question: whoever has that address was refused. */
static void mark_refused(struct world *w, struct span address)
{
	for (struct truth_mail *m = w->truth->mails; m; m = m->next) {
		struct truth_address *a = truth_address_find(m, address);
		if (a)
			a->refused = true;
	}
}

static void answer_mx(struct directory *d, const struct said *s)
{
	struct said out = {.kind = SAY_MX_SAID,
		.a = s->a,
		.b = !d->w->healing && chance(d->w, 150),
		.payload = BUF_INIT(1u << 16)};

	buf_put(&out.payload, buf_span(&s->payload));
	link_say(d->link, d->seam, true, out);
}

static void answer(struct directory *d, const struct said *s)
{
	char names[2][TRUTH_NAME];
	struct expand_child c[2] = {0};
	struct expand_ask ask;
	struct world *w = d->w;

	if (expand_ask_decode(buf_span(&s->payload), &ask) < 0)
		violation(w, "a question that does not decode");
	struct expand_answer a = {.token = ask.token, .children = c};
	bool route = s->kind == SAY_ROUTE;
	children(w, ask.address, ask.via.len > 0, names, c, &a);
	if (route) { /* where this very address goes */
		a.n_children = 1;
		c[0].address = ask.address;
		hop_of(w, ask.address, ask.via.len > 0, &c[0].hop);
	}
	if (!w->healing && chance(w, 30))
		a.status = LOOKUP_TEMPORARY;
	else if (ask.address.ptr[0] == 'f' && chance(w, 500))
		a.status = LOOKUP_UNKNOWN_USER;
	if (ask.address.ptr[0] == 'f')
		mark_refused(w, ask.address);
	if (a.status != LOOKUP_OK)
		a.n_children = 0;
	struct said out = {
		.kind = route ? SAY_ROUTED : SAY_EXPANDED, .payload = BUF_INIT(1u << 16)};
	expand_answer_encode(&a, &out.payload);
	link_say(d->link, d->seam, true, out);
}

bool directory_answer(struct directory *d)
{
	uint64_t n = 0;
	struct said *chosen = NULL;

	list_foreach (it, &d->asked)
		if (below(d->w, ++n) == 0)
			chosen = CONTAINER_OF(it, struct said, node);
	if (!chosen)
		return false;
	list_remove(&chosen->node);
	/* One question in a hundred is never answered. */
	if (d->w->healing || !chance(d->w, 10))
		(chosen->kind == SAY_MX ? answer_mx : answer)(d, chosen);
	said_free(chosen);
	return true;
}

bool directory_hear(struct directory *d)
{
	struct said *s = d->link ? link_hear(&d->link->down) : NULL;

	if (!s && d->link && d->link->dispatcher_left) {
		link_leave(TAKE(d->link), false);
		return true;
	}
	if (!s)
		return false;
	list_push_back(&d->asked, &s->node);
	return true;
}

void directory_attach(struct directory *d, struct link *l)
{
	/* What another dispatcher asked is answered to nobody: its tokens are not this one's. */
	for (struct said *s; (s = link_hear(&d->asked));)
		said_free(s);
	if (d->link)
		link_leave(d->link, false);
	d->link = l;
}

struct directory *directory_new(struct world *w)
{
	struct directory *d = must(calloc(1, sizeof(*d)));

	d->w = w;
	d->seam = sim_seam_new(w->disk, &w->clock);
	list_init(&d->asked);
	return d;
}

void directory_free(struct directory *d)
{
	if (!d)
		return;
	for (struct said *s; (s = link_hear(&d->asked));)
		said_free(s);
	if (d->link)
		link_leave(d->link, false);
	sim_seam_free(d->seam);
	free(d);
}

struct seam *directory_seam(struct directory *d)
{
	return d->seam;
}

bool directory_is_quiet(const struct directory *d)
{
	return d->link && list_empty(&d->link->down) && !d->link->dispatcher_left &&
	       list_empty(&d->asked);
}
