/* See desk.h: frames in, the turn, recovery step by step, life and death. */
#include "desk.h"
#include "spool/reseal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define RECOVER_RECORDS 64u

void desk_event(struct desk *d)
{
	queue_time(d->queue, d->w->clock.monotonic, d->w->clock.wall);
	d->turn_due = true;
}

void desk_die(struct desk *d, const char *why)
{
	trace(d->w, "dispatcher: ends itself: %s", why);
	d->w->count.aborted++;
	sim_seam_kill(d->seam);
}

void desk_late(struct desk *d, struct late l)
{
	struct late *copy = must(malloc(sizeof(*copy)));

	*copy = l;
	copy->node = (struct list){0};
	list_push_back(&d->late, &copy->node);
	d->turn_due = true;
}

struct peer *desk_peer(struct desk *d, enum peer_kind kind, unsigned index)
{
	for (struct list *n = d->peers.prev; n != &d->peers; n = n->prev) {
		struct peer *p = CONTAINER_OF(n, struct peer, node);
		if (p->kind == kind && p->index == index)
			return p;
	}
	return NULL;
}

void desk_say(struct desk *d, struct peer *p, struct said s)
{
	link_say(p->link, d->seam, false, s);
}

/* ---- the queue's actions ---- */

static void ask_directory(struct desk *d, enum message_kind kind, const struct expand_ask *ask)
{
	struct peer *p = desk_peer(d, PEER_DIRECTORY, 0);
	struct said s = {.kind = kind, .payload = BUF_INIT(1u << 16)};

	expand_ask_encode(ask, &s.payload);
	if (p)
		desk_say(d, p, s);
	else
		buf_done(&s.payload);
}

static void on_expand(void *arg, const struct expand_ask *ask)
{
	ask_directory(arg, SAY_EXPAND, ask);
}

static void on_route(void *arg, const struct expand_ask *ask)
{
	ask_directory(arg, SAY_ROUTE, ask);
}

static void on_mx(void *arg, uint64_t token, struct span domain, struct span route)
{
	struct desk *d = arg;
	struct peer *p = desk_peer(d, PEER_DIRECTORY, 0);
	struct said s = {.kind = SAY_MX, .a = token, .payload = BUF_INIT(1u << 16)};

	(void)route;
	buf_put(&s.payload, domain);
	if (p)
		desk_say(d, p, s);
	else
		buf_done(&s.payload);
}

static void on_event(void *arg, const char *event, uint64_t id, struct span rcpt,
	const struct outcome_rcpt *outcome, struct span remote, struct span detail)
{
	struct desk *d = arg;

	(void)outcome;
	(void)remote;
	trace(d->w, "log: %s %" PRIx64 " %.*s %.*s", event, id, SPAN_FMT(rcpt), SPAN_FMT(detail));
	d->w->count.held += strcmp(event, "held") == 0;
	if (strcmp(event, "failed") == 0 && !rcpt.len)
		return; /* an unknown message in the ledger: whose loss, the end tells */
	if (strcmp(event, "possible-duplicate") != 0) {
		if (!sim_seam_is_dead(d->seam) && !d->w->shadow)
			truth_logged(d->w->truth, event, id, rcpt);
		return;
	}
	d->names = must(realloc(d->names, (d->n_names + 1) * sizeof(*d->names)));
	struct name *n = &d->names[d->n_names++];
	n->id = id;
	(void)snprintf(n->address, sizeof(n->address), "%.*s", SPAN_FMT(rcpt));
}

static const struct queue_ops queue_actions = {
	.ledger = desk_ledger,
	.ledger_sync = desk_ledger_sync,
	.expand = on_expand,
	.route = on_route,
	.mx = on_mx,
	.deliver = desk_deliver,
	.report = desk_report,
	.forget = desk_forget,
	.outcome_kept = desk_outcome_kept,
	.event = on_event,
	.cancel = desk_cancel,
	.moved = desk_moved,
};

/* ---- the turn ---- */

static void log_flush_names(struct desk *d)
{
	for (size_t i = 0; i < d->n_names && sim_seam_touch(d->seam); i++)
		truth_named(d->w->truth, d->names[i].id, span_str(d->names[i].address));
	d->n_names = 0;
}

static void late_apply(struct desk *d, struct late *l)
{
	switch (l->kind) {
	case LATE_OUTCOME:
		desk_outcome(d, l->peer, buf_span(&l->payload));
		break;
	case LATE_LOST:
		queue_job_lost(d->queue, l->a, l->b != 0);
		break;
	case LATE_REPORT:
		desk_report_late(d, l->writing);
		break;
	case LATE_GONE:
		queue_segment_gone(d->queue, l->a);
		break;
	}
}

static void late_run(struct desk *d)
{
	struct list *last = d->late.prev;

	while (!list_empty(&d->late)) {
		struct list *n = list_pop_front(&d->late);
		struct late *l = CONTAINER_OF(n, struct late, node);
		late_apply(d, l);
		buf_done(&l->payload);
		free(l);
		if (n == last)
			break;
	}
}

bool desk_turn(struct desk *d)
{
	bool started = d->phase == DESK_STARTED;

	if (!d->turn_due && (!started || queue_next_due(d->queue) > d->w->clock.monotonic))
		return false;
	d->turn_due = false;
	queue_time(d->queue, d->w->clock.monotonic, d->w->clock.wall);
	if (started) {
		late_run(d);
		queue_run(d->queue, desk_jobs_room(d));
		desk_compact(d);
		desk_checkpoint_run(d);
	}
	bool written = desk_ledger_write(d);
	log_flush_names(d);
	if (written)
		desk_jobs_send(d);
	writer_flush(d->writer);
	return true;
}

void desk_tick(struct desk *d)
{
	store_check_disk(d->store);
	d->turn_due = true;
}

void desk_checkpoint(struct desk *d)
{
	d->checkpoint_wanted = d->turn_due = true;
}

void desk_command(struct desk *d, struct admin_request *r)
{
	desk_event(d);
	uint64_t n = queue_command(d->queue, r);
	trace(d->w, "operator: verb %d touches %" PRIu64, (int)r->verb, n);
}

/* ---- peers ---- */

void desk_attach(struct desk *d, enum peer_kind kind, unsigned index, struct link *l)
{
	struct peer *p = must(calloc(1, sizeof(*p)));

	p->d = d;
	p->kind = kind;
	p->index = index;
	p->link = l;
	list_init(&p->jobs);
	list_push_back(&d->peers, &p->node);
	if (kind == PEER_RECEIVER && d->low)
		desk_say(d, p, (struct said){.kind = SAY_ACCEPTING});
	if (kind == PEER_DELIVERER && d->phase >= DESK_ASK)
		desk_say(d, p, (struct said){.kind = SAY_ASK_INFLIGHT});
	if (kind == PEER_DIRECTORY && d->phase == DESK_STARTED) {
		desk_event(d);
		queue_directory_restarted(d->queue);
	}
	d->turn_due = true;
}

static void peer_free(struct peer *p)
{
	list_remove(&p->node);
	link_leave(p->link, true);
	free(p);
}

static void peer_gone(struct peer *p)
{
	struct desk *d = p->d;

	trace(d->w, "dispatcher: peer %d %u is gone", (int)p->kind, p->index);
	list_remove(&p->node);
	if (p->kind == PEER_RECEIVER)
		desk_reclaim(d, (uint16_t)(p->index + 1));
	else if (p->kind == PEER_DELIVERER)
		desk_deliverer_gone(p);
	list_foreach (n, &d->late) {
		struct late *l = CONTAINER_OF(n, struct late, node);
		l->peer = l->peer == p ? NULL : l->peer;
	}
	peer_free(p);
	d->turn_due = true;
}

/* Domains s3 and s4 have one provider. */
static void on_mx_said(struct desk *d, const struct said *s)
{
	struct job_host hosts[] = {{SPAN_LIT("a.provider"), 10}, {SPAN_LIT("b.provider"), 20}};
	struct hop h = {.kind = HOP_DELIVER,
		.via = JOB_SMTP,
		.port = 25,
		.site = SPAN_LIT("provider"),
		.domain = buf_span(&s->payload),
		.hosts = hosts,
		.n_hosts = ARRAY_LEN(hosts)};

	if (s->b)
		h = (struct hop){.kind = HOP_TEMPORARY,
			.enhanced = SPAN_LIT("4.4.3"),
			.text = SPAN_LIT("name servers do not answer")};
	if (d->phase != DESK_STARTED)
		return;
	desk_event(d);
	queue_mx_answered(d->queue, s->a, &h);
}

static void on_directory(struct peer *p, const struct said *s)
{
	struct desk *d = p->d;
	struct expand_answer a;

	arena_reset(d->arena);
	if (expand_answer_decode(buf_span(&s->payload), d->arena, &a) < 0)
		violation(d->w, "an answer that does not decode");
	if (d->phase != DESK_STARTED)
		return;
	desk_event(d);
	if (s->kind == SAY_EXPANDED)
		queue_expanded(d->queue, &a);
	else
		queue_routed(d->queue, &a);
}

static bool hear_one(struct peer *p)
{
	struct said *s = link_hear(&p->link->up);

	if (!s && p->link->peer_left) {
		peer_gone(p);
		return true;
	}
	if (!s)
		return false;
	if (p->kind == PEER_RECEIVER)
		desk_receiver_frame(p, s);
	else if (p->kind == PEER_DELIVERER)
		desk_deliverer_frame(p, s);
	else if (s->kind == SAY_MX_SAID)
		on_mx_said(p->d, s);
	else
		on_directory(p, s);
	said_free(s);
	return true;
}

bool desk_hear(struct desk *d)
{
	struct peer *chosen = NULL;
	uint64_t n = 0;

	list_foreach (it, &d->peers) {
		struct peer *p = CONTAINER_OF(it, struct peer, node);
		if ((!list_empty(&p->link->up) || p->link->peer_left) && below(d->w, ++n) == 0)
			chosen = p;
	}
	return chosen && hear_one(chosen);
}

/* ---- recovery ---- */

static int each_entry(void *arg, uint8_t type, struct span payload)
{
	struct desk *d = arg;

	if (type == ENTRY_BOOT && payload.len == sizeof(d->boot)) {
		memcpy(d->boot, payload.ptr, sizeof(d->boot));
		d->boot_known = true;
	}
	int r = queue_replay_entry(d->queue, type, payload);

	if (r < 0)
		world_damage(d->w, "an entry of the ledger");
	return 0;
}

static bool boot_is_same(struct desk *d)
{
	struct store_segment *s = NULL;

	if (d->boot_known)
		return memcmp(d->boot, d->seam->boot_id, sizeof(d->boot)) == 0;
	while ((s = store_next(d->store, SLOT_LEDGER, s)))
		if (s->state == SEGMENT_SEALED)
			return false;
	return true;
}

static bool is_given(const struct desk *d, const struct store_segment *s)
{
	if (s->head.slot == SLOT_DISPATCHER)
		return d->own_first && s->head.sequence >= d->own_first;
	list_foreach (n, &d->peers) {
		const struct peer *p = CONTAINER_OF(n, struct peer, node);
		for (unsigned i = 0; i < p->n_given; i++)
			if (p->given[i] == s->head.sequence)
				return true;
	}
	return false;
}

static void on_first(struct writer_ticket *t, int result)
{
	(void)t;
	(void)result;
}

static void list_slot(struct desk *d, uint16_t slot)
{
	for (struct store_segment *s = NULL; (s = store_next(d->store, slot, s));)
		if (!is_given(d, s) && s->state != SEGMENT_SPARE && s->state != SEGMENT_PREPARING)
			d->recovery.sequences[d->recovery.n++] = s->head.sequence;
}

static void recover_ledger(struct desk *d)
{
	uint64_t damaged = 0;
	uint32_t cursor = 0;
	uint16_t slot;

	if (ledger_replay(d->ledger, each_entry, d, &damaged) < 0)
		violation(d->w, "the ledger cannot be replayed");
	if (damaged) {
		trace(d->w, "dispatcher: %" PRIu64 " octets of the ledger are damaged", damaged);
		if (d->w->lying)
			world_damage(d->w, "the ledger");
	}
	d->same_boot = boot_is_same(d);
	d->first.done = on_first;
	ledger_sync(d->ledger, &d->first);
	d->recovery.sequences =
		must(calloc(store_count(d->store) + 1, sizeof(*d->recovery.sequences)));
	list_slot(d, SLOT_DISPATCHER);
	while (store_next_slot(d->store, &cursor, &slot))
		if (slot != SLOT_LEDGER && slot != SLOT_DISPATCHER)
			list_slot(d, slot);
	d->phase = DESK_SEGMENTS;
}

static int on_commit(
	void *arg, uint64_t id, const struct record_ref *ref, struct span payload, bool damaged)
{
	struct desk *d = arg;
	struct message m;

	arena_reset(d->arena);
	int r = message_decode(id, payload, d->arena, &m);
	if (r == 0)
		r = queue_replay_commit(d->queue, &m, ref, damaged);
	if (damaged || r < 0)
		world_damage(d->w, "a message");
	if (r != 1)
		return 0;
	if (m.parent && !d->w->shadow && truth_find(d->w->truth, id))
		truth_find(d->w->truth, id)->found_in = d->life;
	if (damaged && !d->w->shadow)
		truth_damaged(d->w->truth, id);
	d->recovery.live++;
	return holds_take(&d->holds, &m, ref);
}

static void on_damage(void *arg, const struct store_segment *s, uint64_t offset, uint64_t octets)
{
	struct desk *d = arg;

	trace(d->w, "dispatcher: segment %" PRIu64 " is damaged at %" PRIu64 ", %" PRIu64 " octets",
		s->head.sequence, offset, octets);
	world_damage(d->w, "a segment");
}

struct own_sync {
	struct disk_op op;
	struct desk *d;
};

static void on_own_synced(struct disk_op *op, int result)
{
	struct own_sync *o = CONTAINER_OF(op, struct own_sync, op);

	o->d->recovery.syncs--;
	if (result < 0)
		o->d->recovery.error = result;
	free(o);
}

/* What an earlier life wrote and perhaps never synced is relied on from here: a report's COMMIT
 * settles its event, an outcome in the ledger is built upon by entries that will be durable. */
static void sync_own(struct desk *d)
{
	static const uint16_t slots[] = {SLOT_DISPATCHER, SLOT_LEDGER};

	d->phase = DESK_SYNC;
	for (size_t i = 0; i < ARRAY_LEN(slots); i++)
		for (struct store_segment *s = NULL; (s = store_next(d->store, slots[i], s));) {
			struct own_sync *o = must(calloc(1, sizeof(*o)));
			*o = (struct own_sync){.op.done = on_own_synced, .d = d};
			d->recovery.syncs++;
			d->seam->ops->sync(s->file, &o->op);
		}
}

static bool ask_deliverers(struct desk *d)
{
	if (d->recovery.syncs)
		return false;
	d->phase = DESK_ASK;
	list_foreach (n, &d->peers) {
		struct peer *p = CONTAINER_OF(n, struct peer, node);
		if (p->kind == PEER_DELIVERER)
			desk_say(d, p, (struct said){.kind = SAY_ASK_INFLIGHT});
	}
	return true;
}

static void on_resealed(void *arg, const char *name, int result)
{
	struct desk *d = arg;

	trace(d->w, "dispatcher: %s is sealed: %d", name, result);
	d->w->count.resealed += result == 0;
}

static void recover_some(struct desk *d)
{
	static const struct recover_ops ops = {.commit = on_commit, .damage = on_damage};
	struct recover_cursor *c = &d->recovery.cursor;

	if (!d->recovery.reading) {
		struct store_segment *s = NULL;
		while (!s && d->recovery.at < d->recovery.n)
			s = store_find(d->store, d->recovery.sequences[d->recovery.at++]);
		if (!s) {
			sync_own(d);
			return;
		}
		if (recover_begin(c, d->seam, d->store, s, 0, &ops, d) < 0)
			violation(
				d->w, "segment %" PRIu64 " cannot be recovered", s->head.sequence);
		d->recovery.reading = true;
	}
	int r = recover_step(c, RECOVER_RECORDS);
	if (r < 0)
		violation(d->w, "recovery stops with %d", r);
	if (r == 1)
		return;
	d->w->count.dropped_commits += c->counts.dropped;
	uint64_t end;
	if (c->segment->state == SEGMENT_SEALED && c->segment->live > 0 &&
		recover_may_seal(c, &end))
		reseal_begin(d->store, c->segment, end, buf_span(&c->commits), on_resealed, d);
	recover_done(c);
	d->recovery.reading = false;
}

static void start(struct desk *d)
{
	if (queue_start(d->queue, d->w->clock.monotonic, d->w->clock.wall, d->same_boot) < 0)
		abort();
	if (!d->same_boot || !d->boot_known)
		desk_ledger(d, ENTRY_BOOT, span_make(d->seam->boot_id, sizeof(d->boot)));
	d->phase = DESK_STARTED;
	/* From now on its event counts as told. */
	for (struct truth_mail *m = d->w->truth->mails; m && !d->w->shadow; m = m->next)
		if (m->is_report && m->found_in == d->life)
			truth_accepted(d->w->truth, m);
	if (d->recovery.error)
		queue_ledger_durable(d->queue, 0, d->recovery.error);
	for (size_t i = 0; i < d->n_notices; i++)
		desk_take(d, &d->notices[i]);
	d->n_notices = 0;
	store_recovered(d->store);
	d->recycling = true;
	d->turn_due = true;
	d->w->count.recoveries++;
	d->w->count.recovered_mails += d->recovery.live;
	trace(d->w, "dispatcher: recovered %" PRIu64 " messages, %s boot", d->recovery.live,
		d->same_boot ? "same" : "new");
}

bool desk_recover(struct desk *d)
{
	switch (d->phase) {
	case DESK_LEDGER:
		recover_ledger(d);
		return true;
	case DESK_SEGMENTS:
		recover_some(d);
		return true;
	case DESK_SYNC:
		return ask_deliverers(d);
	case DESK_ASK:
		list_foreach (n, &d->peers) {
			const struct peer *p = CONTAINER_OF(n, struct peer, node);
			if (p->kind == PEER_DELIVERER && !p->answered)
				return false;
		}
		start(d);
		return true;
	case DESK_STARTED:
		break;
	}
	return false;
}

/* ---- life ---- */

static struct queue_settings settings(struct world *w)
{
	const uint64_t minute = 60 * USEC_PER_SEC, hour = 60 * minute;

	return (struct queue_settings){.retry = {5 * minute, 15 * minute, hour},
		.n_retry = 3,
		.warn = 4 * hour,
		.expire = 120 * hour,
		.bounce_expire = 120 * hour,
		.concurrency = 20,
		.connect_timeout = minute,
		.command_timeout = minute,
		.data_timeout = minute,
		.seed = sim_random(&w->random) | 1};
}

struct desk *desk_new(struct world *w)
{
	const struct store_limits limits = {.segment_size = SEGMENT_SIZE, .reserve = 4u << 20};
	struct queue_settings set = settings(w);
	struct desk *d = must(calloc(1, sizeof(*d)));

	d->w = w;
	d->life = ++w->lives;
	list_init(&d->peers);
	list_init(&d->unsent);
	list_init(&d->late);
	d->jobs = must(map_new(1));
	d->arena = must(arena_new(MESSAGE_ARENA));
	d->payload = BUF_INIT(RECORD_PAYLOAD_MAX);
	d->seam = sim_seam_new(w->disk, &w->clock);
	int r = queue_new(&queue_actions, d, &set, &d->queue);
	if (r == 0)
		r = store_open(d->seam, &limits, &desk_store_ops, d, &d->store);
	if (r == 0)
		r = holds_init(&d->holds, d->store, 1);
	if (r == 0)
		r = ledger_new(d->seam, d->store, &d->ledger);
	if (r == 0)
		r = writer_new(d->seam, SLOT_DISPATCHER, &desk_writer_ops, d, &d->writer);
	if (r == 0)
		r = compact_new(d->seam, d->store, d->writer, &desk_compact_ops, d, &d->compactor);
	if (r < 0)
		violation(w, "the spool cannot be opened: %d", r);
	trace(w, "dispatcher: starts, %" PRIu64 " segments", store_count(d->store));
	return d;
}

static void free_jobs(struct desk *d)
{
	size_t cursor = 0;

	for (struct handed_out *j; (j = map_next(d->jobs, &cursor));)
		desk_job_free(d, j);
	map_free(d->jobs);
}

void desk_free(struct desk *d)
{
	if (!d)
		return;
	sim_seam_kill(d->seam);
	d->closing = true;
	if (d->recovery.reading)
		recover_done(&d->recovery.cursor);
	ledger_free(d->ledger);
	writer_free(d->writer);
	compact_free(d->compactor);
	store_free(d->store);
	for (struct list *n; (n = list_pop_front(&d->late));) {
		struct late *l = CONTAINER_OF(n, struct late, node);
		if (l->kind == LATE_REPORT)
			desk_report_late(d, l->writing);
		buf_done(&l->payload);
		free(l);
	}
	free_jobs(d);
	list_foreach_safe (n, tmp, &d->peers)
		peer_free(CONTAINER_OF(n, struct peer, node));
	sim_seam_free(d->seam);
	queue_free(d->queue);
	arena_free(d->arena);
	buf_done(&d->payload);
	free(d->recovery.sequences);
	free(d->names);
	holds_done(&d->holds);
	free(d->notices);
	free(d);
}

struct seam *desk_seam(struct desk *d)
{
	return d->seam;
}

struct queue *desk_queue(struct desk *d)
{
	return d->queue;
}

bool desk_is_started(const struct desk *d)
{
	return d->phase == DESK_STARTED;
}

uint64_t desk_next_due(const struct desk *d)
{
	return d->phase == DESK_STARTED ? queue_next_due(d->queue) : USEC_INFINITY;
}

bool desk_is_quiet(const struct desk *d)
{
	if (d->phase != DESK_STARTED || d->turn_due || !list_empty(&d->late) ||
		!list_empty(&d->unsent) || map_count(d->jobs) || d->checkpointing ||
		!list_empty(&d->holds.reports))
		return false;
	list_foreach (n, &d->peers) {
		const struct peer *p = CONTAINER_OF(n, struct peer, node);
		if (!list_empty(&p->link->up) || p->link->peer_left)
			return false;
	}
	return true;
}

/* Everything is done: no segment may think that something lives in it. */
void desk_check_segments(struct desk *d)
{
	uint32_t cursor = 0;
	uint16_t slot;

	while (store_next_slot(d->store, &cursor, &slot))
		for (struct store_segment *s = NULL;
			slot != SLOT_LEDGER && (s = store_next(d->store, slot, s));)
			if (s->live || (s->state == SEGMENT_SEALED && !s->damaged))
				violation(d->w,
					"the queue is empty, and segment %" PRIu64
					" of slot %u has "
					"%" PRIu64 " live messages",
					s->head.sequence, slot, s->live);
}
